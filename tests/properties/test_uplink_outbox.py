"""Laws of the way to the cloud, under any interleaving of messages, acknowledgements, failures and cuts.

At least once: what was accepted is acknowledged by the cloud in the end. Order: first transmissions of
one topic keep the order of acceptance. Bounds: no more than the window is in flight.
"""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.clock import ManualClock
from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import MemoryQueue, QueueBounds
from edgecore.uplink.outbox import Outbox
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.window import Entry, Window

LIMIT = 3
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 2)),
        st.tuples(st.sampled_from(["ack", "fail", "refuse"]), st.integers(0, LIMIT)),
        st.tuples(st.sampled_from(["connect", "cut", "crash", "wait", "pump"]), st.just(0)),
    ),
    max_size=60,
)


class Cloud:
    """Holds what is on its way, and what it has."""

    def __init__(self):
        self.on_the_way = []
        self.first_seen = []
        self.received = set()
        self.refused = set()

    def publish(self, message, qos, now, done):
        number = int(message.payload)
        if number not in self.first_seen:
            self.first_seen.append(number)
        self.on_the_way.append((number, done))
        assert len(self.on_the_way) <= LIMIT

    def settle(self, index, outcome):
        if index < len(self.on_the_way):
            number, done = self.on_the_way.pop(index)
            if outcome is None:
                self.received.add(number)
            elif isinstance(outcome, PermanentCloudError):
                self.refused.add(number)
            done(outcome)


class Core:
    """An outbox that can crash: its queue is what survives."""

    def __init__(self):
        bounds = QueueBounds(10_000, 10_000_000, "drop-oldest")
        self.queue, self.aside = MemoryQueue("outbox", bounds), MemoryQueue("aside", bounds)
        self.clock = ManualClock()
        self.settings = UplinkSettings("host", Path("c"), Path("k"), "core", in_flight=LIMIT)
        self.cloud = Cloud()
        self.topics = []
        self.online = False
        self.start()

    def start(self):
        self.outbox = Outbox(self.queue, self.aside, self.settings, self.clock, lambda: None)

    def deliver(self, topic):
        payload = str(len(self.topics)).encode()
        self.topics.append(topic)
        self.outbox.deliver(Message(f"t/{topic}", payload, 1, device("a")), 1, retain=False)

    def connect(self):
        if not self.online:
            self.online = True
            self.outbox.connected()

    def cut(self):
        if self.online:
            self.online = False
            self.outbox.disconnected()
            while self.cloud.on_the_way:
                self.cloud.settle(0, TransientCloudError("cut"))

    def crash(self):
        self.online = False
        self.cloud.on_the_way.clear()
        self.start()

    async def pump(self):
        await self.outbox.pump(self.cloud if self.online else None)
        assert self.outbox.status()["in_flight"] <= LIMIT

    async def play(self, step, value):
        if step == "deliver":
            self.deliver(value)
        elif step in ("ack", "fail", "refuse"):
            outcomes = {"ack": None, "fail": TransientCloudError("x"), "refuse": PermanentCloudError("x")}
            self.cloud.settle(value, outcomes[step])
        elif step == "wait":
            self.clock.advance(100)
        elif step != "pump":
            getattr(self, step)()
        await self.pump()

    async def finish(self):
        self.connect()
        while self.queue.count:
            await self.pump()
            while self.cloud.on_the_way:
                self.cloud.settle(0, None)
            self.clock.advance(100)
            await self.pump()


async def played(steps):
    core = Core()
    for step, value in steps:
        await core.play(step, value)
    await core.finish()
    return core


@given(STEPS)
def test_everything_arrives_at_least_once_or_is_set_aside(steps):
    core = asyncio.run(played(steps))
    assert core.cloud.received | core.cloud.refused == set(range(len(core.topics)))
    assert core.aside.count >= len(core.cloud.refused - core.cloud.received)


@given(STEPS)
def test_first_transmissions_keep_their_order_per_topic(steps):
    core = asyncio.run(played(steps))
    for topic in set(core.topics):
        seen = [number for number in core.cloud.first_seen if core.topics[number] == topic]
        assert seen == sorted(seen)


@given(st.lists(st.sampled_from(["next", "settle", "fail", "disconnect", "refetch"]), max_size=80))
def test_a_window_never_loses_or_doubles_a_record(steps):
    window, stored = Window(LIMIT), list(range(1, 11))
    in_flight, settled, now = [], [], 0.0

    def refetch():
        window.add(
            Entry(number, b"", Message("t", b"", 1, device("a")), 0.0)
            for number in stored
            if number > window.last
        )

    for step in [*steps, *["refetch", "next", "settle"] * 200]:
        now += 1.0
        if step == "refetch":
            refetch()
        elif step == "next":
            entry = window.next(now)
            if entry is not None:
                assert entry.id not in in_flight
                assert entry.id not in settled
                in_flight.append(entry.id)
        elif step == "disconnect":
            window.disconnected()
        elif in_flight:
            number = in_flight.pop(0)
            if step == "settle":
                assert window.settled(number) is not None
                settled.append(number)
                stored.remove(number)
            else:
                window.failed(number, now + 2.0)
        assert window.in_flight == len(in_flight) <= LIMIT
    assert sorted(settled) == list(range(1, 11))
