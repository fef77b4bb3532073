"""A second copy, inside the database, of what stands in its first page: which tables there are, and where.

SQLite keeps a file's schema in one place. When that page is lost, so is the way to every row behind it.
The table `catalogue` has the same on another page, and the schema steps that have run, each row with a
digest of itself: it tells a damaged schema from a sound one, and which of two texts is the true one.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

from edgecore.store.btree import Value

NAME: Final = "catalogue"
TABLE: Final = """
CREATE TABLE IF NOT EXISTS catalogue (
  name TEXT NOT NULL PRIMARY KEY, root INTEGER NOT NULL, content TEXT NOT NULL, digest TEXT NOT NULL
) WITHOUT ROWID
"""
# The name of a row that copies one of `migrations`: no table has a blank in its name.
STEP: Final = "step "
SCHEMA: Final = "SELECT name, rootpage, coalesce(sql, '') FROM sqlite_master WHERE type IN ('table', 'index')"
STEPS: Final = "SELECT 'step ' || step || ' ' || room, 0, digest FROM migrations"
ROWS: Final = "SELECT name, root, content, digest FROM catalogue ORDER BY name"

Row = tuple[str, int, str, str]


def digest(name: str, root: int, content: str) -> str:
    """What proves a row of the catalogue: half of a SHA-256 is far more than damage can meet by chance."""
    return hashlib.sha256(f"{name}\0{root}\0{content}".encode()).hexdigest()[:32]


def is_proven(row: tuple[Value, ...]) -> bool:
    """Whether the row is as it was written."""
    name, root, content, written = row
    return isinstance(root, int) and digest(str(name), root, str(content)) == written


def refresh(connection: sqlite3.Connection) -> None:
    """Bring the catalogue up to date, in the caller's transaction. Writes only what differs."""
    connection.execute(TABLE)
    wanted = set(_present(connection))
    kept = set(connection.execute(ROWS))
    connection.executemany("DELETE FROM catalogue WHERE name = ?", [(row[0],) for row in kept - wanted])
    connection.executemany("INSERT INTO catalogue VALUES (?, ?, ?, ?)", sorted(wanted - kept))


def fault(connection: sqlite3.Connection) -> str:
    """What the schema lacks of what the catalogue proves, or "". A file without a catalogue has no fault.

    Only texts count: a vacuum moves the roots. What the catalogue does not know yet is no fault either.
    """
    present = {name: content for name, _, content in connection.execute(SCHEMA)}
    if NAME not in present:
        return ""
    if "migrations" in present:
        present |= {name: content for name, _, content in connection.execute(STEPS)}
    for row in connection.execute(ROWS):
        if is_proven(row) and present.get(row[0]) != row[2]:
            return f"its schema differs from its catalogue at {row[0]!r}"
    return ""


def _present(connection: sqlite3.Connection) -> list[Row]:
    rows = [*connection.execute(SCHEMA), *connection.execute(STEPS)]
    return [(name, root, content, digest(name, root, content)) for name, root, content in rows]
