"""Numbered, immutable schema steps per room, kept in the table `migrations`.

A step that has run is never edited: its digest is kept, and a changed one is refused. Rooms give their
steps as SQL text; each step may hold several statements. Tables are made and dropped by steps only: what
they leave is copied to the catalogue, and a file that lacks something of it is damaged.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from edgecore.base.errors import StoreError
from edgecore.store import catalogue

NAME: Final = "migrations"
TABLE: Final = """
CREATE TABLE IF NOT EXISTS migrations (
  room TEXT NOT NULL, step INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (room, step)
) WITHOUT ROWID
"""
# SQLite's integrity_check (seen with 3.40.1) takes the columns of a table WITHOUT ROWID in the order in which
# they are stored, which is the key first: such a table, declared otherwise, would be damaged at every start.
MISPLACED: Final = """
SELECT t.name, c.name FROM pragma_table_list AS t, pragma_table_xinfo(t.name) AS c
WHERE t.schema = 'main' AND t.wr AND c.pk AND c.pk != c.cid + 1
"""
NOTE: Final = "INSERT OR REPLACE INTO migrations (room, step, digest) VALUES (?, ?, ?)"


def migrate(connection: sqlite3.Connection, room: str, steps: Sequence[str]) -> None:
    """Run the steps of `room` that have not run yet, inside the caller's transaction.

    Raises StoreError when a step was changed after it ran, or the file has more steps than we know.
    """
    connection.execute(TABLE)
    rows = connection.execute("SELECT step, digest FROM migrations WHERE room = ? ORDER BY step", (room,))
    applied = dict(rows.fetchall())
    if len(applied) > len(steps):
        raise StoreError(
            f"database: room {room!r} has {len(applied)} schema steps, this version knows {len(steps)}: "
            "it was written by a newer edgecore; install that version or start with a new state folder"
        )
    for number, step in enumerate(steps, start=1):
        digest = hashlib.sha256(step.encode()).hexdigest()
        if number not in applied:
            _apply(connection, room, number, step, digest)
        elif applied[number] != digest:
            raise StoreError(f"database: schema step {number} of room {room!r} was changed after it ran")
    catalogue.refresh(connection)


def _apply(connection: sqlite3.Connection, room: str, number: int, step: str, digest: str) -> None:
    for statement in statements(step):
        if not _is_made(connection, statement):
            connection.execute(statement)
    for name, column in connection.execute(MISPLACED).fetchall():
        raise StoreError(
            f"database: table {name!r} WITHOUT ROWID has {column!r} of its key behind another column: "
            "put the key's columns first, in the key's order"
        )
    connection.execute(NOTE, (room, number, digest))


def _is_made(connection: sqlite3.Connection, statement: str) -> bool:
    """Whether the statement's table is there already, by the same text: salvaged without its step."""
    text = statement.rstrip("; \n")
    return connection.execute("SELECT 1 FROM sqlite_master WHERE sql = ?", (text,)).fetchone() is not None


def statements(script: str) -> Iterator[str]:
    """The single statements of a script. `executescript` would commit the caller's transaction."""
    start = 0
    for end, character in enumerate(script, start=1):
        if character == ";" and sqlite3.complete_statement(script[start:end]):
            yield script[start:end].strip()
            start = end
    if script[start:].strip():
        yield script[start:].strip()
