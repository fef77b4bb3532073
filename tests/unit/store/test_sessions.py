import asyncio
import sqlite3
from types import SimpleNamespace

import pytest

from edgecore.base.errors import RefusedError, StoreError
from edgecore.store import Database, SessionStore, StoreSettings, durable
from edgecore.store.sessions import MAX_FETCH, StoredRow, runs

NO_RESERVE = StoreSettings(reserve_bytes=0)


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as database:
        yield database


@pytest.fixture
async def store(db):
    store = SessionStore(db)
    assert list((await store.open()).messages) == []
    return store


async def found(db):
    """What another run would find."""
    loaded = await SessionStore(db).open()
    assert len(loaded.messages) == len(list(loaded.messages))
    return SimpleNamespace(
        sessions=loaded.sessions,
        messages=list(loaded.messages),
        incoming=loaded.incoming,
        unusable=loaded.messages.unusable,
    )


async def left_behind(path):
    """What another run finds in the file."""
    async with Database(path, NO_RESERVE) as db:
        return await found(db)


async def fetched(store, ids):
    answers = asyncio.get_running_loop().create_future()
    store.fetch(ids, answers.set_result)
    return await answers


def test_neighbours_are_one_run():
    assert runs([]) == []
    assert runs([3, 1, 2, 2, 7, 9, 8, 5]) == [(1, 3), (5, 5), (7, 9)]


async def test_sessions_messages_and_identifiers_survive_in_order(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        one, two = store.new_key(), store.new_key()
        store.save(two, b"second")
        store.save(one, b"old")
        store.save(one, b"first")
        ids = [store.insert(two if n % 2 else one, n + 7, n % 3, b"x" * n, None)[0] for n in range(4)]
        store.insert_incoming(one, 40)
        store.insert_incoming(one, 40)
        store.insert_incoming(two, 40)
    loaded = await left_behind(tmp_path / "core.db")
    assert loaded.sessions == [(one, b"first"), (two, b"second")]
    assert loaded.messages == [
        StoredRow(ids[n], two if n % 2 else one, n + 7, n % 3, n, released=0) for n in range(4)
    ]
    assert sorted(loaded.incoming) == [(one, 40), (two, 40)]
    assert loaded.unusable == []


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ("renew", [b"1"]),
        ("save renew", [b"2"]),
        ("renew save", [b"2"]),
        ("renew discard", []),
        ("save renew discard", []),
    ],
)
async def test_a_record_that_is_renewed_in_the_same_turn_is_written_once_and_last(db, store, steps, kept):
    key = store.new_key()
    await durable(store.save(key, b"0"))
    commits = []
    for number, step in enumerate(steps.split(), 1):
        commits.append(
            store.discard(key, ()) if step == "discard" else getattr(store, step)(key, b"%d" % number)
        )
    await durable(commits)
    assert [record for _, record in (await found(db)).sessions] == kept


async def test_a_record_is_renewed_also_when_nothing_more_is_taken(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(max_waiting=1, reserve_bytes=0)) as db:
        store = SessionStore(db)
        await store.open()
        await durable(store.save(1, b"old"))
        store.insert(1, 1, 1, b"x", None)
        with pytest.raises(RefusedError):
            db.write(lambda connection: None)
        store.renew(1, b"new")
    assert (await left_behind(tmp_path / "core.db")).sessions == [(1, b"new")]


async def test_keys_and_ids_go_on_growing_after_a_restart(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        key = store.new_key()
        store.save(key, b"it")
        number, _ = store.insert(key, 1, 1, b"", None)
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        assert store.new_key() == key + 1
        assert store.insert(key, 1, 1, b"", None)[0] == number + 1


@pytest.mark.parametrize("table", ["session_messages", "session_incoming"])
async def test_a_key_that_something_still_bears_is_not_given_out_again(tmp_path, table):
    """A session that is begun must not find what another one left: identifiers that it never took."""
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        store.insert(7, 1, 1, b"", None) if table == "session_messages" else store.insert_incoming(7, 1)
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        assert store.new_key() == 8


async def test_all_of_a_turn_is_one_commit(db, store):
    before = db.status()
    commits = {store.save(store.new_key(), b"") for _ in range(3)}
    commits |= {store.insert(1, n, 1, b"", None)[1] for n in range(1, 4)}
    commits.add(store.insert_incoming(1, 1))
    assert len(commits) == 1
    await durable(list(commits))
    after = db.status()
    assert (after["commits"] - before["commits"], after["works"] - before["works"]) == (1, 1)


async def test_what_is_erased_in_its_own_turn_is_never_written(db, store):
    before = db.status()["works"]
    number, commit = store.insert(1, 1, 1, b"x", None)
    assert store.erase([number]) is None
    await durable(commit)
    assert db.status()["works"] == before + 1
    assert (await found(db)).messages == []


async def test_what_was_handed_over_is_erased_by_a_commit_of_its_own(db, store):
    ids = [store.insert(1, n, 1, b"x", None)[0] for n in range(1, 6)]
    await durable(store.insert_incoming(1, 9))
    young, _ = store.insert(1, 6, 1, b"y", None)
    await durable(store.erase([ids[0], ids[1], ids[3], young]))
    assert [row.id for row in (await found(db)).messages] == [ids[2], ids[4]]


async def test_what_is_given_away_goes_with_what_takes_its_place_or_not_at_all(db, store):
    old, commit = store.insert(1, 1, 1, b"body", None)
    await durable(commit)
    await durable(
        db.write(lambda c: c.execute(f"PRAGMA max_page_count={c.execute('PRAGMA page_count').fetchone()[0]}"))
    )
    store.insert(2, 1, 1, b"x" * 50_000, None)
    with pytest.raises(StoreError, match="disk is full"):
        await durable(store.give_away([old]))
    assert [row.id for row in (await found(db)).messages] == [old]
    new, _ = store.insert(2, 1, 1, b"body", None)
    await durable(store.give_away([old]))
    assert [row.id for row in (await found(db)).messages] == [new]


async def test_a_released_message_keeps_its_row_and_has_no_body(db, store):
    number, commit = store.insert(1, 5, 2, b"body", b"extra")
    await durable(commit)
    await durable(store.release(number))
    assert (await found(db)).messages == [StoredRow(number, 1, 5, 2, 0, released=1)]
    assert await fetched(store, [number]) == []


async def test_the_size_of_a_row_is_all_of_its_body(db, store):
    store.insert(1, 1, 1, b"12345", b"678")
    await durable(store.insert(1, 2, 1, b"12345", None)[1])
    assert [row.size for row in (await found(db)).messages] == [8, 5]


async def test_bodies_are_read_by_id_in_order_and_those_that_are_not_there_are_left_out(store):
    ids = [store.insert(1, n, 1, bytes([n]), b"e" if n == 2 else None)[0] for n in range(1, 4)]
    assert await fetched(store, [ids[2], 999, ids[1], ids[0]]) == [
        (ids[0], b"\1", None),
        (ids[1], b"\2", b"e"),
        (ids[2], b"\3", None),
    ]
    assert await fetched(store, []) == []


async def test_a_page_of_bodies_is_bounded(store):
    ids = [store.insert(1, n, 1, b"", None)[0] for n in range(1, MAX_FETCH + 2)]
    assert [each[0] for each in await fetched(store, ids)] == ids[:MAX_FETCH]


async def test_what_cannot_be_read_is_an_error_to_the_one_who_asked(db, store):
    await durable(db.write(lambda c: c.execute("DROP TABLE session_messages")))
    assert isinstance(await fetched(store, [1]), StoreError)


async def test_a_discarded_session_leaves_nothing(db, store):
    gone, stays = store.new_key(), store.new_key()
    for key in (gone, stays):
        store.save(key, b"it")
        store.insert_incoming(key, 3)
    ids = [store.insert(key, 1, 1, b"", None)[0] for key in (gone, stays)]
    await durable(store.save(stays, b"it"))
    await durable(store.discard(gone, ids[:1]))
    loaded = await found(db)
    assert loaded.sessions == [(stays, b"it")]
    assert [row.id for row in loaded.messages] == ids[1:]
    assert loaded.incoming == [(stays, 3)]


async def test_a_session_that_is_discarded_in_the_turn_in_which_it_changed_leaves_nothing(db, store):
    key = store.new_key()
    await durable(store.save(key, b"it"))
    other, _ = store.insert(9, 1, 1, b"", None)
    await durable(store.save(key, b"it"))
    store.erase([other])  # the deletions of this turn were begun before its changes
    store.save(key, b"changed")
    store.insert_incoming(key, 3)
    number, _ = store.insert(key, 1, 1, b"", None)
    await durable(store.discard(key, [number]))
    loaded = await found(db)
    assert (loaded.sessions, loaded.messages, loaded.incoming) == ([], [], [])


@pytest.mark.parametrize("deletions_first", [True, False])
async def test_an_identifier_that_is_let_go_in_the_turn_in_which_it_was_taken_is_free(
    db, store, deletions_first
):
    """Else a later message under it would be taken for a repeated one, acknowledged and lost."""
    other, commit = store.insert(9, 1, 1, b"", None)
    await durable(commit)
    if deletions_first:
        store.erase([other])
    store.insert_incoming(1, 5)
    await durable(store.erase_incoming(1, 5))
    assert (await found(db)).incoming == []


@pytest.mark.parametrize("changes_first", [True, False])
async def test_an_identifier_that_is_taken_again_in_the_turn_in_which_it_was_let_go_is_kept(
    db, store, changes_first
):
    await durable(store.insert_incoming(1, 5))
    if changes_first:
        store.save(1, b"it")
    freed = store.erase_incoming(1, 5)
    await durable([freed, store.insert_incoming(1, 5)])
    assert (await found(db)).incoming == [(1, 5)]


async def test_on_a_full_disk_sessions_still_end_and_messages_still_go(db, store):
    key = store.new_key()
    store.save(key, b"it")
    store.insert_incoming(key, 3)
    number, commit = store.insert(key, 1, 1, b"x" * 5000, None)
    await durable(commit)
    await durable(
        db.write(lambda c: c.execute(f"PRAGMA max_page_count={c.execute('PRAGMA page_count').fetchone()[0]}"))
    )
    _, too_much = store.insert(key, 2, 1, b"x" * 50_000, None)
    ended = store.discard(key, [number])
    with pytest.raises(StoreError, match="disk is full"):
        await durable(too_much)
    await durable(ended)
    loaded = await found(db)
    assert (loaded.sessions, loaded.messages, loaded.incoming) == ([], [], [])


async def test_too_much_that_waits_is_refused_but_not_what_goes(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(max_waiting=1, reserve_bytes=0)) as db:
        store = SessionStore(db)
        await store.open()
        waiting = db.write(lambda c: None)
        with pytest.raises(RefusedError):
            store.save(1, b"")
        with pytest.raises(RefusedError):
            store.insert(1, 1, 1, b"", None)
        await durable([store.discard(1, [1]), store.release(1), store.erase_incoming(1, 1), waiting])


async def test_a_row_that_can_be_no_message_is_named_and_the_others_are_read(tmp_path):
    """SQLite checks its pages and not what is in them: a bit that has flipped must not stop the core."""
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        await durable(store.insert(1, 5, 1, b"good", None)[1])
    with sqlite3.connect(tmp_path / "core.db") as damaged:
        bad = [(2, -1, 5, 1, b""), (3, 1, 70_000, 1, b""), (4, 1, 5, 70_000, b""), (5, "?", 5, 1, b""), (-6, 1, 5, 1, b"")]  # fmt: skip
        damaged.executemany("INSERT INTO session_messages VALUES (?, ?, ?, ?, ?, NULL)", bad)
        damaged.execute("INSERT INTO session_incoming VALUES (1, ?), (1, ?)", (70_000, b"?"))
    damaged.close()
    loaded = await left_behind(tmp_path / "core.db")
    assert loaded.messages == [StoredRow(1, 1, 5, 1, 4, 0), StoredRow(5, 0, 5, 1, 0, 0)]  # 0: nobody's
    assert loaded.unusable == [-6, 2, 3, 4]
    assert loaded.incoming == []


async def test_a_session_that_is_no_record_is_none(tmp_path):
    async with Database(tmp_path / "core.db", NO_RESERVE) as db:
        store = SessionStore(db)
        await store.open()
        await durable(store.save(3, b"good"))
    with sqlite3.connect(tmp_path / "core.db") as damaged:
        damaged.execute("INSERT INTO sessions VALUES (4, 'text'), (5, 17)")
    damaged.close()
    assert (await left_behind(tmp_path / "core.db")).sessions == [(3, b"good"), (4, b"text"), (5, b"17")]
