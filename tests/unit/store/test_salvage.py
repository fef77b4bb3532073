"""A sound database out of a damaged one: rows, schema, numbers; room and time that do not suffice."""

import itertools
import sqlite3
import struct
import tracemalloc
from contextlib import closing

import pytest

from edgecore.store.migrate import migrate
from edgecore.store.queue import ROOM, SCHEMA
from edgecore.store.salvage import COMMIT_AFTER, Salvaged, salvage

PLENTY = 10**9
SITE = (
    """
    CREATE TABLE notes (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, text TEXT);
    CREATE TABLE beat (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL) STRICT;
    """,
)
RECORDS = {(queue, (1 << 44) + n): bytes([n % 256]) * (60 + n % 900) for queue in (1, 2) for n in range(600)}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        migrate(connection, ROOM, SCHEMA)
        migrate(connection, "site", SITE)
        connection.execute("INSERT INTO queues VALUES (1, 'outbox', 1), (2, 'function:f', 1)")
        connection.executemany(
            "INSERT INTO queue_records VALUES (?, ?, ?)", [(*key, record) for key, record in RECORDS.items()]
        )
        connection.executemany(
            "INSERT INTO notes (name, text) VALUES (?, ?)", [(f"n{n}", "x" * 300) for n in range(60)]
        )
        connection.execute("DELETE FROM notes WHERE number > 55")
        connection.execute("ALTER TABLE notes ADD COLUMN later TEXT NOT NULL DEFAULT 'none'")
        connection.execute("INSERT INTO notes (name, text, later) VALUES ('new', NULL, 'set')")
        connection.execute("INSERT INTO beat VALUES (1, 5.0)")
        migrate(connection, "site", SITE)
        connection.execute("COMMIT")
    return path


def query(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def records(path):
    return {
        (queue, number): record
        for queue, number, record in query(path, "SELECT queue, id, record FROM queue_records")
    }


def root(path, name):
    return query(path, f"SELECT rootpage FROM sqlite_master WHERE name = '{name}'")[0][0]


def zero(path, *numbers):
    content = bytearray(path.read_bytes())
    for number in numbers:
        content[(number - 1) * 4096 : number * 4096] = bytes(4096)
    path.write_bytes(content)


def test_a_sound_file_is_copied_whole(path, tmp_path):
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert found.rows == {"migrations": 2, "queues": 2, "queue_records": 1200, "notes": 56, "beat": 1}
    assert found.unread() == ""
    for table in ("queues", "queue_records", "notes", "beat", "migrations", "sqlite_sequence"):
        statement = f"SELECT * FROM {table} ORDER BY 1, 2"
        assert query(tmp_path / "y.db", statement) == query(path, statement)
    schema = "SELECT name, sql FROM sqlite_master WHERE name != 'catalogue' ORDER BY name"
    assert query(tmp_path / "y.db", schema) == query(path, schema)
    assert query(tmp_path / "y.db", "PRAGMA integrity_check") == [("ok",)]
    assert (tmp_path / "y.db").stat().st_mode & 0o777 == 0o600


def test_the_damaged_file_is_only_read(path, tmp_path):
    zero(path, 4)
    before = path.read_bytes()
    salvage(path, tmp_path / "y.db", PLENTY)
    assert path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.db", "y.db"]


def test_the_first_page_is_made_good_by_the_catalogue(path, tmp_path):
    zero(path, 1)
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert records(tmp_path / "y.db") == RECORDS
    assert found.rows["notes"] == 56
    assert found.rows["migrations"] == 2
    assert found.unread() == "1 pages"


def test_the_catalogue_is_made_good_by_the_first_page(path, tmp_path):
    zero(path, root(path, "catalogue"))
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert records(tmp_path / "y.db") == RECORDS
    assert found.rows["migrations"] == 2


def test_without_both_nothing_can_be_told(path, tmp_path):
    zero(path, 1, root(path, "catalogue"))
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert found.rows == {}
    assert query(tmp_path / "y.db", "PRAGMA integrity_check") == [("ok",)]


def test_a_name_that_was_altered_in_the_first_page_is_put_right(path, tmp_path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET name = 'queue_recorts', tbl_name = 'queue_recorts',"
            " sql = replace(sql, 'queue_records', 'queue_recorts') WHERE name = 'queue_records'"
        )
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert records(tmp_path / "y.db") == RECORDS
    assert "queue_recorts" not in found.rows


def test_steps_that_are_lost_come_from_the_catalogue(path, tmp_path):
    zero(path, root(path, "migrations"))
    salvage(path, tmp_path / "y.db", PLENTY)
    assert query(tmp_path / "y.db", "SELECT * FROM migrations") == [
        (room, 1, digest)
        for room, digest in query(path.with_name("y.db"), "SELECT room, digest FROM migrations")
    ]
    assert len(query(tmp_path / "y.db", "SELECT * FROM migrations")) == 2


def test_with_an_unsure_schema_the_steps_run_again_on_the_tables_that_are_there(path, tmp_path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE catalogue")
    content = bytearray(path.read_bytes())
    where = content.index(b"CREATE TABLE beat")
    content[where : where + 6] = b"\xff" * 6  # no UTF-8: this row of the schema is lost
    path.write_bytes(content)
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert "beat" not in found.rows
    assert found.rows["migrations"] == 0
    with closing(sqlite3.connect(tmp_path / "y.db", isolation_level=None)) as connection:
        migrate(connection, ROOM, SCHEMA)
        assert connection.execute("SELECT count(*) FROM queue_records").fetchone() == (1200,)


def test_a_queue_is_known_again_by_its_index(path, tmp_path):
    zero(path, root(path, "queues"))
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert query(tmp_path / "y.db", "SELECT * FROM queues") == [(1, "outbox", 0), (2, "function:f", 0)]
    assert records(tmp_path / "y.db") == RECORDS
    assert found.missing == []


def test_records_of_a_queue_without_a_name_are_given_up(path, tmp_path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM queues WHERE key = 2")
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert records(tmp_path / "y.db") == {key: record for key, record in RECORDS.items() if key[0] == 1}
    assert found.lost_rows == 600


def test_rows_that_only_an_index_remembers_are_named(path, tmp_path):
    (leaf,) = {
        number
        for number in range(1, 200)
        if b"n30" in path.read_bytes()[(number - 1) * 4096 : number * 4096]
        and b"x" * 300 in path.read_bytes()[(number - 1) * 4096 : number * 4096]
    }
    zero(path, leaf)
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert "notes 'n30'" in found.missing
    assert found.rows["notes"] == 56 - len(found.missing)
    assert "the rows of notes 'n" in found.unread()


def test_no_number_is_given_twice(path, tmp_path):
    salvage(path, tmp_path / "y.db", PLENTY)
    with closing(sqlite3.connect(tmp_path / "y.db")) as connection:
        cursor = connection.execute("INSERT INTO notes (name) VALUES ('next')")
        assert cursor.lastrowid == 62


def test_what_the_rules_of_a_table_forbid_does_not_come(path, tmp_path):
    content = bytearray(path.read_bytes())
    where = content.index(struct.pack(">d", 5.0)) if struct.pack(">d", 5.0) in content else None
    page = root(path, "beat")
    start = (page - 1) * 4096
    place = content.index(b"\x03\x00\x01\x05", start, start + 4096)  # header, NULL for the rowid, 5
    content[place - 1] = 2  # the rowid, which the rule wants to be 1
    path.write_bytes(content)
    assert where is None
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert found.rows["beat"] == 0
    assert found.lost_rows == 1


def test_known_tables_are_the_only_ones(path, tmp_path):
    sql = "CREATE TABLE notes (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, text TEXT, later TEXT DEFAULT 'none')"
    zero(path, 1)
    found = salvage(path, tmp_path / "y.db", PLENTY, {"notes": sql})
    assert found.rows == {"notes": 56}


def test_room_that_does_not_suffice(path, tmp_path):
    found = salvage(path, tmp_path / "y.db", 64 * 4096)
    assert found.lacked == "room"
    assert found.unread() == "all that there was no room for"
    assert found.rows["queues"] == 2  # what explains the rows came first
    assert found.rows["notes"] == 56
    kept = records(tmp_path / "y.db")
    assert kept.items() <= RECORDS.items()
    assert query(tmp_path / "y.db", "PRAGMA integrity_check") == [("ok",)]


def test_time_that_does_not_suffice(path, tmp_path):
    found = salvage(path, tmp_path / "y.db", PLENTY, ticks=itertools.count(0, 10).__next__)
    assert found.lacked == "time"
    assert 0 < found.rows["queue_records"] < len(RECORDS)
    assert sum(found.rows.values()) > COMMIT_AFTER
    assert query(tmp_path / "y.db", "PRAGMA integrity_check") == [("ok",)]


def test_memory_does_not_grow_with_the_file(path, tmp_path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        rows = ((1, (1 << 45) + n, bytes([n % 256]) * 5000) for n in range(3000))  # each on pages of its own
        connection.executemany("INSERT INTO queue_records VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
    assert path.stat().st_size > 15_000_000
    tracemalloc.start()
    found = salvage(path, tmp_path / "y.db", PLENTY)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.rows["queue_records"] == 4200
    assert peak < 4_000_000


def test_a_row_that_shares_a_page_with_another_is_given_up(path, tmp_path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for n in (0, 1):
            connection.execute(
                "INSERT INTO queue_records VALUES (1, ?, ?)", ((1 << 45) + n, bytes([65 + n]) * 5000)
            )
    content = bytearray(path.read_bytes())
    # Where the first and the second record go on: their overflow pages, and the pointers to them.
    pages = [content.index(bytes([65 + n]) * 4000) // 4096 + 1 for n in (0, 1)]
    first, second = (content.index(page.to_bytes(4, "big"), content.index(b"A" * 500)) for page in pages)
    content[first : first + 4] = content[second : second + 4]
    path.write_bytes(content)
    found = salvage(path, tmp_path / "y.db", PLENTY)
    assert records(tmp_path / "y.db") == RECORDS
    assert found.lost_rows == 2


def test_a_new_file_that_is_there_already_is_an_error(path, tmp_path):
    (tmp_path / "y.db").write_bytes(b"")
    with pytest.raises(FileExistsError):
        salvage(path, tmp_path / "y.db", PLENTY)


def test_words():
    assert Salvaged({}, 2, 3, ["t 'a'"], "time").unread() == (
        "2 pages, 3 rows, the rows of t 'a', all that there was no time for"
    )
