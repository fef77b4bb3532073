"""What is special to the queue on disk; the contract it shares is in tests/contracts/test_durable_queue.py."""

import asyncio

import pytest

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.store import Database, DurableQueue, QueueBounds, StoreSettings, durable
from edgecore.store.queue import IDS_PER_OPENING

WIDE = QueueBounds(1000, 1_000_000)
NO_RESERVE = StoreSettings(reserve_bytes=0)


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as database:
        yield database


async def opened(db, name="q", bounds=WIDE):
    queue = DurableQueue(db, name, bounds)
    await queue.open()
    return queue


async def test_records_survive_and_ids_go_on_growing(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = await opened(db)
        ids = [queue.append(bytes([n]))[0] for n in range(5)]
        await durable(queue.ack(ids[:2] + ids[4:]))
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = await opened(db)
        assert (queue.count, queue.bytes) == (2, 2)
        assert await queue.peek(0, 10, 100) == [(ids[2], b"\x02"), (ids[3], b"\x03")]
        newer, commit = queue.append(b"x")
        await durable(commit)
        assert newer > max(ids)


async def test_ids_grow_also_when_the_queue_was_emptied(tmp_path):
    seen = []
    for _ in range(3):
        async with Database(tmp_path / "core.db", NO_RESERVE) as db:
            queue = await opened(db)
            identifier, _ = queue.append(b"x")
            seen.append(identifier)
            await durable(queue.ack([identifier]))
    assert seen == sorted(set(seen))
    assert seen[0] == IDS_PER_OPENING


@pytest.mark.parametrize("epoch", [0, -100, 1])
async def test_a_number_of_openings_that_was_lost_is_told_by_the_records(tmp_path, epoch):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        for _ in range(3):
            queue = await opened(db)
        old, commit = queue.append(b"old")
        await durable(commit)
        await durable(db.write(lambda c: c.execute("UPDATE queues SET epoch = ?", (epoch,))))
        queue = await opened(db)
        new, commit = queue.append(b"new")
        await durable(commit)
        assert await queue.peek(0, 10, 100) == [(old, b"old"), (new, b"new")]


async def test_queues_are_apart(db):
    one, two = await opened(db, "one"), await opened(db, "two")
    await durable([one.append(b"1")[1], two.append(b"2")[1]])
    assert [record for _, record in await one.peek(0, 10, 100)] == [b"1"]
    assert [record for _, record in await two.peek(0, 10, 100)] == [b"2"]


async def test_a_record_acknowledged_in_its_own_turn_leaves_no_row(db):
    queue = await opened(db)
    first, _ = queue.append(b"a")
    await durable(queue.ack([first]))
    older, commit = queue.append(b"b")
    await durable(commit)
    queue.ack([])  # an ack batch of this turn comes first ...
    younger, _ = queue.append(b"c")
    await durable(queue.ack([older, younger]))  # ... and must not delete before the insertion
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM queue_records").fetchone()) == (0,)


async def test_an_eviction_in_the_same_turn_leaves_no_row(db):
    queue = await opened(db, bounds=QueueBounds(2, 100))
    commits = [queue.append(bytes([n]))[1] for n in range(10)]
    await durable(commits)
    assert [record for _, record in await queue.peek(0, 10, 100)] == [b"\x08", b"\x09"]
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM queue_records").fetchone()) == (2,)
    assert queue.dropped == {"overflow": 8}


async def test_smaller_bounds_at_opening_drop_the_oldest(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = await opened(db)
        await durable([queue.append(bytes([n]))[1] for n in range(10)])
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = await opened(db, bounds=QueueBounds(3, 100))
        assert queue.dropped == {"overflow": 7}
        assert [record for _, record in await queue.peek(0, 10, 100)] == [b"\x07", b"\x08", b"\x09"]
        refusing = await opened(db, bounds=QueueBounds(1, 100, "refuse"))
        assert refusing.count == 3


async def test_opening_reads_in_pieces(db, monkeypatch):
    queue = await opened(db)
    await durable([queue.append(b"xy")[1] for _ in range(10)])
    monkeypatch.setattr("edgecore.store.queue.OPENING_ROWS", 3)
    again = await opened(db)
    assert (again.count, again.bytes) == (10, 20)


async def test_what_the_disk_did_not_take_is_not_held(db, monkeypatch):
    queue = await opened(db, bounds=QueueBounds(2, 100))
    kept = [queue.append(b"a"), queue.append(b"b")]
    await durable([commit for _, commit in kept])
    monkeypatch.setattr("edgecore.store.queue.INSERT", "INSERT INTO missing VALUES (?, ?, ?)")
    _, commit = queue.append(b"c")
    with pytest.raises(StoreError, match="missing"):
        await durable(commit)
    assert queue.count == 1
    assert queue.dropped == {"overflow": 1, "failed": 1}
    monkeypatch.undo()
    # The eviction that went with it is made good by the next deletion.
    await durable(queue.ack([kept[1][0]]))
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM queue_records").fetchone()) == (0,)


async def test_a_deletion_that_failed_is_tried_again_and_not_seen(db, monkeypatch):
    queue = await opened(db)
    ids = [queue.append(b"a")[0], queue.append(b"b")[0]]
    await asyncio.sleep(0)
    monkeypatch.setattr("edgecore.store.queue.DELETE", "DELETE FROM missing WHERE 1 = ? AND 2 = ?")
    with pytest.raises(StoreError):
        await durable(queue.ack(ids[:1]))
    monkeypatch.undo()
    assert await queue.peek(0, 10, 100) == [(ids[1], b"b")]
    await durable(queue.ack([]))
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM queue_records").fetchone()) == (1,)


async def test_acknowledgements_commit_on_a_full_disk(db):
    queue = await opened(db, bounds=QueueBounds(1000, 10_000_000))
    ids = [queue.append(b"x" * 2000)[0] for _ in range(50)]
    await durable(
        db.write(lambda c: c.execute(f"PRAGMA max_page_count={c.execute('PRAGMA page_count').fetchone()[0]}"))
    )
    commits = [queue.append(b"x" * 2000)[1] for _ in range(20)]
    with pytest.raises(StoreError, match="disk is full"):
        await durable(commits)
    await durable(queue.ack(ids))
    assert queue.count == 0
    _, commit = queue.append(b"x" * 2000)  # the freed pages are used again
    await durable(commit)


async def test_too_many_waiting_works_refuse_the_append(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(max_waiting=1, reserve_bytes=0)) as db:
        queue = await opened(db)
        identifier, commit = queue.append(b"x")
        await durable(commit)
        blocking = db.write(lambda c: None)
        with pytest.raises(RefusedError):
            queue.append(b"y")
        await durable([queue.ack([identifier]), blocking])
        assert queue.dropped == {"refused": 1}


async def test_a_closed_store_loses_the_append_openly(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = await opened(db)
    _, commit = queue.append(b"x")
    assert isinstance(commit.error, StoreError)
    assert queue.count == 0


async def test_it_must_be_opened_first(db):
    queue = DurableQueue(db, "q", WIDE)
    with pytest.raises(StoreError, match="before it was opened"):
        queue.append(b"x")


async def test_lanes_and_tags_survive_and_ids_go_on_growing_across_them(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = DurableQueue(db, "q", WIDE, lanes=3)
        await queue.open()
        ids = [queue.append(bytes([n]), lane=n % 3, tag=500 + n)[0] for n in range(6)]
        await durable(queue.ack([ids[0]]))
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        queue = DurableQueue(db, "q", WIDE, lanes=3)
        await queue.open()
        assert [queue.waiting(lane) for lane in range(3)] == [1, 2, 2]
        assert [queue.held(500 + n) for n in range(6)] == [0, 1, 1, 1, 1, 1]
        assert await queue.peek(0, 10, 100, lane=1) == [(ids[1], b"\1"), (ids[4], b"\4")]
        assert queue.append(b"x", lane=1)[0] > max(ids)


async def test_a_record_of_another_lane_acknowledged_in_its_own_turn_leaves_no_row(db):
    queue = DurableQueue(db, "q", WIDE, lanes=3)
    await queue.open()
    queue.append(b"a", lane=2)
    low, _ = queue.append(b"b", lane=0)
    await durable(queue.ack([low]))
    assert await db.read(lambda c: c.execute("SELECT count(*) FROM queue_records").fetchone()) == (1,)


class TestSlotOfAnother:
    """A record that goes from one queue to another is in one of them, whatever happens."""

    async def test_in_one_work(self, tmp_path, monkeypatch):
        works = []
        async with Database(tmp_path / "core.db", NO_RESERVE) as db:
            source, target = await opened(db), await opened(db, "other")
            one, commit = source.append(b"x")
            await durable(commit)
            monkeypatch.setattr(db, "write", lambda work, **_: works.append(work) or Commit())
            target.append_from(source.slot(one), b"y")
            monkeypatch.undo()
            assert len(works) == 1
            await durable(db.write(works[0]))
        async with Database(tmp_path / "core.db", NO_RESERVE) as db:
            assert ((await opened(db)).count, (await opened(db, "other")).count) == (0, 1)

    async def test_what_the_disk_did_not_take_stays_where_it_was(self, tmp_path, monkeypatch):
        async with Database(tmp_path / "core.db", NO_RESERVE) as db:
            source, target = await opened(db), await opened(db, "other")
            one, commit = source.append(b"x")
            await durable(commit)
            monkeypatch.setattr("edgecore.store.queue.INSERT", "INSERT INTO missing VALUES (?, ?, ?)")
            with pytest.raises(StoreError):
                await durable(target.append_from(source.slot(one), b"y")[1])
            monkeypatch.undo()
            assert (await source.peek(0, 9, 99), target.count) == ([(one, b"x")], 0)
            await durable([target.ack([]), source.ack([])])  # no deletion is owed for it
        async with Database(tmp_path / "core.db", NO_RESERVE) as db:
            assert ((await opened(db)).count, (await opened(db, "other")).count) == (1, 0)

    async def test_a_closed_store_says_so(self, tmp_path):
        async with Database(tmp_path / "core.db", NO_RESERVE) as db:
            source, target = await opened(db), await opened(db, "other")
            one, commit = source.append(b"x")
            await durable(commit)
        _, commit = target.append_from(source.slot(one), b"y")
        assert isinstance(commit.error, StoreError)
        assert source.count == 1
