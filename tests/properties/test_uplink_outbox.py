"""Laws of the way to the cloud, under any interleaving of messages, acknowledgements, failures, cuts, crashes,
clock jumps and poison.

At least once: what was accepted is acknowledged by the cloud in the end, or was dropped and counted, or set aside.
Order: first transmissions of one topic keep the order of acceptance within a run. Bounds: no more than the
window is in flight, and no more than one of an ordered topic.

EDGECORE_HISTORIES=100000 plays that many (`make test-long`).
"""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecore.base.clock import ManualClock
from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import MemoryQueue, QueueBounds
from edgecore.uplink import channel, ordered, window
from edgecore.uplink.outbox import LANES, Outbox
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.window import Evidence

HISTORIES = settings(max_examples=int(os.environ.get("EDGECORE_HISTORIES", "150")), deadline=None)

LIMIT = 3
TOPICS = ("t/0", "t/1", "t/high", "t/low", "t/ordered", "t/ordered/2", "t/short")
ORDERED = ("t/ordered", "t/ordered/2")
ROWS = (
    Row(("device:*",), ("t/0", "t/1", "t/ordered", "t/short"), ("cloud",)),
    Row(("device:*",), ("t/high",), ("cloud",), priority=9),
    Row(("device:*",), ("t/low",), ("cloud",), priority=0),
    Row(("device:*",), ("t/ordered/#",), ("cloud",), ordered=True),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, len(TOPICS) - 1)),
        st.tuples(st.sampled_from(["ack", "fail", "refuse"]), st.integers(0, LIMIT)),
        st.tuples(st.sampled_from(["cut", "hang_up", "disconnect"]), st.just(0)),
        st.tuples(st.sampled_from(["connect", "crash", "pump", "look"]), st.just(0)),
        st.tuples(st.just("wait"), st.sampled_from([1, 100])),
        st.tuples(st.just("jump"), st.sampled_from([-1e9, 3600.0, 1e9])),
    ),
    max_size=60,
)
EVIDENCE = {"cut": Evidence.NONE, "hang_up": Evidence.CLOSED, "disconnect": Evidence.MESSAGE}
WIDE = 10_000
LIFE = 50.0


@pytest.fixture(autouse=True, scope="module", params=["wide", "narrow"])
def bounds(request):
    """Narrow: as much more waits on the disk, and is passed over, as does of a long backlog."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "narrow":
            patch.setattr(channel, "FETCH_RECORDS", 3)
            patch.setattr(channel, "SETTLE_RECORDS", 4)
            patch.setattr(window, "AHEAD_RECORDS", 1)
            patch.setattr(window, "LIVE_RECORDS", 2)
            patch.setattr(ordered, "PARKED_OF_TOPIC", 1)
            patch.setattr(ordered, "PASSED", 1)
        yield


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
        assert message.topic not in ORDERED or message.topic not in [topic for topic, _, _ in self.on_the_way]
        self.on_the_way.append((message.topic, number, done))
        assert len(self.on_the_way) <= LIMIT

    def settle(self, index, outcome):
        if index < len(self.on_the_way):
            _, number, done = self.on_the_way.pop(index)
            if outcome is None:
                self.received.add(number)
            elif isinstance(outcome, PermanentCloudError):
                self.refused.add(number)
            done(outcome)


class Core:
    """An outbox that can crash: its queues are what survives."""

    def __init__(self, records=WIDE):
        self.queue = MemoryQueue("outbox", QueueBounds(records, 10_000_000, "drop-oldest"), LANES)
        self.aside = MemoryQueue("aside", QueueBounds(WIDE, 10_000_000, "drop-oldest"))
        self.clock = ManualClock()
        self.settings = UplinkSettings(
            "host", Path("c"), Path("k"), "core", in_flight=LIMIT, outbox_records=records
        )
        self.cloud = Cloud()
        self.topics = []
        self.born = []
        self.online = False
        self.dropped = Counter()
        self.start()

    def start(self):
        self.outbox = Outbox(self.queue, self.aside, self.settings, self.clock, lambda: None, ROWS)
        self.channel = self.outbox.channels[0]

    def deliver(self, topic):
        payload = str(len(self.topics)).encode()
        self.topics.append(TOPICS[topic])
        self.born.append(self.clock.monotonic())
        expires_at = self.clock.now() + LIFE if TOPICS[topic] == "t/short" else None
        message = Message(TOPICS[topic], payload, 1, device("a"), expires_at=expires_at)
        self.outbox.deliver(message, 1, retain=False)

    def connect(self):
        if not self.online:
            self.online = True
            self.channel.connected()

    def end(self, evidence):
        if self.online:
            self.online = False
            self.channel.disconnected(evidence)
            while self.cloud.on_the_way:
                self.cloud.settle(0, TransientCloudError("cut"))

    def crash(self):
        self.online = False
        self.cloud.on_the_way.clear()
        self.dropped += self.outbox.tally.dropped
        self.start()

    async def pump(self):
        self.channel.pump(self.cloud if self.online else None)
        assert self.outbox.status()["in_flight"] <= LIMIT

    async def play(self, step, value):
        if step == "deliver":
            self.deliver(value)
        elif step in ("ack", "fail", "refuse"):
            outcomes = {"ack": None, "fail": TransientCloudError("x"), "refuse": PermanentCloudError("x")}
            self.cloud.settle(value, outcomes[step])
        elif step in EVIDENCE:
            self.end(EVIDENCE[step])
        elif step == "wait":
            self.clock.advance(value)
        elif step == "jump":
            self.clock.set_wall(max(0.0, self.clock.now() + value))
        elif step == "look":
            await self.outbox.look()
        elif step != "pump":
            getattr(self, step)()
        await self.pump()

    async def finish(self):
        self.connect()
        for _ in range(10_000):
            if not self.queue.count:
                break
            await self.pump()
            while self.cloud.on_the_way:
                self.cloud.settle(0, None)
            self.clock.advance(1)
            await self.pump()
        assert self.queue.count == 0
        self.dropped += self.outbox.tally.dropped

    async def set_aside(self):
        return {int(one.payload) for one in await self.outbox.set_aside()}


async def played(steps, records=WIDE):
    core = Core(records)
    for step, value in steps:
        await core.play(step, value)
    await core.finish()
    core.kept_aside = await core.set_aside()
    return core


def has(steps, *names):
    return any(step in names for step, _ in steps)


@HISTORIES
@given(STEPS)
def test_everything_arrives_at_least_once_or_is_set_aside_or_counted(steps):
    core = asyncio.run(played(steps))
    missing = set(range(len(core.topics))) - core.cloud.received - core.kept_aside
    assert core.cloud.refused <= core.cloud.received | core.kept_aside | missing
    # Only what has a life, and what a jump of the clock made old before a restart, may be gone.
    assert len(missing) <= core.dropped["expired"] + core.dropped["too old"]
    if not has(steps, "crash"):
        assert core.dropped["too old"] == 0, "a clock that jumps makes nothing old"
        assert {core.topics[number] for number in missing} <= {"t/short"}


@HISTORIES
@given(STEPS)
def test_nothing_expires_or_grows_old_by_a_jump_of_the_clock(steps):
    steps = [(step, value) for step, value in steps if step not in ("crash", "wait")]
    core = asyncio.run(played(steps, WIDE))
    first = [number for number, topic in enumerate(core.topics) if topic == "t/short"]
    alive = [number for number in first if core.born[number] + LIFE > core.clock.monotonic()]
    assert set(alive) <= core.cloud.received | core.kept_aside
    assert core.dropped["too old"] == 0


@HISTORIES
@given(STEPS)
@example(
    [
        ("deliver", 0),
        ("jump", 1e9),
        ("deliver", 0),
        ("crash", 0),  # the first looks old now, and is dropped
        ("connect", 0),
        ("crash", 0),
        ("jump", -1e9),
    ]
)
def test_first_transmissions_keep_their_order_per_topic(steps):
    core = asyncio.run(played(steps))
    for topic in set(core.topics):
        seen = [number for number in core.cloud.first_seen if core.topics[number] == topic]
        assert seen == sorted(seen)


@HISTORIES
@given(STEPS, st.integers(1, 8))
def test_what_is_missing_is_what_was_counted(steps, records):
    """Through the bound: each message arrived, is aside, or is in exactly one count."""
    steps = [(step, value) for step, value in steps if step not in ("crash", "jump", "refuse")]
    core = asyncio.run(played(steps, records))
    missing = set(range(len(core.topics))) - core.cloud.received - core.kept_aside
    counted = core.queue.dropped.get("overflow", 0) + core.dropped["expired"] + core.dropped["too old"]
    in_flight_is_all = (
        records <= LIMIT
    )  # then even what is on its way has to give way, and may arrive all the same
    assert len(missing) == counted or (in_flight_is_all and len(missing) <= counted)


@HISTORIES
@given(
    st.lists(st.integers(0, len(TOPICS) - 2), min_size=1, max_size=30),
    st.integers(0, 29),
    st.sampled_from([Evidence.CLOSED, Evidence.MESSAGE]),
)
def test_poison_is_found_and_everything_else_arrives(topics, culprit, evidence):
    culprit %= len(topics)

    async def play():
        core = Core()
        for topic in topics:
            core.deliver(topic)
        ends = 0
        for _ in range(500):
            core.connect()
            await core.pump()
            numbers = [number for _, number, _ in core.cloud.on_the_way]
            if culprit in numbers:
                ends += 1
                core.end(evidence)
            else:
                while core.cloud.on_the_way:
                    core.cloud.settle(0, None)
            core.clock.advance(0.1)
            await core.pump()
            if not core.queue.count:
                break
        assert core.cloud.received == set(range(len(topics))) - {culprit}
        assert await core.set_aside() == {culprit}
        assert ends <= (2 if evidence is Evidence.MESSAGE else 4)

    asyncio.run(play())
