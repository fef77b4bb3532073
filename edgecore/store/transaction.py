"""Run a group of works in one transaction, so that one sync serves all; a failing one fails alone.

Plain blocking functions for the writer thread. A work may run up to three times (with the group,
behind a savepoint, alone): it must touch nothing but the connection that it is given.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.store.opening import DAMAGED_CODES, primary_code
from edgecore.store.reserve import Reserve

Connection = sqlite3.Connection  # for the annotations of rooms, which do not import sqlite3
Work = Callable[[Connection], None]
Outcome = Exception | None


@dataclass(slots=True)
class Write:
    """A work that waits. `frees`: it only deletes, and may use the reserve on a full disk."""

    work: Work
    commit: Commit
    frees: bool


def commit_group(connection: sqlite3.Connection, writes: Sequence[Write], reserve: Reserve) -> list[Outcome]:
    """Run the works; gives what became of each, in order: None, or the error."""
    room = reserve.hold() or _room_inside(connection, reserve.size)
    outcomes: list[Outcome] = [None if room or write.frees else _no_room() for write in writes]
    _run(connection, writes, outcomes, [i for i, outcome in enumerate(outcomes) if outcome is None])
    if any(_is_full(outcome) for outcome in outcomes) and reserve.release():
        again = [i for i, outcome in enumerate(outcomes) if _is_full(outcome) and writes[i].frees]
        _run(connection, writes, outcomes, again)
    return outcomes


def as_store_error(error: Exception) -> StoreError:
    """The error that a Commit carries; what SQLite or the work raised is its cause."""
    if isinstance(error, StoreError):
        return error
    if primary_code(error) == sqlite3.SQLITE_FULL:
        wrapped = StoreError("the disk is full: nothing was stored; free some space")
    else:
        wrapped = StoreError(f"the work was not stored: {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def is_fatal(outcome: Outcome) -> bool:
    """Whether the database must not be used further: damaged, or a sync failed.

    After a failed fsync the kernel may have dropped the pages: what follows would be acknowledged in vain.
    """
    cause = outcome.__cause__ if outcome is not None else None
    if cause is None:
        return False
    code = getattr(cause, "sqlite_errorcode", 0)
    return primary_code(cause) in DAMAGED_CODES or code in (
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
    )


def _room_inside(connection: sqlite3.Connection, needed: int) -> bool:
    """Whether deletions have freed that many bytes inside the file: a full disk does not matter then."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return bool(free * page_size >= needed)


def _no_room() -> StoreError:
    return StoreError("the disk is full: only deletions are stored until there is room; free some space")


def _is_full(outcome: Outcome) -> bool:
    return (
        outcome is not None
        and outcome.__cause__ is not None
        and primary_code(outcome.__cause__) == sqlite3.SQLITE_FULL
    )


def _run(
    connection: sqlite3.Connection, writes: Sequence[Write], outcomes: list[Outcome], chosen: list[int]
) -> None:
    """Together first; if that fails each behind a savepoint; if that fails each alone."""
    works = [writes[i].work for i in chosen]
    if not works:
        return
    results: list[Outcome]
    if _together(connection, works):
        results = [None] * len(works)
    else:
        results = _isolated(connection, works) or [_alone(connection, work) for work in works]
    for index, result in zip(chosen, results, strict=True):
        outcomes[index] = result


def _together(connection: sqlite3.Connection, works: Sequence[Work]) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work in works:
            work(connection)
        connection.execute("COMMIT")
    except Exception:  # noqa: BLE001  a room's work may raise anything; each runs again by itself and says so
        _roll_back(connection)
        return False
    return True


def _isolated(connection: sqlite3.Connection, works: Sequence[Work]) -> list[Outcome] | None:
    """One transaction with a savepoint for each; None when it was lost as a whole (a full disk does that)."""
    results: list[Outcome] = []
    try:
        connection.execute("BEGIN IMMEDIATE")
        for work in works:
            results.append(_behind_savepoint(connection, work))
            if not connection.in_transaction:
                return None
        connection.execute("COMMIT")
    except sqlite3.Error:
        _roll_back(connection)
        return None
    return results


def _behind_savepoint(connection: sqlite3.Connection, work: Work) -> Outcome:
    connection.execute("SAVEPOINT work")
    try:
        work(connection)
    except Exception as error:  # noqa: BLE001  a room's work may raise anything; its Commit carries it
        if connection.in_transaction:
            connection.execute("ROLLBACK TO work")
            connection.execute("RELEASE work")
        return as_store_error(error)
    connection.execute("RELEASE work")
    return None


def _alone(connection: sqlite3.Connection, work: Work) -> Outcome:
    try:
        connection.execute("BEGIN IMMEDIATE")
        work(connection)
        connection.execute("COMMIT")
    except Exception as error:  # noqa: BLE001  a room's work may raise anything; its Commit carries it
        _roll_back(connection)
        return as_store_error(error)
    return None


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
