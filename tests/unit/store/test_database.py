"""The writer thread, group commit, isolation of failures, bounds, and what happens to a damaged file."""

import asyncio
import sqlite3
import threading

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import RefusedError, StoreError
from edgecore.store import Database, StoreSettings, durable

SMALL = StoreSettings(reserve_bytes=4096)


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "core.db", SMALL, ManualClock()) as database:
        await durable(database.write(lambda c: c.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")))
        yield database


def insert(x, y=b""):
    return lambda connection: connection.execute("INSERT INTO t VALUES (?, ?)", (x, y))


async def rows(db):
    return [x for (x,) in await db.read(lambda c: c.execute("SELECT x FROM t ORDER BY x").fetchall())]


async def test_opens_in_wal_with_full_sync(db):
    pragmas = await db.read(
        lambda c: [c.execute(f"PRAGMA {p}").fetchone()[0] for p in ("journal_mode", "synchronous")]
    )
    assert pragmas == ["wal", 2]


async def test_a_read_sees_every_write_submitted_before(db):
    for x in range(5):
        db.write(insert(x))
    assert await rows(db) == [0, 1, 2, 3, 4]


async def test_all_writes_of_a_turn_are_one_transaction(db):
    before = db.status()["commits"]
    commits = [db.write(insert(x)) for x in range(50)]
    await durable(commits)
    assert db.status()["commits"] == before + 1


async def test_what_waits_behind_a_busy_thread_becomes_one_group(db):
    release, entered = threading.Event(), threading.Event()

    def block(connection):
        entered.set()
        assert release.wait(10)

    first = db.write(block)
    assert await asyncio.to_thread(entered.wait, 10)
    before = db.status()["commits"]
    commits = []
    for x in range(10):
        commits.append(db.write(insert(x)))
        await asyncio.sleep(0)  # each in a turn of its own
    assert not first.resolved
    release.set()
    await durable([first, *commits])
    assert db.status()["commits"] == before + 2


async def test_commits_are_resolved_in_order_on_the_loops_thread(db):
    seen = []
    commits = [db.write(insert(x)) for x in range(3)]
    for x, commit in enumerate(commits):
        commit.when_done(lambda error, x=x: seen.append((x, error, threading.current_thread())))
    await durable(commits)
    assert seen == [(x, None, threading.main_thread()) for x in range(3)]


async def test_a_failing_work_fails_only_its_own_commit(db):
    good, bad, also_good = db.write(insert(1)), db.write(insert(1)), db.write(insert(2))
    await durable([good, also_good])
    with pytest.raises(StoreError, match="IntegrityError"):
        await durable(bad)
    assert await rows(db) == [1, 2]
    assert db.status()["failed"] == 1


async def test_a_work_that_raises_anything_leaves_nothing_behind(db):
    def half(connection):
        connection.execute("INSERT INTO t VALUES (7, '')")
        raise ValueError("no")

    with pytest.raises(StoreError, match="ValueError: no"):
        await durable(db.write(half))
    assert await rows(db) == []


async def test_a_callback_may_write_again(db):
    second = []
    first = db.write(insert(1))
    first.when_done(lambda _: second.append(db.write(insert(2))))
    await durable(first)
    await durable(second)
    assert await rows(db) == [1, 2]


async def test_a_bounded_number_of_works_may_wait(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(max_waiting=2, reserve_bytes=0)) as db:
        commits = [db.write(lambda c: None), db.write(lambda c: None)]
        with pytest.raises(RefusedError, match="2 works wait"):
            db.write(lambda c: None)
        commits.append(db.write(lambda c: None, frees=True))
        await durable(commits)
        await durable(db.write(lambda c: None))
        assert db.status()["refused"] == 1


async def test_a_read_may_not_write(db):
    with pytest.raises(StoreError, match="readonly"):
        await db.read(insert(1))
    assert await rows(db) == []


async def test_a_reads_own_error_comes_back_as_it_is(db):
    with pytest.raises(KeyError):
        await db.read(lambda c: {}["missing"])


async def test_a_cancelled_read_disturbs_nobody(db):
    reading = asyncio.ensure_future(db.read(lambda c: 1))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await db.read(lambda c: 2) == 2


async def test_leaving_commits_what_was_submitted(tmp_path):
    async with Database(tmp_path / "core.db", SMALL) as db:
        await durable(db.write(lambda c: c.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")))
        commit = db.write(insert(1))
    assert commit.resolved
    assert commit.error is None
    async with Database(tmp_path / "core.db", SMALL) as db:
        assert await rows(db) == [1]


async def test_a_closed_database_fails_commits_and_reads(tmp_path):
    db = Database(tmp_path / "core.db", SMALL)
    commit = db.write(insert(1))
    assert isinstance(commit.error, StoreError)
    with pytest.raises(StoreError, match="not open"):
        await db.read(lambda c: 1)


async def test_it_cannot_be_opened_twice(db):
    with pytest.raises(StoreError, match="already open"):
        await db.__aenter__()


async def test_a_path_that_cannot_be_opened_is_said(tmp_path):
    with pytest.raises(StoreError, match="nowhere"):
        async with Database(tmp_path / "nowhere" / "core.db", SMALL):
            pass


@pytest.mark.parametrize(("where", "salvaged"), [(0, {}), (4096, {"t": 100})])
async def test_a_damaged_file_is_salvaged_set_aside_and_reported(tmp_path, where, salvaged):
    path = tmp_path / "core.db"
    async with Database(path, SMALL) as db:
        await durable(db.write(lambda c: c.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")))
        await durable([db.write(insert(x, b"y" * 500)) for x in range(100)])
    content = bytearray(path.read_bytes())
    content[where : where + 2000] = b"\xff" * 2000
    path.write_bytes(content)
    async with Database(path, SMALL, ManualClock()) as db:
        assert db.status()["set_aside"] == ["core.db.damaged-20231114T221320Z"]
        assert db.status()["salvaged"] == {"core.db.damaged-20231114T221320Z": salvaged}
        if salvaged:
            assert await rows(db) == list(range(100))
    async with Database(path, SMALL) as db:  # as long as it lies there
        assert db.status()["salvaged"] == {"core.db.damaged-20231114T221320Z": salvaged}
    assert (tmp_path / "core.db.damaged-20231114T221320Z").read_bytes() == content


async def test_as_a_unit_it_runs_until_cancelled(tmp_path):
    db = Database(tmp_path / "core.db", SMALL)
    ready = asyncio.Event()
    running = asyncio.ensure_future(db.run(ready.set))
    await asyncio.wait_for(ready.wait(), 10)
    assert db.status()["open"] is True
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert db.status()["open"] is False


@pytest.mark.parametrize("reading", [False, True])
async def test_damage_met_while_running_breaks_the_unit(tmp_path, reading):
    def meet_damage(connection):
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    db = Database(tmp_path / "core.db", SMALL)
    ready = asyncio.Event()
    running = asyncio.ensure_future(db.run(ready.set))
    await asyncio.wait_for(ready.wait(), 10)
    met = []
    if reading:
        db.ask(meet_damage, met.append)
    else:
        db.write(meet_damage).when_done(met.append)
    with pytest.raises(StoreError, match="malformed"):
        await asyncio.wait_for(running, 10)
    assert isinstance(met[0], StoreError)


async def test_a_broken_database_takes_nothing_more(db):
    db._break(StoreError("broken"))
    assert isinstance(db.write(insert(1)).error, StoreError)
    with pytest.raises(StoreError, match="cannot be used further"):
        await db.read(lambda c: 1)


async def test_a_bug_in_the_thread_fails_the_commits_and_the_unit(db, monkeypatch):
    def explode(*_):
        raise RuntimeError("bug")

    monkeypatch.setattr("edgecore.store.database.commit_group", explode)
    with pytest.raises(StoreError, match="bug"):
        await durable(db.write(insert(1)))
    with pytest.raises(StoreError, match="bug"):
        await db._broken


async def test_a_full_disk_fails_the_commit_and_lets_deletions_through(db):
    await durable([db.write(insert(x, b"y" * 3000)) for x in range(50)])
    await durable(
        db.write(lambda c: c.execute(f"PRAGMA max_page_count={c.execute('PRAGMA page_count').fetchone()[0]}"))
    )
    commits = [db.write(insert(x, b"y" * 3000)) for x in range(100, 120)]
    delete = db.write(lambda c: c.execute("DELETE FROM t WHERE x < 25"), frees=True)
    await durable(delete)
    with pytest.raises(StoreError, match="disk is full"):
        await durable(commits[-1])
    assert [x for x in await rows(db) if x < 50] == list(range(25, 50))


async def test_without_room_for_the_reserve_only_deletions_run(db, monkeypatch):
    await durable([db.write(insert(x)) for x in range(3)])
    await asyncio.to_thread(db._reserve.release)
    monkeypatch.setattr(db._reserve, "_allocate", lambda: False)
    refused, taken = (
        db.write(insert(9)),
        db.write(lambda c: c.execute("DELETE FROM t WHERE x = 1"), frees=True),
    )
    await durable(taken)
    with pytest.raises(StoreError, match="only deletions"):
        await durable(refused)
    assert db.status()["disk_full"] is True
    monkeypatch.undo()
    await durable(db.write(insert(9)))
    assert await rows(db) == [0, 2, 9]
    assert db.status()["disk_full"] is False


async def test_pages_that_deletions_freed_are_used_although_the_disk_is_full(db, monkeypatch):
    await durable([db.write(insert(x, b"y" * 3000)) for x in range(10)])
    await asyncio.to_thread(db._reserve.release)
    monkeypatch.setattr(db._reserve, "_allocate", lambda: False)
    await durable(db.write(lambda c: c.execute("DELETE FROM t"), frees=True))
    await durable(db.write(insert(1)))
    assert await rows(db) == [1]


async def test_migrate_by_the_writer(db):
    await db.migrate("room", ["CREATE TABLE a (x)"])
    await db.migrate("room", ["CREATE TABLE a (x)", "CREATE TABLE b (x)"])
    with pytest.raises(StoreError, match="newer edgecore"):
        await db.migrate("room", [])


async def test_what_is_deleted_is_written_over(tmp_path):
    """Salvage reads pages: an old row's bytes must not become another row's."""
    async with Database(tmp_path / "core.db") as db:
        found = await db.read(lambda connection: connection.execute("PRAGMA secure_delete").fetchone())
    assert found == (1,)
