from functools import partial
from itertools import count

import pytest

from edgecore.lambdas.scheduling import ALIVE, TABLE, Action, Limits, Scheduler, Signal, State

LIMITS = Limits(start=10, timeout=3, idle=60, stop=2)


def machine(pinned=False, idle=60):
    limits = Limits(10, 3, None if pinned else idle, 2)
    return Scheduler(limits, pinned, partial(count, 1.0))  # delays 1, 2, 3...


def walk(scheduler, *signals, now=0.0):
    return [scheduler.signal(signal, now) for signal in signals][-1]


def test_work_starts_a_worker_and_is_dispatched_when_it_is_loaded():
    scheduler = machine()
    assert scheduler.settle(False, 0) == ()
    assert scheduler.settle(True, 0) == (Action.SPAWN,)
    assert scheduler.settle(True, 1) == ()
    assert scheduler.signal(Signal.LOADED, 1) == ()
    assert scheduler.settle(True, 1) == (Action.DISPATCH,)
    assert scheduler.settle(True, 1) == ()
    assert scheduler.signal(Signal.FINISHED, 2) == ()
    assert scheduler.state is State.IDLE


def test_a_pinned_function_starts_without_work_and_never_idles_out():
    scheduler = machine(pinned=True)
    assert scheduler.settle(False, 0) == (Action.SPAWN,)
    scheduler.signal(Signal.LOADED, 1)
    assert scheduler.deadline is None
    assert scheduler.tick(1e9) == ()


@pytest.mark.parametrize(
    ("signals", "stay", "actions"),
    [
        ((), 10, (Action.KILL,)),
        ((Signal.LOADED,), 60, (Action.CLOSE,)),
        ((Signal.LOADED, Signal.WORK), 3, (Action.KILL, Action.FAIL)),
        ((Signal.LOADED, Signal.CLOSED), 2, (Action.KILL,)),
    ],
)
def test_no_worker_stays_longer_than_it_may(signals, stay, actions):
    scheduler = machine()
    scheduler.settle(True, 0)
    for signal in signals:
        scheduler.signal(signal, 0)
    assert scheduler.deadline == stay
    assert scheduler.tick(stay - 0.01) == ()
    assert scheduler.tick(stay) == actions


def test_the_first_failure_in_a_row_does_not_wait_and_more_wait_longer():
    scheduler = machine()
    scheduler.settle(True, 0)
    walk(scheduler, Signal.LOADED, Signal.WORK, Signal.FINISHED, Signal.WORK)
    waits = []
    for _ in range(4):
        scheduler.signal(Signal.EXITED, 0)
        waits.append(scheduler.deadline)
        scheduler.tick(1e6)
        assert scheduler.settle(True, 0) == (Action.SPAWN,)
        scheduler.signal(Signal.LOADED, 0)
        scheduler.settle(True, 0)
    assert waits == [0, 1, 2, 3]
    scheduler.signal(Signal.FINISHED, 0)
    scheduler.signal(Signal.EXITED, 0)
    assert scheduler.deadline == 0


def test_a_killed_worker_waits_after_its_end_and_its_last_words_change_nothing():
    scheduler = machine()
    scheduler.settle(True, 0)
    walk(scheduler, Signal.LOAD_FAILED)
    for late in (Signal.LOADED, Signal.FINISHED, Signal.VIOLATED, Signal.EXPIRED):
        assert scheduler.signal(late, 1) == ()
    assert scheduler.state is State.KILLED
    scheduler.signal(Signal.EXITED, 5)
    assert (scheduler.state, scheduler.deadline) == (State.BACKOFF, 5)
    scheduler.tick(5)
    assert scheduler.settle(True, 5) == (Action.SPAWN,)
    walk(scheduler, Signal.LOAD_FAILED, Signal.EXITED, now=6)
    assert (scheduler.state, scheduler.deadline) == (State.BACKOFF, 7)


def test_an_idle_end_is_no_failure():
    scheduler = machine()
    scheduler.settle(True, 0)
    scheduler.signal(Signal.LOADED, 0)
    scheduler.tick(60)
    scheduler.signal(Signal.EXITED, 61)
    assert scheduler.state is State.STOPPED
    assert scheduler.settle(True, 61) == (Action.SPAWN,)


def test_once_closed_nothing_is_started():
    scheduler = machine(pinned=True)
    assert scheduler.signal(Signal.CLOSED, 0) == ()
    assert scheduler.settle(True, 0) == ()
    assert scheduler.state is State.STOPPED


def test_the_table_is_whole():
    for state in State:
        assert any(at is state for at, _ in TABLE), f"{state} has no way out"
        assert any(step.state is state for step in TABLE.values()), f"{state} is never reached"
    for state in ALIVE:
        assert (state, Signal.EXITED) in TABLE
        assert state in (State.KILLED, State.STOPPING) or (state, Signal.CLOSED) in TABLE
    for (state, _), step in TABLE.items():
        assert step.state is not State.KILLED or Action.KILL in step.actions
        assert state is not State.BUSY or not step.failure or Action.FAIL in step.actions
