"""The outbox against a client whose outcomes the test decides."""

import asyncio
import json
from pathlib import Path

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import PermanentCloudError, StoreError, TransientCloudError
from edgecore.base.group import Row
from edgecore.base.identity import CLOUD, CORE, device
from edgecore.base.message import Message
from edgecore.store import Database, DurableQueue, MemoryQueue, QueueBounds, durable
from edgecore.uplink.outbox import LANES, Outbox
from edgecore.uplink.record import make_record
from edgecore.uplink.settings import UplinkSettings


def message(topic="dt/a", payload=b"{}", qos=1, **more):
    return Message(topic, payload, qos, device("a"), **more)


class Case:
    def __init__(self, client, records=1000, aside_bytes=1_000_000, rows=(), **settings):
        self.clock = ManualClock()
        self.client = client
        self.wakes = 0
        self.queue = MemoryQueue("outbox", QueueBounds(records, 10_000_000, "drop-oldest"), LANES)
        self.aside = MemoryQueue("aside", QueueBounds(10, aside_bytes, "drop-oldest"))
        known = {"in_flight": 3, "reconnect_min": 1.0, "reconnect_max": 8.0, **settings}
        self.settings = UplinkSettings("host", Path("c"), Path("k"), "core", **known)
        self.outbox = Outbox(self.queue, self.aside, self.settings, self.clock, self._wake, rows)
        self.channel = self.outbox.channels[0]

    def _wake(self):
        self.wakes += 1

    def deliver(self, *topics, qos=1, **more):
        for topic in topics:
            self.outbox.deliver(message(topic, qos=qos, **more), qos, retain=False)

    async def pump(self):
        return self.channel.pump(self.client)

    def sent(self):
        return [one.topic for one, _, _ in self.client.published]

    @property
    def dropped(self):
        return self.outbox.status()["dropped"]


@pytest.fixture
async def case(client):
    case = Case(client)
    await case.outbox.open()
    case.channel.connected()
    return case


@pytest.fixture
async def offline(client):
    case = Case(client)
    await case.outbox.open()
    return case


async def test_it_stands_for_the_cloud(case):
    assert case.outbox.principal == CLOUD


async def test_a_message_is_durable_then_sent_then_taken_off_after_the_puback(case):
    commit = case.outbox.deliver(message(), 1, retain=False)
    assert commit.resolved
    assert case.wakes
    await case.pump()
    assert case.sent() == ["dt/a"]
    assert case.queue.count == 1
    case.client.settle()
    await case.pump()
    assert (case.queue.count, case.outbox.tally.sent) == (0, 1)


async def test_no_more_than_the_window_is_in_flight(case):
    case.deliver("1", "2", "3", "4", "5")
    await case.pump()
    assert case.sent() == ["1", "2", "3"]
    case.client.settle()
    await case.pump()
    assert case.sent() == ["4", "5"]


async def test_a_transient_failure_is_sent_again_after_a_pause_before_anything_new(case):
    case.deliver("1", "2")
    await case.pump()
    case.client.settle(TransientCloudError("quota"))
    case.deliver("3")
    due = await case.pump()
    assert due == case.clock.monotonic() + 1.0
    assert case.client.settle() == ["3"]
    case.clock.advance(1.0)
    await case.pump()
    assert case.sent() == ["1", "2"]
    assert case.queue.count == 2


async def test_what_was_in_flight_at_a_cut_goes_out_again_first(case):
    case.deliver("1", "2", "3", "4")
    await case.pump()
    case.channel.disconnected()
    case.client.settle(TransientCloudError("offline"))
    await case.pump()
    assert case.sent() == []
    case.channel.connected()
    await case.pump()
    assert case.sent() == ["1", "2", "3"]
    case.client.settle()
    await case.pump()
    assert case.client.settle() == ["4"]
    await case.pump()
    assert case.queue.count == 0


async def test_what_a_client_never_settled_goes_out_again_with_the_next(case):
    case.deliver("1")
    await case.pump()
    case.channel.disconnected()
    case.channel.close()
    case.client.published.clear()
    case.channel.connected()
    await case.pump()
    assert case.sent() == ["1"]


async def test_close_takes_off_what_the_cloud_has(case):
    case.deliver("1")
    await case.pump()
    case.client.settle()
    case.channel.close()
    assert case.queue.count == 0


async def test_a_refused_message_is_set_aside_and_holds_nothing_up(case):
    case.deliver("1", "2")
    await case.pump()
    (_, _, refuse), (_, _, accept) = case.client.published
    refuse(PermanentCloudError("refused with 0x87"))
    accept(None)
    await case.pump()
    assert (case.queue.count, case.aside.count) == (0, 1)
    assert case.dropped == {"set aside: refused with 0x87": 1}
    ((_, record),) = await case.aside.peek(-1, 1, 10_000)
    assert record.startswith(b"refused with 0x87\0")


async def test_poison_never_reaches_the_outbox_and_is_durable_aside(case):
    commit = case.outbox.deliver(message("a/b/c/d/e/f/g/h/i"), 1, retain=False)
    assert commit.resolved
    assert (case.queue.count, case.aside.count) == (0, 1)
    await case.pump()
    assert case.sent() == []


async def test_poison_that_is_too_large_to_set_aside_is_counted(client):
    case = Case(client, aside_bytes=1000)
    assert case.outbox.deliver(message(payload=bytes(200_000)), 1, retain=False) is None
    assert case.dropped["set aside: no room"] == 1


async def test_a_message_that_cannot_be_written_aside_stays_in_the_outbox(case, monkeypatch):
    case.deliver("1")
    await case.pump()
    failing = case.aside.append(b"x")[1].__class__()
    monkeypatch.setattr(case.aside, "append", lambda _record: (9, failing))
    case.client.settle(PermanentCloudError("no"))
    failing.resolve(StoreError("disk full"))
    assert await case.pump() == case.clock.monotonic() + 8.0
    assert case.queue.count == 1


async def test_an_unreadable_record_is_set_aside(case, monkeypatch):
    case.queue.append(b"shrt")
    case.queue.append(bytes(8) + b"no message")
    case.deliver("1")
    await case.pump()
    assert case.client.settle() == ["1"]
    await case.pump()
    assert (case.queue.count, case.aside.count) == (0, 2)


async def test_an_expired_message_is_dropped_and_counted(case):
    case.deliver("1", expires_at=case.clock.now() + 5)
    case.clock.advance(5)
    await case.pump()
    await case.pump()
    assert case.sent() == []
    assert (case.queue.count, case.dropped) == (0, {"expired": 1})


async def test_the_oldest_go_when_the_outbox_is_full(client):
    case = Case(client, records=2)
    case.deliver("1", "2", "3")
    case.channel.connected()
    await case.pump()
    assert case.sent() == ["2", "3"]
    assert sum(case.dropped.values()) == 1


async def test_a_failing_acknowledgement_is_counted(case, monkeypatch):
    case.deliver("1")
    await case.pump()
    case.client.settle()
    real = case.queue.ack

    def failing(ids):
        commit = type(real([]))()
        commit.resolve(StoreError("disk"))
        return commit

    monkeypatch.setattr(case.queue, "ack", failing)
    await case.pump()
    assert any("acknowledgement" in reason for reason in case.dropped)


class SlowDisk:
    """Answers what a queue is asked only when the test says so."""

    def __init__(self, queue, monkeypatch):
        self.real = queue.ask
        self.asked = []
        monkeypatch.setattr(queue, "ask", lambda *arguments: self.asked.append(arguments))

    def read(self):
        """What the disk holds now."""
        asked, self.asked = self.asked, []
        answers = []
        for *arguments, answer in asked:
            self.real(*arguments, lambda rows, answer=answer: answers.append((answer, rows)))
        return answers

    def answer(self):
        for answer, rows in self.read():
            answer(rows)


@pytest.fixture
def disk(offline, monkeypatch):
    return SlowDisk(offline.queue, monkeypatch)


async def test_a_cut_while_reading_sends_nothing(offline, disk):
    case = offline
    case.deliver("1")
    case.channel.connected()
    await case.pump()
    case.channel.disconnected()
    disk.answer()
    await case.pump()
    assert case.sent() == []


async def test_what_was_read_for_an_older_link_is_read_again(offline, disk):
    case = offline
    case.deliver("1")
    case.channel.connected()
    await case.pump()
    case.channel.disconnected()
    case.channel.connected()
    disk.answer()
    await case.pump()
    disk.answer()
    await case.pump()
    assert case.sent() == ["1"]


async def test_a_message_that_comes_while_reading_is_not_forgotten(offline, disk):
    case = offline
    case.deliver("early")
    case.channel.connected()
    await case.pump()
    ((answer, rows),) = disk.read()
    case.deliver("early")
    answer(rows)
    await case.pump()
    disk.answer()
    await case.pump()
    assert case.sent() == ["early", "early"]


async def test_what_is_settled_while_reading_does_not_come_back(offline, disk):
    case = offline
    case.deliver("old")
    case.channel.connected()
    case.deliver("live")
    await case.pump()
    ((answer, rows),) = disk.read()
    assert len(rows) == 2
    assert case.client.settle() == ["live"]
    await case.pump()
    answer(rows)
    await case.pump()
    assert case.client.settle() == ["old"]
    await case.pump()
    disk.answer()
    await case.pump()
    assert (case.sent(), case.queue.count) == ([], 0)


async def test_a_disk_that_cannot_be_read_is_said(offline, disk):
    case = offline
    case.deliver("1")
    case.channel.connected()
    await case.pump()
    ((*_, answer),) = disk.asked
    answer(StoreError("the disk is gone"))
    with pytest.raises(StoreError, match="gone"):
        await case.pump()


class TestRetain:
    async def test_the_flag_of_the_delivery_counts(self, case):
        case.outbox.deliver(message("kept", retain=True), 1, retain=True)
        case.outbox.deliver(message("not", retain=True, payload=b"x"), 1, retain=False)
        await case.pump()
        assert [(one.topic, one.retain) for one, _, _ in case.client.published] == [
            ("kept", True),
            ("not", False),
        ]


class TestQos0:
    async def test_it_goes_out_at_qos_0_without_the_disk(self, case):
        case.deliver("1", qos=0)
        await case.pump()
        assert [(one.topic, qos) for one, qos, _ in case.client.published] == [("1", 0)]
        assert case.queue.count == 0
        case.client.settle()
        assert case.outbox.tally.sent == 1

    async def test_it_is_dropped_while_offline(self, offline):
        offline.deliver("1", qos=0)
        assert offline.dropped == {"QoS 0: offline": 1}

    async def test_what_waits_is_dropped_at_a_cut(self, case):
        case.deliver("1", "2", qos=0)
        case.channel.disconnected()
        assert case.dropped == {"QoS 0: offline": 2}

    async def test_its_queue_is_bounded_by_count_and_bytes(self, client):
        case = Case(client, qos0_records=2, qos0_bytes=10)
        case.channel.connected()
        case.deliver("1", "2", "3", qos=0)
        case.deliver("4", qos=0, payload=bytes(9))
        assert case.dropped == {"QoS 0: queue full": 3}
        await case.pump()
        assert case.sent() == ["4"]

    async def test_expired_and_impossible_ones_are_counted(self, case):
        case.deliver("1", qos=0, expires_at=case.clock.now())
        case.deliver("$SYS/x", qos=0)
        await case.pump()
        assert case.sent() == []
        assert case.dropped["QoS 0: expired"] == 1
        assert any("reserved" in reason for reason in case.dropped)

    async def test_a_failure_is_counted_and_not_repeated(self, case):
        case.deliver("1", qos=0)
        await case.pump()
        case.client.settle(TransientCloudError("offline"))
        await case.pump()
        assert case.sent() == []
        assert case.dropped == {"QoS 0: not sent": 1}

    async def test_few_are_handed_to_the_client_at_once(self, case, monkeypatch):
        monkeypatch.setattr("edgecore.uplink.fleeting.IN_FLIGHT", 1)
        case.deliver("1", "2", qos=0)
        await case.pump()
        assert case.client.settle() == ["1"]
        await case.pump()
        assert case.client.settle() == ["2"]


class TestStatus:
    async def test_it_is_plain_and_complete(self, case):
        case.deliver("1")
        await case.pump()
        status = case.outbox.status()
        assert status["records"] == 1
        assert status["in_flight"] == 1
        assert status["bytes"] > 0
        assert status["oldest"] == case.clock.now()

    async def test_the_age_of_the_oldest_is_known_while_offline(self, offline):
        offline.deliver("1")
        then = offline.clock.now()
        offline.clock.advance(100)
        offline.deliver("2")
        await offline.outbox.look()
        assert offline.outbox.status()["oldest"] == then

    async def test_the_age_is_looked_at_again_but_not_at_every_message(self, offline):
        offline.deliver("1")
        await offline.outbox.look()
        then = offline.outbox.status()["oldest"]
        offline.queue.ack([1])
        offline.clock.advance(5)
        offline.deliver("2")
        await offline.outbox.look()
        assert offline.outbox.status()["oldest"] == then
        offline.clock.advance(30)
        await offline.outbox.look()
        assert offline.outbox.status()["oldest"] == then + 5

    async def test_an_empty_outbox_has_no_oldest(self, offline):
        await offline.outbox.look()
        assert offline.outbox.status()["oldest"] is None


async def test_what_an_earlier_version_left_is_taken_over(tmp_path, client):
    clock = ManualClock()
    async with Database(tmp_path / "core.db") as db:
        old = DurableQueue(db, "outbox", QueueBounds(100, 100_000))
        await old.open()
        for n in range(3):
            old.append(make_record(message("dt/a", b"%d" % n), clock.now()))
        await durable(old.append(b"rubbish")[1])
    async with Database(tmp_path / "core.db") as db:
        bounds = QueueBounds(100, 100_000)
        queue, aside = DurableQueue(db, "outbox", bounds, LANES), DurableQueue(db, "aside", bounds)
        settings = UplinkSettings("host", Path("c"), Path("k"), "core")
        woken = asyncio.Event()
        outbox = Outbox(queue, aside, settings, clock, woken.set)
        await outbox.open()
        old = DurableQueue(db, "outbox", bounds)
        await outbox.adopt(old)
        assert (old.count, queue.count, queue.waiting(4)) == (0, 4, 4)
        outbox.channels[0].connected()
        outbox.channels[0].pump(client)
        woken.clear()
        await woken.wait()  # the disk has answered
        outbox.channels[0].pump(client)
        assert [one.payload for one, _, _ in client.published] == [b"0", b"1", b"2"]


class TestPutBack:
    """A message that was set aside comes into the outbox again."""

    async def refused(self, case, topic="dt/a", **more):
        case.deliver(topic, **more)
        await case.pump()
        case.client.settle(PermanentCloudError("refused with 0x87"))
        await case.pump()
        assert (case.queue.count, case.aside.count) == (0, 1)

    async def retry(self, case):
        return await case.outbox.aside.retry(None, case.outbox.put_back)

    async def test_it_is_sent_as_if_it_came_now(self, case):
        await self.refused(case, payload=b"p")
        case.clock.advance(case.settings.outbox_age + 1)
        assert (await self.retry(case)).done == 1
        assert (case.queue.count, case.aside.count) == (1, 0)
        assert case.wakes
        await case.pump()
        ((sent, qos, _),) = case.client.published
        assert (sent.topic, sent.payload, sent.sender, qos) == ("dt/a", b"p", device("a"), 1)
        case.client.settle()
        await case.pump()
        assert case.queue.count == 0

    async def test_at_the_place_of_its_topic(self, client):
        case = Case(client, rows=[Row(("device:*",), ("dt/#",), ("cloud",), priority=7)])
        case.channel.connected()
        await self.refused(case)
        await self.retry(case)
        assert case.queue.waiting(7) == 1

    async def test_behind_it_nothing_of_its_topic_passes(self, case):
        await self.refused(case, payload=b"old")
        await self.retry(case)
        case.deliver("dt/a", payload=b"new")
        await case.pump()
        assert [one.payload for one, _, _ in case.client.published] == [b"old", b"new"]

    async def test_what_it_would_refuse_still_stays_aside(self, case):
        case.deliver("$SYS/x")
        outcome = await self.retry(case)
        assert (outcome.done, case.queue.count, case.aside.count) == (0, 0, 1)
        (one,) = case.outbox.aside.status()
        assert outcome.left == {one["id"]: one["reason"]}

    async def test_what_has_expired_stays_aside(self, case):
        await self.refused(case, expires_at=case.clock.now() + 10)
        case.clock.advance(11)
        outcome = await self.retry(case)
        assert (outcome.done, list(outcome.left.values()), case.aside.count) == (0, ["expired"], 1)

    async def test_what_cannot_be_read_stays_aside(self, case):
        case.aside.append(b"unreadable record\0" + bytes(8) + b"rubbish")
        case.outbox.aside._newest = 10
        outcome = await self.retry(case)
        assert (outcome.done, case.aside.count) == (0, 1)
        assert "no outbox record" in outcome.left["0-1"]

    async def test_nothing_gives_way_to_it(self, client):
        case = Case(client, records=2)
        case.channel.connected()
        await self.refused(case)
        case.channel.disconnected()
        case.deliver("dt/b", "dt/c")
        outcome = await self.retry(case)
        assert (outcome.done, case.queue.count, case.aside.count) == (0, 2, 1)
        assert "queue outbox is full" in next(iter(outcome.left.values()))
        assert case.dropped == {"set aside: refused with 0x87": 1}


class TestBounds:
    async def test_what_is_too_old_goes_while_offline(self, client):
        case = Case(client, outbox_age=100.0)
        case.deliver("1", "2")
        case.clock.advance(60)
        case.deliver("3")
        case.clock.advance(60)
        await case.outbox.look()
        assert (case.queue.count, case.dropped) == (1, {"too old": 2})

    async def test_a_clock_that_is_set_makes_nothing_old(self, client):
        case = Case(client, outbox_age=100.0)
        case.deliver("1")
        case.clock.set_wall(case.clock.now() + 1e9)
        await case.outbox.look()
        assert case.queue.count == 1

    async def test_an_unreadable_record_does_not_stop_the_look(self, client):
        case = Case(client, outbox_age=100.0)
        case.queue.append(b"shrt", lane=4)
        case.deliver("1")
        case.clock.advance(200)
        await case.outbox.look()
        assert case.dropped == {"too old": 1}

    async def test_the_oldest_of_the_lowest_priority_goes(self, client):
        rows = [Row(("device:*",), (f"p{n}/#",), ("cloud",), priority=n) for n in range(10)]
        case = Case(client, records=2, rows=rows)
        case.deliver("p9/1", "p2/1", "p2/2", "p9/2", "p0/1")
        case.channel.connected()
        await case.pump()
        assert case.sent() == ["p9/1", "p9/2"]
        assert case.dropped == {"outbox: overflow": 3}

    async def test_the_alarm_says_when_it_begins_to_drop_and_when_that_is_over(self, client):
        case = Case(client, records=2, outbox_records=2)
        case.deliver("1", "2")
        assert not case.outbox.is_losing
        assert (await case.outbox.look())[0] is None
        case.deliver("3")
        assert case.outbox.is_losing
        alarm, due = await case.outbox.look()
        said = json.loads(alarm.payload)
        assert (alarm.topic, alarm.sender, alarm.qos) == ("edgecore/alarm/outbox", CORE, 1)
        assert (said["state"], said["dropped"], said["records"]) == ("dropping", {"overflow": 1}, 2)
        assert case.outbox.status()["alarm"] == case.clock.now()
        assert not case.outbox.is_losing
        case.queue.ack(range(10))
        case.clock.advance(due - case.clock.monotonic())
        case.clock.advance(60)
        alarm, _ = await case.outbox.look()
        assert json.loads(alarm.payload)["state"] == "over"
