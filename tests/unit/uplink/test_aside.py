"""What the cloud will never take, and how it is looked at."""

from collections import Counter

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import Database, DurableQueue, MemoryQueue, QueueBounds
from edgecore.uplink.aside import LISTED, LONGEST_REASON, Aside
from edgecore.uplink.record import make_record

BOUNDS = QueueBounds(30, 1_000_000)


class Case:
    def __init__(self, queue):
        self.counts = Counter()
        self.clock = ManualClock(100.0)
        self.aside = Aside(queue, self.clock, self._count)

    def _count(self, reason):
        self.counts[reason] += 1
        return self.counts[reason]

    def put(self, topic, payload=b"x", reason="refused"):
        return self.aside.put(topic, make_record(Message(topic, payload, 1, device("a")), 1.0), reason)


@pytest.fixture
def case():
    return Case(MemoryQueue("aside", BOUNDS))


async def test_it_is_listed_with_topic_reason_and_time_and_can_be_looked_at(case, caplog):
    case.put("a/b", b"payload")
    case.clock.advance(5)
    case.put("c")
    assert case.aside.status() == [
        {"topic": "a/b", "reason": "refused", "time": 100.0},
        {"topic": "c", "reason": "refused", "time": 105.0},
    ]
    first, _ = await case.aside.look()
    assert (first.topic, first.payload, first.reason, first.time) == ("a/b", b"payload", "refused", 100.0)
    assert case.aside.number == 2
    assert caplog.text.count("is set aside") == 1  # of one reason, once


async def test_the_list_and_the_queue_are_bounded(case):
    for n in range(100):
        case.put(f"t/{n}")
    assert [one["topic"] for one in case.aside.status()] == [f"t/{n}" for n in range(100 - LISTED, 100)]
    assert len(await case.aside.look()) == 30


async def test_a_reason_is_cut_and_holds_no_zero(case):
    case.put("a", reason="x\0" * 1000)
    (one,) = await case.aside.look()
    assert (len(one.reason), "\0" in one.reason) == (LONGEST_REASON, False)


async def test_what_is_above_the_bound_is_only_counted(case):
    assert case.put("a", bytes(2_000_000)) is None
    assert case.counts["set aside: no room"] == 1


async def test_what_cannot_be_read_is_shown_too(case):
    case.aside.put("?", b"rubbish", "unreadable record")
    case.aside._queue.append(b"older layout")
    first, second = await case.aside.look()
    assert (first.topic, first.payload, second.topic, second.time) == ("?", b"rubbish", "?", 0.0)


async def test_it_is_known_again_after_a_restart(tmp_path):
    async with Database(tmp_path / "core.db") as db:
        case = Case(DurableQueue(db, "aside", BOUNDS))
        await case.aside.open()
        case.put("a/b")
    async with Database(tmp_path / "core.db") as db:
        case = Case(DurableQueue(db, "aside", BOUNDS))
        await case.aside.open()
        assert case.aside.status() == [{"topic": "a/b", "reason": "refused", "time": 100.0}]
