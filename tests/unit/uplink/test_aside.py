"""What the cloud will never take, and how it is looked at."""

import asyncio
from collections import Counter

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import OutboxError, PermanentCloudError, RefusedError, StoreError
from edgecore.base.identity import device
from edgecore.base.interfaces import SetAside
from edgecore.base.message import Message
from edgecore.store import Database, DurableQueue, MemoryQueue, QueueBounds
from edgecore.uplink.aside import GONE, LISTED, LONGEST_REASON, Aside, identifier_of, name_of
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
        {"id": "0-1", "topic": "a/b", "reason": "refused", "time": 100.0},
        {"id": "0-2", "topic": "c", "reason": "refused", "time": 105.0},
    ]
    first, _ = await case.aside.look()
    assert first == SetAside("refused", 100.0, "a/b", b"payload", "0-1", 1.0, 1, "device:a")
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
        case.put("c/d")
    async with Database(tmp_path / "core.db") as db:
        case = Case(DurableQueue(db, "aside", BOUNDS))
        await case.aside.open()
        assert [one["topic"] for one in case.aside.status()] == ["a/b", "c/d"]
        assert (await case.aside.drop(None)).done == 2  # all of the earlier run, too
        assert case.aside.status() == []


class TestNames:
    @pytest.mark.parametrize("identifier", [0, 1, 2**44 - 1, 2**44, 3 * 2**44 + 17, 2**63 - 1])
    def test_a_name_is_that_of_one_record(self, identifier):
        assert identifier_of(name_of(identifier)) == identifier

    def test_it_is_short_enough_to_be_copied(self):
        assert name_of(3 * 2**44 + 17) == "3-17"

    @pytest.mark.parametrize(
        "name", ["", "17", "3-", "-17", "3-17 ", "a-b", "٣-1", "524288-0", f"0-{2**44}", "1-2-3"]
    )
    def test_what_is_none_is_told_with_what_one_looks_like(self, name):
        with pytest.raises(OutboxError, match="expected one as 3-17, from `edgecore outbox list`"):
            identifier_of(name)


class TestPages:
    async def test_one_after_the_other(self, case):
        for n in range(5):
            case.put(f"t/{n}")
        first = await case.aside.page(limit=2)
        second = await case.aside.page(first[-1].id, 2)
        third = await case.aside.page(second[-1].id, 2)
        assert [one.topic for one in first + second + third] == [f"t/{n}" for n in range(5)]

    async def test_more_than_one_read(self, case, monkeypatch):
        monkeypatch.setattr("edgecore.uplink.aside.READ_RECORDS", 2)
        for n in range(5):
            case.put(f"t/{n}")
        assert len(await case.aside.page(limit=3)) == 3
        assert len(await case.aside.look()) == 5

    async def test_one_by_its_name(self, case):
        case.put("a", b"1")
        case.put("b", b"2")
        assert (await case.aside.find("0-2")).payload == b"2"

    @pytest.mark.parametrize("name", ["0-0", "0-3", "9-1"])
    async def test_one_that_is_not_there(self, case, name):
        case.put("a")
        with pytest.raises(OutboxError, match=f"message {name}: it is not set aside"):
            await case.aside.find(name)


class TestDrop:
    async def test_some(self, case):
        for n in range(4):
            case.put(f"t/{n}")
        outcome = await case.aside.drop(["0-2", "0-2", "0-9"])
        assert (outcome.done, outcome.left) == (1, {"0-9": GONE})
        assert [one.topic for one in await case.aside.look()] == ["t/0", "t/2", "t/3"]

    async def test_a_wrong_name_drops_nothing(self, case):
        case.put("a")
        with pytest.raises(OutboxError):
            await case.aside.drop(["0-1", "x"])
        assert case.aside.number == 1

    async def test_status_lists_the_newest_of_what_is_left(self, case):
        for n in range(LISTED + 2):
            case.put(f"t/{n}")
        await case.aside.drop([one["id"] for one in case.aside.status()])
        assert [one["topic"] for one in case.aside.status()] == ["t/0", "t/1"]


class TestRetry:
    """`put_back` is the outbox's, and has tests there."""

    def taker(self, case, target=None, errors=()):
        """A put_back into another queue, which fails with the errors first."""
        target = target or MemoryQueue("outbox", BOUNDS)
        taken, errors = [], list(errors)

        def put_back(record, place):
            if errors and (error := errors.pop(0)):
                raise error
            taken.append(record)
            return target.append_from(place, record)[1]

        return put_back, taken

    async def test_each_once_as_it_was(self, case):
        record = make_record(Message("a", b"payload", 1, device("a")), 1.0)
        case.aside.put("a", record, "refused")
        case.put("b")
        put_back, taken = self.taker(case)
        outcome = await case.aside.retry(["0-1", "0-1"], put_back)
        assert (outcome.done, outcome.left, taken) == (1, {}, [record])
        assert [one.topic for one in await case.aside.look()] == ["b"]
        assert [one["topic"] for one in case.aside.status()] == ["b"]
        again = await case.aside.retry(["0-1"], put_back)
        assert (again.done, again.left, len(taken)) == (0, {"0-1": GONE}, 1)

    async def test_what_cannot_go_stays_and_the_reason_is_given(self, case):
        for topic in "abcd":
            case.put(topic)
        errors = [PermanentCloudError("too deep"), None, RefusedError("full"), StoreError("unreadable")]
        put_back, taken = self.taker(case, errors=errors)
        outcome = await case.aside.retry(None, put_back)
        assert outcome.left == {"0-1": "too deep", "0-3": "full", "0-4": "unreadable"}
        assert (outcome.done, len(taken), case.aside.number) == (1, 1, 3)

    async def test_all_are_those_that_are_there_now(self, case):
        """What the cloud refuses again comes back, under another name: it is not sent for ever."""
        for topic in "ab":
            case.put(topic)
        put_back, taken = self.taker(case)

        def refused_at_once(record, place):
            case.put("again")
            return put_back(record, place)

        outcome = await case.aside.retry(None, refused_at_once)
        assert (outcome.done, len(taken)) == (2, 2)
        assert [one.topic for one in await case.aside.look()] == ["again", "again"]

    async def test_two_commands_at_a_time_take_each_once(self, tmp_path):
        async with Database(tmp_path / "core.db") as db:
            case = Case(DurableQueue(db, "aside", BOUNDS))
            target = DurableQueue(db, "outbox", BOUNDS)
            await case.aside.open()
            await target.open()
            for n in range(20):
                case.put(f"t/{n}")
            put_back, taken = self.taker(case, target)
            outcomes = await asyncio.gather(
                case.aside.retry(None, put_back), case.aside.drop(None), case.aside.retry(None, put_back)
            )
            assert sum(outcome.done for outcome in outcomes) == 20
            assert (len(set(taken)), target.count, case.aside.number) == (len(taken), len(taken), 0)

    async def test_what_the_disk_did_not_take_stays(self, case):
        case.put("a")
        failing = Commit()

        def put_back(_record, _place):
            failing.resolve(StoreError("the disk is full"))
            return failing

        outcome = await case.aside.retry(None, put_back)
        assert (outcome.done, outcome.left) == (0, {"0-1": "the disk is full"})
        again, taken = self.taker(case)
        assert (await case.aside.retry(None, again)).done == len(taken) == 1
