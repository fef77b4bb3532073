"""Laws of a function's scheduling, for any order of events: a model of the process walks beside the machine."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from edgecore.lambdas import LambdasSettings
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.events import Event
from edgecore.lambdas.scheduling import ALIVE, Action, Limits, Scheduler, Signal, State

LIMITS = Limits(start=10, timeout=3, idle=60, stop=2)
HAPPENINGS = ["load", "fail to load", "answer", "die", "violate", "wait", "work", "no work", "close"]


class World:
    """A process that does what processes do, and a driver that does what it owes the machine."""

    def __init__(self, pinned):
        limits = Limits(10, 3, None if pinned else 60, 2)
        self.machine = Scheduler(limits, pinned, lambda: count(1.0))
        self.pinned = pinned
        self.now = 0.0
        self.work = False
        self.closed = False
        self.process = "none"  # none, loading, idle, busy
        self.killed = False
        self.in_flight = False
        self.busy_since = None
        self.spawned_at = []

    def do(self, actions):
        for action in actions:
            if action is Action.SPAWN:
                assert self.process == "none", "at most one worker"
                assert not self.closed
                self.process, self.killed = "loading", False
                self.spawned_at.append(self.now)
            elif action is Action.DISPATCH:
                assert self.process == "idle", "only a loaded worker gets an event"
                assert not self.in_flight, "one invocation at a time"
                assert self.work
                assert not self.killed
                self.process, self.in_flight, self.busy_since = "busy", True, self.now
            elif action is Action.KILL:
                assert self.process != "none", "only a process is killed"
                self.killed = True
            elif action is Action.FAIL:
                assert self.in_flight, "only an event in flight fails"
                self.in_flight = False
        if self.machine.state in ALIVE:
            assert self.process != "none"
        elif not self.killed:
            assert self.process == "none"

    def signal(self, signal):
        self.do(self.machine.signal(signal, self.now))

    def happen(self, what):
        alive = self.process != "none"
        if what == "load" and self.process == "loading" and not self.killed:
            self.process = "idle"
            self.signal(Signal.LOADED)
        elif what == "fail to load" and self.process == "loading":
            self.signal(Signal.LOAD_FAILED)
        elif what == "answer" and self.process == "busy" and not self.killed:
            self.process, self.in_flight = "idle", False
            self.signal(Signal.FINISHED)
        elif what == "die" and alive:
            self.process = "none"
            self.signal(Signal.EXITED)
        elif what == "violate" and alive:
            self.signal(Signal.VIOLATED)
        elif what == "close":
            self.closed = True
            self.signal(Signal.CLOSED)
        elif what in ("work", "no work"):
            self.work = what == "work"
        elif what == "wait":
            self.wait()
        self.do(self.machine.tick(self.now))
        self.do(self.machine.settle(self.work, self.now))

    def wait(self):
        if self.machine.deadline is not None:
            self.now = max(self.now, self.machine.deadline)
        elif self.machine.state is State.KILLED:
            self.process = "none"
            self.signal(Signal.EXITED)


@given(st.booleans(), st.lists(st.sampled_from(HAPPENINGS), max_size=60))
def test_limits_are_never_exceeded(pinned, happenings):
    world = World(pinned)
    for what in happenings:
        world.happen(what)
        if world.in_flight and world.now > world.busy_since + LIMITS.timeout and not world.closed:
            assert world.killed, "an invocation beyond its timeout is being killed"


@given(st.booleans(), st.lists(st.sampled_from([h for h in HAPPENINGS if h != "close"]), max_size=60))
def test_work_is_always_reached_once_workers_behave(pinned, happenings):
    world = World(pinned)
    for what in happenings:
        world.happen(what)
    if world.process == "busy":
        world.happen("wait")  # whatever runs ends, or is killed at its deadline
    world.happen("work")
    for _ in range(12):
        if world.in_flight and not world.killed:
            break
        world.happen("load" if world.process == "loading" and not world.killed else "wait")
    assert world.in_flight


@given(st.booleans(), st.lists(st.sampled_from(HAPPENINGS), max_size=60))
def test_a_closed_function_ends_within_the_grace(pinned, happenings):
    world = World(pinned)
    for what in happenings:
        world.happen(what)
    world.happen("close")
    began = world.now
    while world.machine.state in ALIVE:
        world.happen("wait")
    assert world.now <= began + LIMITS.stop
    before = len(world.spawned_at)
    for what in ("work", "wait", "wait"):
        world.happen(what)
    assert len(world.spawned_at) == before


@given(st.integers(min_value=1, max_value=40))
def test_a_worker_that_always_dies_is_started_ever_more_seldom(deaths):
    world = World(pinned=True)
    world.happen("work")
    while len(world.spawned_at) <= deaths:
        world.happen("die" if world.process != "none" else "wait")
    gaps = [later - earlier for earlier, later in zip(world.spawned_at, world.spawned_at[1:], strict=False)]
    assert gaps == [float(n) for n in range(len(gaps))]


LANES = st.sampled_from(["direct", "stored", "memory"])


@given(st.lists(st.one_of(LANES, st.just("take")), max_size=80))
def test_no_lane_starves_and_each_keeps_its_order(steps):
    backlog = Backlog(LambdasSettings(invoke_queue=1000, memory_events=1000))
    waiting = {"direct": [], "stored": [], "memory": []}
    passed_over = dict.fromkeys(waiting, 0)
    for number, step in enumerate(steps):
        if step != "take":
            event = Event(str(number), step, b"", 0.0)
            {"direct": backlog.invoke, "stored": backlog.store, "memory": backlog.offer}[step](event)
            waiting[step].append(event)
            continue
        event = backlog.take(0.0)
        assert (event is None) == (not any(waiting.values()))
        if event is None:
            continue
        assert waiting[event.subject].pop(0) is event
        for lane, events in waiting.items():
            passed_over[lane] = passed_over[lane] + 1 if events and lane != event.subject else 0
            assert passed_over[lane] < 4, "a lane waits for one event of each other lane at most"
