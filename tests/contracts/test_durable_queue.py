"""One suite for every implementation of the queue: on disk and in memory."""

import asyncio

import pytest

from edgecore.base.errors import RefusedError
from edgecore.store import Database, DurableQueue, MemoryQueue, QueueBounds, StoreSettings, durable


@pytest.fixture(params=["disk", "memory"])
async def make(request, tmp_path):
    if request.param == "memory":

        async def memory(bounds, lanes=1, name="q"):
            queue = MemoryQueue(name, bounds, lanes)
            await queue.open()
            return queue

        yield memory
        return
    async with Database(tmp_path / "core.db", StoreSettings(reserve_bytes=0)) as db:

        async def disk(bounds, lanes=1, name="q"):
            queue = DurableQueue(db, name, bounds, lanes)
            await queue.open()
            return queue

        yield disk


async def test_records_come_back_in_order(make):
    queue = await make(QueueBounds(100, 1000))
    ids = []
    for n in range(10):
        identifier, commit = queue.append(bytes([n]))
        ids.append(identifier)
        await durable(commit)
    assert ids == sorted(set(ids))
    assert await queue.peek(0, 100, 1000) == [(i, bytes([n])) for n, i in enumerate(ids)]
    assert (queue.count, queue.bytes) == (10, 10)


async def test_peek_takes_nothing_out_and_goes_on_after_an_id(make):
    queue = await make(QueueBounds(100, 1000))
    ids = [queue.append(bytes([n]))[0] for n in range(5)]
    assert [i for i, _ in await queue.peek(0, 2, 1000)] == ids[:2]
    assert [i for i, _ in await queue.peek(0, 2, 1000)] == ids[:2]
    assert [i for i, _ in await queue.peek(ids[1], 2, 1000)] == ids[2:4]
    assert await queue.peek(ids[-1], 2, 1000) == []


@pytest.mark.parametrize("lanes", [1, 3])
async def test_what_is_asked_is_answered_as_peek_does(make, lanes):
    queue = await make(QueueBounds(100, 1000), lanes)
    ids = [queue.append(bytes([n]), lane=lanes - 1)[0] for n in range(5)]
    answer = asyncio.get_running_loop().create_future()
    queue.ask(ids[0], 3, 1000, lanes - 1, answer.set_result)
    assert await answer == [(ids[n], bytes([n])) for n in (1, 2, 3)]


async def test_ack_deletes_only_what_it_names(make):
    """Whatever lies between: of the same lane or of another, and in whatever order they are named."""
    queue = await make(QueueBounds(100, 1000), 2)
    ids = [queue.append(bytes([n]), lane=n % 2)[0] for n in range(12)]
    gone = [10, 3, 4, 5, 7, 0, 1]
    await durable(queue.ack(ids[n] for n in gone))
    left = [ids[n] for n in range(12) if n not in gone]
    found = await queue.peek(0, 100, 1000, 0) + await queue.peek(0, 100, 1000, 1)
    assert sorted(identifier for identifier, _ in found) == left


async def test_peek_is_bounded_by_bytes_but_gives_at_least_one(make):
    queue = await make(QueueBounds(100, 1000))
    for _ in range(5):
        queue.append(b"x" * 10)
    assert len(await queue.peek(0, 100, 25)) == 2
    assert len(await queue.peek(0, 100, 1)) == 1


async def test_ack_deletes_in_any_order_and_ignores_unknown(make):
    queue = await make(QueueBounds(100, 1000))
    ids = [queue.append(bytes([n]))[0] for n in range(4)]
    await durable(queue.ack([ids[2], ids[0], 999_999_999]))
    await durable(queue.ack([ids[2]]))
    assert [i for i, _ in await queue.peek(0, 100, 1000)] == [ids[1], ids[3]]
    assert (queue.count, queue.bytes) == (2, 2)


async def test_drop_oldest(make):
    queue = await make(QueueBounds(3, 1000))
    for n in range(5):
        await durable(queue.append(bytes([n]))[1])
    assert [r for _, r in await queue.peek(0, 100, 1000)] == [b"\2", b"\3", b"\4"]
    assert queue.dropped == {"overflow": 2}


async def test_drop_oldest_by_bytes(make):
    queue = await make(QueueBounds(100, 25))
    for n in range(3):
        await durable(queue.append(bytes([n]) * 10)[1])
    assert queue.count == 2
    await durable(queue.append(b"x" * 25)[1])
    assert (queue.count, queue.bytes) == (1, 25)


async def test_refuse(make):
    queue = await make(QueueBounds(1, 1000, "refuse"))
    first, commit = queue.append(b"a")
    await durable(commit)
    with pytest.raises(RefusedError, match="full"):
        queue.append(b"b")
    await durable(queue.ack([first]))
    second, commit = queue.append(b"c")
    await durable(commit)
    assert second > first
    assert queue.dropped == {"refused": 1}


async def test_a_record_above_the_bound_is_refused_by_either_rule(make):
    queue = await make(QueueBounds(10, 10))
    with pytest.raises(RefusedError):
        queue.append(b"x" * 11)
    assert (queue.count, queue.dropped) == (0, {"too-large": 1})


async def test_an_empty_record_is_a_record(make):
    queue = await make(QueueBounds(10, 10))
    identifier, commit = queue.append(b"")
    await durable(commit)
    assert await queue.peek(0, 1, 1) == [(identifier, b"")]


async def test_lanes_are_read_apart_and_bounded_together(make):
    queue = await make(QueueBounds(4, 1000), lanes=3)
    ids = [queue.append(bytes([n]), lane, tag=lane + 65_536)[0] for n, lane in enumerate((2, 0, 0, 2))]
    assert ids == sorted(ids)
    assert await queue.peek(0, 10, 100, lane=0) == [(ids[1], b"\1"), (ids[2], b"\2")]
    assert (queue.count, queue.bytes, queue.held(0), queue.held(2), queue.waiting(2)) == (4, 12, 2, 2, 2)
    high, _ = queue.append(b"x", 2, tag=7)
    assert [i for i, _ in await queue.peek(0, 10, 100, lane=0)] == [ids[2]]
    assert [i for i, _ in await queue.peek(ids[0], 10, 100, lane=2)] == [ids[3], high]
    assert (ids[1] in queue, ids[2] in queue, queue.held(7)) == (False, True, 1)
    await durable(queue.ack([ids[2], high]))
    assert (queue.count, queue.held(7), queue.held(0), queue.waiting(0)) == (2, 0, 0, 0)


async def test_a_full_queue_spares_what_is_kept_and_takes_nothing_lower(make):
    queue = await make(QueueBounds(2, 1000), lanes=3)
    ids = [queue.append(b"a", 1)[0] for _ in range(2)]
    queue.append(b"b", 1, kept=ids[:1].__contains__)
    assert (ids[0] in queue, ids[1] in queue) == (True, False)
    low, commit = queue.append(b"c", 0)
    await durable(commit)
    assert low not in queue
    assert queue.dropped == {"overflow": 2}


async def test_a_record_takes_the_place_of_one_of_another_queue(make):
    source, target = await make(QueueBounds(9, 99)), await make(QueueBounds(9, 99), lanes=3, name="other")
    one, two = (source.append(each)[0] for each in (b"1", b"2"))
    identifier, commit = target.append_from(source.slot(one), b"new", lane=2, tag=7)
    await durable(commit)
    assert await source.peek(0, 9, 99) == [(two, b"2")]
    assert await target.peek(0, 9, 99, lane=2) == [(identifier, b"new")]
    assert (source.count, source.bytes, target.count, target.held(7)) == (1, 1, 1, 1)


async def test_there_is_no_place_of_what_is_not_held(make):
    queue = await make(QueueBounds(9, 99))
    identifier, _ = queue.append(b"x")
    await durable(queue.ack([identifier]))
    assert queue.slot(identifier) is None


@pytest.mark.parametrize("bounds", [QueueBounds(1, 99), QueueBounds(9, 4)])
async def test_nothing_gives_way_to_what_comes_from_another_queue(make, bounds):
    source, target = await make(QueueBounds(9, 99)), await make(bounds, name="other")
    one, _ = source.append(b"xxxx")
    target.append(b"old")
    with pytest.raises(RefusedError, match="queue other is full: 1 records, 3 bytes"):
        target.append_from(source.slot(one), b"new")
    assert (source.count, target.count, target.dropped) == (1, 1, {})
    assert [record for _, record in await target.peek(0, 9, 99)] == [b"old"]
