import asyncio
import logging

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import RefusedError, StoreError
from edgecore.base.identity import device, function
from edgecore.base.message import Message
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.intake import READ_AHEAD, Intake, pack, unpack
from edgecore.lambdas.tally import Tally
from edgecore.store import Database, DurableQueue, QueueBounds, durable

MESSAGE = Message("t", b"payload", 2, device("d"))


class Door:
    def __init__(self, settings, queue, clock):
        self.queue = queue
        self.backlog = Backlog(settings)
        self.tally = Tally(logging.getLogger("t"), clock)
        self.woken = 0
        self.intake = Intake(
            function("f"), 100, queue, self.backlog, self.tally, clock, 42, lambda: setattr(self, "woken", 1)
        )

    def send(self, payload):
        return self.intake.deliver(Message("t", payload, 1, device("d")), 1, False)

    async def drain(self):
        found = []
        while self.intake.readable or self.backlog.has_work(0):
            if self.intake.readable:
                await self.intake.read_ahead()
            while event := self.backlog.take(0):
                found.append(event)
        return found


@pytest.fixture
async def door(tmp_path, settings):
    async with Database(tmp_path / "db.sqlite") as db:
        queue = DurableQueue(db, "function:f", QueueBounds(1000, 1_000_000, "refuse"))
        await queue.open()
        yield Door(settings, queue, ManualClock())


def test_a_record_is_the_message_with_when_and_how():
    message, qos, arrived = unpack(pack(1, 5.0, 1, MESSAGE), 1, 2.0)
    assert (message.topic, message.payload, message.sender.id) == ("t", b"payload", "device:d")
    assert (qos, arrived) == (1, 5.0)


def test_an_event_of_another_run_is_as_old_as_this_run():
    assert unpack(pack(1, 5.0, 1, MESSAGE), 2, 2.0)[2] == 2.0


@pytest.mark.parametrize("record", [b"short", b"x" * 40])
def test_what_is_no_record_is_refused(record):
    with pytest.raises(StoreError):
        unpack(record, 1, 0.0)


async def test_events_come_in_order_whether_read_back_or_not(door):
    assert await door.drain() == []
    await asyncio.gather(*(durable(door.send(b"%d" % n)) for n in range(READ_AHEAD + 10)))
    assert door.backlog.stored_count == READ_AHEAD
    assert door.intake.readable is False
    events = await door.drain()
    assert [int(event.payload) for event in events] == list(range(READ_AHEAD + 10))
    assert len({event.record for event in events}) == READ_AHEAD + 10
    assert len({event.request_id for event in events}) == READ_AHEAD + 10


async def test_events_that_arrive_while_the_queue_is_read_come_once(door):
    commits = [door.send(b"%d" % n) for n in range(5)]
    reading = asyncio.create_task(door.intake.read_ahead())
    await asyncio.sleep(0)
    commits += [door.send(b"%d" % n) for n in range(5, 10)]
    await reading
    for commit in commits:
        await durable(commit)
    events = await door.drain()
    assert [int(event.payload) for event in events] == list(range(10))


async def test_a_record_that_cannot_be_read_is_dropped_and_counted(door):
    _, commit = door.queue.append(b"of another edgecore")
    await durable(commit)
    await durable(door.send(b"1"))
    assert [event.payload for event in await door.drain()] == [b"1"]
    assert door.tally.counts["unreadable"] == 1
    assert door.queue.count == 1


async def test_an_event_that_was_not_stored_is_not_handled(door, monkeypatch):
    await door.drain()
    commit = door.send(b"1")
    commit.resolve(StoreError("disk full"))
    await asyncio.sleep(0.05)
    assert await door.drain() == []


async def test_size_is_checked(door):
    with pytest.raises(RefusedError):
        door.send(b"x" * 101)
    with pytest.raises(RefusedError):
        await door.intake.invoke(b"x" * 101)
    assert door.tally.counts["refused"] == 1
    assert door.intake.principal == function("f")
