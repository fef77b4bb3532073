"""Build a sound database from what can be read of a damaged one. Plain blocking functions.

The damaged file is only read, page by page; SQLite opens the new one alone. The time grows with the
size of the file: 3 s for 64 MB of 200-byte records here, 7 s for 50-byte ones. Memory does not: rows go over
a page at a time.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgecore.store import catalogue, migrate
from edgecore.store.btree import PAGE_SIZE
from edgecore.store.pages import MOST_PAGES, open_pages
from edgecore.store.schema import SEQUENCE, SEQUENCES, Schema, Table, make_tables, quoted, read_schema
from edgecore.store.walk import Key, Row, Tree, Walk

# Seconds: half of what systemd gives the core to start (systemd/edgecore.service). A Pi copies some 100 MB in
# that time; a start that is broken off would begin again, for ever.
LONGEST: Final = 45.0
# Pages of rows that are committed together: what a full disk may take back.
COMMIT_AFTER: Final = 100
# Entries of an index kept to see which rows are missing. The tables with one are small: queues, devices.
MOST_ENTRIES: Final = 100_000
# Missing keys that are named in the log: a person acts on a few, and reads no more.
MOST_NAMED: Final = 20
# The largest tables come last, so that a disk that fills up, or the end of the time, has taken what explains
# their rows.
ORDER: Final = {migrate.NAME: -1, "session_messages": 1, "queue_records": 2}
# Rows that say by a number whose they are, and where that number stands. When the owner's row is lost nothing
# finds them, and the next owner that is made may get the number: then they would be given to a stranger.
OWNED: Final = (
    ("queue_records", "queue", "queues"),
    ("session_messages", "session", "sessions"),
    ("session_incoming", "session", "sessions"),
)
# A row of these can be made again from its index, with this for what the index lacks: without its row in
# `queues`, no record of a queue is found. Opening a queue raises the epoch above every record's.
REMADE: Final[Mapping[str, Mapping[str, object]]] = {"queues": {"epoch": 0}}


@dataclass(slots=True)
class Salvaged:
    """What came of it: rows per table, and what did not come.

    `missing`: keys, by table, that an index still has, without their rows. `lacked`: what came to its end
    before the copying did, room or time.
    """

    rows: dict[str, int] = field(default_factory=dict)
    lost_pages: int = 0
    lost_rows: int = 0
    missing: list[str] = field(default_factory=list)
    lacked: str = ""

    def unread(self) -> str:
        """What was not readable, in words, or ""."""
        words = []
        if self.lost_pages:
            words.append(f"{self.lost_pages} pages")
        if self.lost_rows:
            words.append(f"{self.lost_rows} rows")
        if self.missing:
            words.append(f"the rows of {', '.join(self.missing)}")
        if self.lacked:
            words.append(f"all that there was no {self.lacked} for")
        return ", ".join(words)


def salvage(
    path: Path,
    target: Path,
    room: int,
    known: Mapping[str, str] | None = None,
    ticks: Callable[[], float] = time.monotonic,
) -> Salvaged:
    """Write to the new file `target`, in at most `room` bytes, what can be read of the database at `path`.

    `known`: the tables of a file that never has others. `ticks`: seconds of some clock. The new file is
    synced and sound. Raises OSError and sqlite3.Error when it could not be written.
    """
    end = ticks() + LONGEST
    with open_pages(path) as pages, _create(target, room) as connection:
        walk = Walk(pages)
        schema = read_schema(walk, known or {})
        copy = _Copy(connection, walk, schema, lambda: ticks() > end)
        copy.run()
        copy.result.lost_pages, copy.result.lost_rows = walk.lost_pages, walk.lost_rows
        (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if finding != "ok":
            raise sqlite3.DatabaseError(f"the salvaged database is not sound: {finding}")
    _sync(target)
    return copy.result


@contextlib.contextmanager
def _create(target: Path, room: int) -> Iterator[sqlite3.Connection]:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA trusted_schema=OFF")
        connection.execute("PRAGMA journal_mode=MEMORY")
        connection.execute("PRAGMA synchronous=OFF")  # one sync at the end: until then nobody relies on it
        connection.execute(f"PRAGMA page_size={PAGE_SIZE}")
        connection.execute(f"PRAGMA max_page_count={max(room // PAGE_SIZE, 1)}")
        yield connection


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _LateError(Exception):
    """The time is up."""


class _Copy:
    """One copying of all that the walk finds into the new database."""

    def __init__(
        self, connection: sqlite3.Connection, walk: Walk, schema: Schema, is_late: Callable[[], bool]
    ) -> None:
        self.result = Salvaged()
        self._connection = connection
        self._walk = walk
        self._schema = schema
        self._is_late = is_late
        self._entries: dict[str, list[Row]] = {}
        self._inserted = 0  # pages of rows

    def run(self) -> None:
        """Copy, as much as there is room for, and count the rows."""
        tables = make_tables(self._connection, self._schema)
        tables.sort(key=lambda table: ORDER.get(table.name, 0))
        self._connection.execute("BEGIN")
        try:
            self._copy(tables)
        except _LateError:
            self.result.lacked = "time"
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL:
                raise
            self.result.lacked = "room"
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._connection.execute("BEGIN")
        # What follows takes away more than it adds, and is needed however far the copying came.
        self._connection.execute(f"PRAGMA max_page_count={MOST_PAGES}")
        self._settle(tables)
        self._connection.execute("COMMIT")
        for table in tables:
            count = f"SELECT count(*) FROM {quoted(table.name)}"  # noqa: S608  quoted name
            (self.result.rows[table.name],) = self._connection.execute(count).fetchone()

    def _copy(self, tables: list[Table]) -> None:
        for table in tables:
            for rows in self._walk.rows(table.tree, self._roots(table.tree)):
                self._insert(table, rows)
            for index in table.indexes:
                for rows in self._walk.rows(index, self._roots(index)):
                    self._note(index, rows)
            self._commit()
        self._adopt(tables)

    def _settle(self, tables: list[Table]) -> None:
        self._settle_disputes(tables)
        for table in tables:
            self._compare_with_indexes(table)
        names = {table.name for table in tables}
        self._drop_ownerless(names)
        self._restore_sequences(names)
        self._restore_steps(names)
        if migrate.NAME in names:
            catalogue.refresh(self._connection)

    def _roots(self, tree: Tree) -> list[int]:
        return self._schema.roots.get(tree.name, [])

    def _adopt(self, tables: list[Table]) -> None:
        owners = {table.tree: table for table in tables}
        trees = [*owners, *(index for table in tables for index in table.indexes)]
        for tree, rows in self._walk.orphans(trees):
            if tree in owners:
                self._insert(owners[tree], rows)
            else:
                self._note(tree, rows)

    def _note(self, index: Tree, rows: list[Row]) -> None:
        entries = self._entries.setdefault(index.name, [])
        entries += rows[: MOST_ENTRIES - len(entries)]

    def _insert(self, table: Table, rows: list[Row]) -> None:
        """Insert the rows of one page; what the table's rules forbid is left out and counted."""
        before = self._connection.total_changes
        for width in {len(values) for _, values in rows}:
            batch = [_as_inserted(table, rowid, values) for rowid, values in rows if len(values) == width]
            self._connection.executemany(_insertion(table, width), batch)
        self._walk.lost_rows += len(rows) - (self._connection.total_changes - before)
        self._inserted += 1
        if self._inserted % COMMIT_AFTER == 0:
            self._commit()

    def _commit(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN")
        if self._is_late():
            raise _LateError

    def _settle_disputes(self, tables: list[Table]) -> None:
        owners = {table.tree: table for table in tables}
        for tree, key in self._walk.disputed:
            if tree in owners:
                self._delete(owners[tree], key)

    def _delete(self, table: Table, key: Key) -> None:
        names = [quoted(name) for name in table.columns[: table.tree.keys]] or ["rowid"]
        where = " AND ".join(f"{name} = ?" for name in names)
        cursor = self._connection.execute(
            f"DELETE FROM {quoted(table.name)} WHERE {where}",  # noqa: S608  quoted names
            key,
        )
        self._walk.lost_rows += cursor.rowcount

    def _compare_with_indexes(self, table: Table) -> None:
        """See by its indexes which rows of a rowid table are missing; make those again that can be."""
        if table.tree.keys:
            return
        for index in table.indexes:
            for _, values in self._entries.get(index.name, []):
                if not self._has(table, values[-1]):
                    self._miss(table, index, values)

    def _has(self, table: Table, rowid: object) -> bool:
        statement = f"SELECT 1 FROM {quoted(table.name)} WHERE rowid = ?"  # noqa: S608  quoted name
        return self._connection.execute(statement, (rowid,)).fetchone() is not None

    def _miss(self, table: Table, index: Tree, values: tuple[Any, ...]) -> None:
        if (rest := REMADE.get(table.name)) is not None:
            info = self._connection.execute(f"PRAGMA index_info({quoted(index.name)})").fetchall()
            names = [*(name for _, _, name in info), "rowid", *rest]
            self._connection.execute(_statement(table.name, names), (*values, *rest.values()))
        elif not self.result.lacked and len(self.result.missing) < MOST_NAMED:
            self.result.missing.append(f"{table.name} {values[0]!r}"[:200])

    def _drop_ownerless(self, tables: set[str]) -> None:
        for table, column, owners in OWNED:
            if {table, owners} <= tables:
                cursor = self._connection.execute(
                    f"DELETE FROM {table} WHERE {column} NOT IN (SELECT key FROM {owners})"  # noqa: S608
                )
                self._walk.lost_rows += cursor.rowcount

    def _restore_sequences(self, tables: set[str]) -> None:
        """AUTOINCREMENT: no number comes twice, also not that of a row deleted since."""
        if not self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (SEQUENCE,)).fetchone():
            return
        for rows in self._walk.rows(SEQUENCES, self._schema.roots.get(SEQUENCE, [])):
            for _, (name, number) in rows:
                if name in tables:
                    self._connection.execute(
                        "INSERT INTO sqlite_sequence SELECT ?, 0"
                        " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)",
                        (name, name),
                    )
                    self._connection.execute(
                        "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (number, name)
                    )

    def _restore_steps(self, tables: set[str]) -> None:
        """The schema steps that the catalogue proves, beside those of the table itself.

        Without it, and with a part of the schema missing, none: all run again, on the tables that are there.
        """
        if migrate.NAME in tables:
            if not self._schema.whole:
                self._connection.execute("DELETE FROM migrations")
            self._connection.executemany(migrate.NOTE, self._schema.steps)


def _as_inserted(table: Table, rowid: int, values: tuple[Any, ...]) -> tuple[Any, ...]:
    if table.tree.keys:
        return values
    if table.alias >= 0:
        return (*values[: table.alias], rowid, *values[table.alias + 1 :])
    return (rowid, *values)


def _insertion(table: Table, width: int) -> str:
    names = list(table.columns[:width])
    if not table.tree.keys and table.alias < 0:
        names.insert(0, "rowid")
    return _statement(table.name, names)


def _statement(table: str, names: Iterable[str]) -> str:
    columns = [quoted(name) for name in names]
    return (
        f"INSERT OR IGNORE INTO {quoted(table)} ({', '.join(columns)})"  # noqa: S608  quoted names
        f" VALUES ({', '.join('?' * len(columns))})"
    )
