"""SessionStore: what MQTT sessions must not forget, on disk. It knows rows and ids, and no MQTT.

Three tables: who has a session and with what (one record each, whose content is the listener's), the messages
that wait for or are on their way to a client, and the packet identifiers of QoS 2 that came from one.

Messages of all sessions are rows of one growing sequence: what many sessions get in one turn shares pages, so
that a commit writes few. Whoever owns a session remembers its ids (12 bytes each); there is no index to keep.
A message that is inserted and erased before its turn is handed to the disk is never written at all.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from edgecore.base.commit import Commit
from edgecore.store.batch import Batcher
from edgecore.store.database import Database

ROOM: Final = "store.sessions"
SCHEMA: Final = (
    """
    CREATE TABLE sessions (key INTEGER PRIMARY KEY, record BLOB NOT NULL);
    CREATE TABLE session_messages (
      id INTEGER PRIMARY KEY, session INTEGER NOT NULL, packet_id INTEGER NOT NULL, flags INTEGER NOT NULL,
      record BLOB, extra BLOB
    );
    CREATE TABLE session_incoming (
      session INTEGER NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (session, packet_id)
    ) WITHOUT ROWID;
    """,
)
SAVE: Final = "INSERT INTO sessions VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET record = excluded.record"
INSERT: Final = "INSERT INTO session_messages VALUES (?, ?, ?, ?, ?, ?)"
INCOMING: Final = "INSERT OR IGNORE INTO session_incoming VALUES (?, ?)"
LET_GO: Final = "DELETE FROM session_incoming WHERE session = ? AND packet_id = ?"
# Acknowledgements come mostly in order, so most deletions are of neighbours: one statement each run.
ERASE: Final = "DELETE FROM session_messages WHERE id BETWEEN ? AND ?"
# What the client has received (QoS 2, between PUBREC and PUBCOMP) needs its packet identifier and no body.
RELEASE: Final = "UPDATE session_messages SET record = NULL, extra = NULL WHERE id = ?"
# SQLite takes up to 32,766 variables in a statement; a page of messages is far less.
MAX_FETCH: Final = 256


class StoredRow(NamedTuple):
    """A message of a session, without its body. `size`: the bytes of that; `released`: 1 when it is gone."""

    id: int
    session: int
    packet_id: int
    flags: int
    size: int
    released: int


class StoredRows:
    """StoredRow after StoredRow, in 25 bytes each: a site may have a million of them when the core starts.

    `unusable`: ids of rows that hold what this store never wrote. SQLite checks pages, not what is in them,
    and a bit that has flipped must not stop the core.
    """

    __slots__ = ("_columns", "unusable")

    def __init__(self, rows: Iterable[tuple[int, ...]]) -> None:
        # In the order of StoredRow's fields; of 8, 8, 2, 2, 4 and 1 bytes.
        self._columns = [array(code) for code in "QQHHIB"]
        self.unusable: list[int] = []
        limits = [256**column.itemsize for column in self._columns]
        for row in rows:
            if all(0 <= value < limit for value, limit in zip(row, limits, strict=True)):
                for column, value in zip(self._columns, row, strict=True):
                    column.append(value)
            else:
                self.unusable.append(row[0])

    @property
    def highest_id(self) -> int:
        """The highest id of all rows, or 0."""
        return max((0, *self._columns[0][-1:], *self.unusable))

    @property
    def highest_session(self) -> int:
        """The highest key of a session that has rows, or 0."""
        return max(self._columns[1], default=0)

    def __len__(self) -> int:
        return len(self._columns[0])

    def __iter__(self) -> Iterator[StoredRow]:
        return map(StoredRow, *self._columns)


class Loaded(NamedTuple):
    """What an earlier run left: records by key, messages in order, and (key, packet id) that came in."""

    sessions: list[tuple[int, bytes]]
    messages: StoredRows
    incoming: list[tuple[int, int]]


Body = tuple[int, bytes, bytes | None]
Answer = Callable[[Sequence[Body] | Exception], None]


@dataclass(slots=True)
class _Rows:
    """What one turn changes. Deletions of what the turn itself inserts are done here, in memory.

    `moved`: rows that go because others, inserted in this turn, take their place: all of it happens or none.
    """

    sessions: dict[int, bytes] = field(default_factory=dict)
    inserts: dict[int, tuple[int, int, int, bytes, bytes | None]] = field(default_factory=dict)
    incoming: dict[tuple[int, int], None] = field(default_factory=dict)
    moved: list[int] = field(default_factory=list)


@dataclass(slots=True)
class _Freed:
    """What one turn takes away, or writes anew at no greater length: never refused, also not on a full disk.

    May be written before the turn's changes or after them, so no row may stand in both.
    """

    renewed: dict[int, bytes] = field(default_factory=dict)
    sessions: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    incoming: dict[tuple[int, int], None] = field(default_factory=dict)


def _apply(connection: sqlite3.Connection, rows: _Rows) -> None:
    if rows.sessions:
        connection.executemany(SAVE, rows.sessions.items())
    if rows.inserts:
        connection.executemany(INSERT, [(number, *row) for number, row in rows.inserts.items()])
    if rows.incoming:
        connection.executemany(INCOMING, rows.incoming)
    if rows.moved:
        connection.executemany(ERASE, runs(rows.moved))


def _apply_freed(connection: sqlite3.Connection, rows: _Freed) -> None:
    if rows.renewed:
        connection.executemany(SAVE, rows.renewed.items())
    if rows.messages:
        connection.executemany(ERASE, runs(rows.messages))
    if rows.released:
        connection.executemany(RELEASE, [(number,) for number in rows.released])
    if rows.incoming:
        connection.executemany(LET_GO, rows.incoming)
    for key in rows.sessions:
        connection.execute("DELETE FROM sessions WHERE key = ?", (key,))
        connection.execute("DELETE FROM session_incoming WHERE session = ?", (key,))


def runs(ids: Iterable[int]) -> list[tuple[int, int]]:
    """(first, last) of each run of neighbours among `ids`."""
    found: list[tuple[int, int]] = []
    for number in sorted(ids):
        if found and number <= found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


class SessionStore:
    """The sessions' rows. All that is done in one turn of the loop is one commit."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rows: Batcher[_Rows] = Batcher(database, _Rows, _apply)
        self._freed: Batcher[_Freed] = Batcher(database, _Freed, _apply_freed, frees=True)
        self._next_key = 1
        self._next_id = 1

    async def open(self) -> Loaded:
        """Make the tables; gives what is in them. Raises StoreError. Call once, before anything else."""
        await self._database.migrate(ROOM, SCHEMA)
        return self._take_over(await self._database.read(_load))

    def _take_over(self, loaded: Loaded) -> Loaded:
        # A key that any row still bears is nobody else's: a new session must not inherit from an old one.
        keys = (key for key, _ in (*loaded.sessions, *loaded.incoming))
        self._next_key = max(loaded.messages.highest_session, *keys, 0) + 1
        self._next_id = loaded.messages.highest_id + 1
        return loaded

    def new_key(self) -> int:
        """The key of a session that begins."""
        key = self._next_key
        self._next_key += 1
        return key

    def save(self, key: int, record: bytes) -> Commit:
        """Keep this as the session's record. Raises RefusedError as Database.write does."""
        freed = self._freed.open()
        if freed is not None and key in freed.rows.renewed:
            freed.rows.renewed[key] = record
            return freed.commit
        batch = self._rows.join()
        batch.rows.sessions[key] = record
        return batch.commit

    def renew(self, key: int, record: bytes) -> Commit:
        """Keep this in place of a record that is on the disk and no shorter: never refused."""
        young = self._rows.open()
        if young is not None and key in young.rows.sessions:
            young.rows.sessions[key] = record
            return young.commit
        batch = self._freed.join()
        batch.rows.renewed[key] = record
        return batch.commit

    def discard(self, key: int, messages: Iterable[int]) -> Commit:
        """Forget a session, its incoming identifiers and these messages."""
        self.erase(messages)
        young = self._rows.open()
        if young is not None:
            young.rows.sessions.pop(key, None)
            for taken in [each for each in young.rows.incoming if each[0] == key]:
                del young.rows.incoming[taken]
        batch = self._freed.join()
        batch.rows.renewed.pop(key, None)
        batch.rows.sessions.append(key)
        return batch.commit

    def insert(
        self, key: int, packet_id: int, flags: int, record: bytes, extra: bytes | None
    ) -> tuple[int, Commit]:
        """Keep a message for a session; gives its id. Ids grow."""
        batch = self._rows.join()
        number = self._next_id
        self._next_id += 1
        batch.rows.inserts[number] = (key, packet_id, flags, record, extra)
        return number, batch.commit

    def erase(self, messages: Iterable[int]) -> Commit | None:
        """Forget messages; gives None when none of them had come near the disk yet."""
        young = self._rows.open()
        inserts = young.rows.inserts if young is not None else {}
        old = [number for number in messages if inserts.pop(number, None) is None]
        if not old:
            return None
        batch = self._freed.join()
        batch.rows.messages += old
        return batch.commit

    def give_away(self, messages: Iterable[int]) -> Commit:
        """Forget messages for which others were inserted in this turn, if those are kept.

        Raises RefusedError as Database.write does.
        """
        batch = self._rows.join()
        batch.rows.moved += messages
        return batch.commit

    def release(self, message: int) -> Commit:
        """Forget the body of a message that is on the disk: the client has it."""
        batch = self._freed.join()
        batch.rows.released.append(message)
        return batch.commit

    def insert_incoming(self, key: int, packet_id: int) -> Commit:
        """Remember a QoS 2 identifier that came from the client."""
        batch = self._rows.join()
        batch.rows.incoming[key, packet_id] = None
        freed = self._freed.open()
        if freed is not None:
            freed.rows.incoming.pop((key, packet_id), None)
        return batch.commit

    def erase_incoming(self, key: int, packet_id: int) -> Commit:
        """Forget it: the client has let go, or its message was not taken."""
        young = self._rows.open()
        if young is not None:
            young.rows.incoming.pop((key, packet_id), None)
        batch = self._freed.join()
        batch.rows.incoming[key, packet_id] = None
        return batch.commit

    def fetch(self, messages: Iterable[int], answer: Answer) -> None:
        """Read bodies: `answer` is called on the loop with (id, record, extra) of those that are there.

        By id; the first MAX_FETCH at most. With an error where the database could not be read.
        """
        self._database.ask(partial(_fetch, tuple(islice(messages, MAX_FETCH))), answer)


def _load(connection: sqlite3.Connection) -> Loaded:
    sessions = connection.execute("SELECT key, CAST(record AS BLOB) FROM sessions ORDER BY key").fetchall()
    messages = connection.execute(
        "SELECT id, CAST(session AS INTEGER), CAST(packet_id AS INTEGER), CAST(flags AS INTEGER),"
        " ifnull(length(record), 0) + ifnull(length(extra), 0), record IS NULL"
        " FROM session_messages ORDER BY id"
    )
    incoming = connection.execute(
        "SELECT session, packet_id FROM session_incoming"
        " WHERE typeof(session) = 'integer' AND typeof(packet_id) = 'integer'"
        " AND packet_id BETWEEN 1 AND 65535"
    ).fetchall()
    return Loaded(sessions, StoredRows(messages), incoming)


def _fetch(messages: tuple[int, ...], connection: sqlite3.Connection) -> list[Body]:
    marks = ",".join("?" * len(messages))
    body = "id, CAST(record AS BLOB), CAST(extra AS BLOB)"
    wanted = f"SELECT {body} FROM session_messages WHERE id IN ({marks})"  # noqa: S608  only marks
    return connection.execute(f"{wanted} AND record IS NOT NULL ORDER BY id", messages).fetchall()
