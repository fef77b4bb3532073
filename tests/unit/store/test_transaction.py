"""One transaction for a group; a failing work is isolated, by savepoint or alone."""

import sqlite3

import pytest

from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.store.reserve import Reserve
from edgecore.store.transaction import Write, as_store_error, commit_group, is_fatal


@pytest.fixture
def connection():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)")
    yield connection
    connection.close()


@pytest.fixture
def reserve(tmp_path):
    return Reserve(tmp_path / "reserve", 4096)


def write(*statements, frees=False):
    def work(connection):
        for statement in statements:
            connection.execute(statement)

    return Write(work, Commit(), frees)


def rows(connection):
    return [x for (x,) in connection.execute("SELECT x FROM t ORDER BY x")]


def test_all_succeed(connection, reserve):
    outcomes = commit_group(
        connection, [write("INSERT INTO t VALUES (1)"), write("INSERT INTO t VALUES (2)")], reserve
    )
    assert outcomes == [None, None]
    assert rows(connection) == [1, 2]
    assert not connection.in_transaction


def test_the_failing_one_is_behind_a_savepoint(connection, reserve):
    outcomes = commit_group(
        connection,
        [
            write("INSERT INTO t VALUES (1)"),
            write("INSERT INTO t VALUES (5)", "INSERT INTO t VALUES (1)"),
            write("INSERT INTO t VALUES (3)"),
        ],
        reserve,
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert rows(connection) == [1, 3]


def test_when_the_transaction_is_lost_each_runs_alone(connection, reserve):
    lost = write("INSERT INTO t VALUES (5)", "ROLLBACK", "INSERT INTO missing VALUES (1)")
    outcomes = commit_group(
        connection, [write("INSERT INTO t VALUES (1)"), lost, write("INSERT INTO t VALUES (3)")], reserve
    )
    assert [outcome is None for outcome in outcomes] == [True, False, True]
    assert rows(connection) == [1, 3]


def test_a_work_that_commits_by_itself_is_an_error_of_that_work(connection, reserve):
    outcomes = commit_group(
        connection,
        [write("INSERT INTO t VALUES (1)"), write("COMMIT"), write("INSERT INTO t VALUES (3)")],
        reserve,
    )
    assert outcomes[1] is not None
    assert not connection.in_transaction


def full(frees):
    def work(_):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    return Write(work, Commit(), frees)


def test_a_full_disk_gives_the_reserve_to_deletions(connection, reserve):
    attempts = []

    def delete(connection):
        attempts.append(reserve.held)
        if reserve.held:
            full(True).work(connection)

    outcomes = commit_group(connection, [full(False), Write(delete, Commit(), True)], reserve)
    assert isinstance(outcomes[0], StoreError)
    assert outcomes[1] is None
    assert attempts[-1] is False


def test_errors_are_store_errors_with_their_cause():
    own = StoreError("own")
    assert as_store_error(own) is own
    cause = sqlite3.IntegrityError("UNIQUE")
    assert as_store_error(cause).__cause__ is cause


@pytest.mark.parametrize(
    ("code", "fatal"),
    [
        (sqlite3.SQLITE_CORRUPT, True),
        (sqlite3.SQLITE_CORRUPT_VTAB, True),
        (sqlite3.SQLITE_NOTADB, True),
        (sqlite3.SQLITE_IOERR_FSYNC, True),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_CONSTRAINT, False),
    ],
)
def test_only_damage_and_failed_syncs_are_fatal(code, fatal):
    error = sqlite3.DatabaseError("x")
    error.sqlite_errorcode = code
    assert is_fatal(as_store_error(error)) is fatal


def test_no_outcome_is_not_fatal():
    assert not is_fatal(None)
    assert not is_fatal(StoreError("no cause"))
