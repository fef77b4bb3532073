import sqlite3

import pytest

from edgecore.base.errors import StoreError
from edgecore.store.migrate import migrate, statements

FIRST = "CREATE TABLE a (x TEXT DEFAULT ';'); CREATE TABLE b (x)"
SECOND = "ALTER TABLE a ADD COLUMN y"


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    yield connection
    connection.close()


def test_steps_run_once_and_in_order(connection):
    migrate(connection, "room", [FIRST])
    migrate(connection, "room", [FIRST])
    migrate(connection, "room", [FIRST, SECOND])
    assert [row[1] for row in connection.execute("PRAGMA table_info(a)")] == ["x", "y"]


def test_rooms_are_numbered_apart(connection):
    migrate(connection, "one", ["CREATE TABLE a (x)"])
    migrate(connection, "two", ["CREATE TABLE b (x)"])
    assert connection.execute("SELECT room, step FROM migrations ORDER BY room").fetchall() == [
        ("one", 1),
        ("two", 1),
    ]


def test_an_edited_step_is_refused(connection):
    migrate(connection, "room", [FIRST])
    with pytest.raises(StoreError, match="step 1 of room 'room' was changed"):
        migrate(connection, "room", [FIRST + " "])


def test_a_newer_file_is_refused(connection):
    migrate(connection, "room", [FIRST, SECOND])
    with pytest.raises(StoreError, match="2 schema steps, this version knows 1"):
        migrate(connection, "room", [FIRST])


def test_a_salvaged_table_without_its_step_is_adopted(connection):
    migrate(connection, "room", [FIRST])
    connection.execute("INSERT INTO b VALUES (1)")
    connection.execute("DELETE FROM migrations")
    connection.execute("DROP TABLE a")
    migrate(connection, "room", [FIRST])
    assert connection.execute("SELECT x FROM b").fetchall() == [(1,)]
    assert [row[1] for row in connection.execute("PRAGMA table_info(a)")] == ["x"]
    migrate(connection, "room", [FIRST, SECOND])


def test_another_table_of_the_name_is_not_adopted(connection):
    connection.execute("CREATE TABLE b (y)")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(connection, "room", [FIRST])


@pytest.mark.parametrize("columns", ["x, k INTEGER PRIMARY KEY", "k, j, PRIMARY KEY (j, k)"])
def test_a_key_that_sqlites_own_check_would_mistake_is_refused(connection, columns):
    with pytest.raises(StoreError, match="put the key's columns first"):
        migrate(connection, "room", [f"CREATE TABLE t ({columns}) WITHOUT ROWID"])


def test_statements_are_split_where_sql_ends():
    script = "CREATE TABLE a (x DEFAULT ';');\n CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END; SELECT 1"
    assert list(statements(script)) == [
        "CREATE TABLE a (x DEFAULT ';');",
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM a; END;",
        "SELECT 1",
    ]
