"""The second copy of the schema: kept up to date by the steps, and what it proves."""

import sqlite3

import pytest

from edgecore.store import catalogue
from edgecore.store.migrate import migrate

STEP = "CREATE TABLE a (x INTEGER PRIMARY KEY, y TEXT UNIQUE); CREATE TABLE b (x)"


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "room", [STEP])
    yield connection
    connection.close()


def rows(connection):
    return {row[0]: row for row in connection.execute(catalogue.ROWS)}


def test_it_has_what_the_first_page_has_and_the_steps(connection):
    schema = {row[0]: row[1:] for row in connection.execute(catalogue.SCHEMA)}
    found = rows(connection)
    assert {name: (row[1], row[2]) for name, row in found.items() if name in schema} == schema
    assert set(found) == {"a", "b", "sqlite_autoindex_a_1", "migrations", "catalogue", "step 1 room"}
    assert all(catalogue.is_proven(row) for row in found.values())
    assert catalogue.fault(connection) == ""


def test_it_follows_the_steps_and_writes_only_what_changed(connection):
    before, changes = rows(connection), connection.total_changes
    migrate(connection, "room", [STEP])
    assert connection.total_changes == changes
    migrate(connection, "room", [STEP, "DROP TABLE b; ALTER TABLE a ADD COLUMN z"])
    after = rows(connection)
    assert "b" not in after
    assert after["a"][2].endswith("z)")
    assert after["migrations"] == before["migrations"]
    assert catalogue.fault(connection) == ""


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sqlite_master SET sql = replace(sql, 'y TEXT', 'x TEXT') WHERE name = 'a'",
        "UPDATE sqlite_master SET name = 'c', tbl_name = 'c', sql = 'CREATE TABLE c (x)' WHERE name = 'b'",
        "UPDATE migrations SET digest = 'f' || substr(digest, 2)",
        "DELETE FROM migrations",
    ],
)
def test_a_schema_that_lacks_something_of_it_is_damaged(connection, change):
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute(change)
    assert catalogue.fault(connection).startswith("its schema differs from its catalogue at ")


def test_a_row_of_the_catalogue_that_is_damaged_proves_nothing(connection):
    connection.execute("UPDATE catalogue SET content = 'CREATE TABLE other (x)' WHERE name = 'b'")
    assert catalogue.fault(connection) == ""
    migrate(connection, "room", [STEP])
    assert all(catalogue.is_proven(row) for row in rows(connection).values())


def test_tables_that_it_does_not_know_yet_are_no_fault(connection):
    connection.execute("CREATE TABLE later (x)")
    assert catalogue.fault(connection) == ""


def test_a_file_without_it_has_no_fault():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE a (x)")
    assert catalogue.fault(connection) == ""
    connection.close()


def test_what_is_no_row_of_it_is_not_proven():
    assert catalogue.is_proven(("a", 2, "sql", catalogue.digest("a", 2, "sql")))
    assert not catalogue.is_proven(("a", 3, "sql", catalogue.digest("a", 2, "sql")))
    assert not catalogue.is_proven(("a", "2", "sql", catalogue.digest("a", 2, "sql")))
