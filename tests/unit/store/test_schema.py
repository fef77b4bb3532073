"""Tables made again from a damaged file's own words: plain ones, and nothing that could run."""

import sqlite3

import pytest

from edgecore.store.schema import Schema, make_tables

NONE = type(None)


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def make(connection, **statements):
    return {table.name: table for table in make_tables(connection, Schema(statements))}


def test_a_table_with_a_rowid_of_its_own_name(connection):
    tables = make(
        connection,
        t="CREATE TABLE t (a TEXT NOT NULL, k INTEGER PRIMARY KEY, b BLOB, c REAL NOT NULL DEFAULT 1.5, d)",
    )
    table = tables["t"]
    assert (table.columns, table.alias) == (("a", "k", "b", "c", "d"), 1)
    assert table.tree.types[:4] == ({str}, {NONE}, {bytes, NONE}, {float, int})
    assert table.tree.types[4] == {int, float, str, bytes, NONE}
    assert (table.tree.least, table.tree.keys) == (2, 0)


def test_a_clustered_table_has_its_key_in_front(connection):
    table = make(
        connection,
        t="CREATE TABLE t (j TEXT, k INTEGER, a BLOB NOT NULL, PRIMARY KEY (j, k)) WITHOUT ROWID",
    )["t"]
    assert table.columns == ("j", "k", "a")
    assert table.tree.types == ({str}, {int}, {bytes})
    assert (table.tree.keys, table.tree.least, table.tree.ordered) == (2, 3, True)
    assert table.indexes == ()


def test_indexes_end_with_the_rowid_or_the_key(connection):
    tables = make(
        connection,
        t="CREATE TABLE t (k INTEGER PRIMARY KEY, a TEXT UNIQUE NOT NULL)",
        w="CREATE TABLE w (j TEXT PRIMARY KEY, a INTEGER NOT NULL) WITHOUT ROWID",
        i="CREATE INDEX i ON w (a DESC)",
    )
    (index,) = tables["t"].indexes
    assert (index.name, index.types, index.ordered) == ("sqlite_autoindex_t_1", ({str}, {int}), True)
    (index,) = tables["w"].indexes
    assert (index.name, index.types, index.ordered) == ("i", ({int}, {str}), False)


@pytest.mark.parametrize("key", ["k TEXT COLLATE NOCASE", "k ANY", "k TEXT, j INTEGER"])
def test_an_order_that_python_does_not_share_is_not_checked(connection, key):
    last = "k DESC" if key.endswith("j INTEGER") else "k"
    table = make(connection, t=f"CREATE TABLE t ({key}, PRIMARY KEY ({last})) WITHOUT ROWID")["t"]
    assert table.tree.ordered is False


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON ok BEGIN DELETE FROM ok; END",
        "CREATE VIEW t AS SELECT 1",
        "CREATE VIRTUAL TABLE t USING fts5(x)",
        "CREATE TABLE t AS SELECT * FROM ok",
        "CREATE TABLE t (x CHECK (abs(x) > 0))",
        "CREATE TABLE t (x DEFAULT (random()))",
        "CREATE TABLE t (x CHECK (x LIKE 'a'))",
        "CREATE TABLE t (x CHECK (x -> 'a'))",
        "CREATE TABLE t (x, y AS (x + 1))",
        "CREATE TABLE t (x, y AS (x + 1) STORED)",
        "CREATE TABLE t (x, PRIMARY KEY (lower(x)))",
        "CREATE TABLE t (x, k INTEGER PRIMARY KEY) WITHOUT ROWID",
        "CREATE TABLE t (x); DROP TABLE ok",
        "CREATE TABLE main.other (x)",
        "CREATE TEMP TABLE t (x)",
        "CREATE TABLE sqlite_t (x)",
        "CREATE TABLE t (x) -- \0 and more",
        "CREATE TABLE t",
        "CREATE TABLE t (" + ", ".join(f"c{n} TEXT" for n in range(2000)) + ")",
        "CREATE INDEX t ON ok (abs(x))",
        "DROP TABLE ok",
        "INSERT INTO ok VALUES (1)",
        "ATTACH 'x.db' AS t",
        "PRAGMA writable_schema=ON",
        "SELECT load_extension('x')",
        "\ud800",
    ],
)
def test_what_is_no_plain_table_is_not_made(connection, statement):
    tables = make(connection, ok="CREATE TABLE ok (x)", t=statement)
    assert set(tables) == {"ok"}
    present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert "t" not in present
    assert connection.execute("SELECT count(*) FROM ok").fetchone() == (0,)
    assert connection.execute("PRAGMA database_list").fetchall() == [(0, "main", "")]


def test_after_it_the_connection_may_do_everything_again(connection):
    make(connection, t="CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES (abs(-1))")
    assert connection.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_rules_and_strictness_are_kept(connection):
    make(connection, t="CREATE TABLE t (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL) STRICT")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO t VALUES (2, 1.0)")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO t VALUES (1, 'x')")


def test_numbered_rows_need_sqlites_own_table(connection):
    tables = make(
        connection,
        t="CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT, x)",
        sqlite_sequence="CREATE TABLE sqlite_sequence(name,seq)",
    )
    assert set(tables) == {"t"}


def test_thousands_of_tables_are_not_made(connection):
    tables = make_tables(connection, Schema({f"t{n}": f"CREATE TABLE t{n} (x)" for n in range(5000)}))
    assert len(tables) == 100
