"""SessionStore: what MQTT sessions must not forget, on disk. It knows rows and ids, and no MQTT.

Three tables: who has a session and with what (one record each, whose content is the listener's), the messages
that wait for or are on their way to a client, and the packet identifiers of QoS 2 that came from one.

Messages of all sessions are rows of one growing sequence: what many sessions get in one turn shares pages, so
that a commit writes few. Whoever owns a session remembers its ids (12 bytes each); there is no index to keep.
A message that is inserted and erased before its turn is handed to the disk is never written at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
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
# Acknowledgements come mostly in order, so most deletions are of neighbours: one statement each run.
ERASE: Final = "DELETE FROM session_messages WHERE id BETWEEN ? AND ?"
# What the client has received (QoS 2, between PUBREC and PUBCOMP) needs its packet identifier and no body.
RELEASE: Final = "UPDATE session_messages SET record = NULL, extra = NULL WHERE id = ?"
# SQLite takes up to 32,766 variables in a statement; a page of messages is far less.
MAX_FETCH: Final = 256


class StoredRow(NamedTuple):
    """A message of a session, without its body. `size`: the body's bytes; `released`: 1 when it is gone."""

    id: int
    session: int
    packet_id: int
    flags: int
    size: int
    released: int


class Loaded(NamedTuple):
    """What an earlier run left: records by key, messages in order, and (key, packet id) that came in."""

    sessions: list[tuple[int, bytes]]
    messages: list[StoredRow]
    incoming: list[tuple[int, int]]


Body = tuple[int, bytes, bytes | None]
Answer = Callable[[Sequence[Body] | Exception], None]


@dataclass(slots=True)
class _Rows:
    """What one turn changes. Deletions of what the turn itself inserts are done here, in memory."""

    sessions: dict[int, bytes] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    inserts: dict[int, tuple[int, int, int, bytes, bytes | None]] = field(default_factory=dict)
    incoming: dict[tuple[int, int], None] = field(default_factory=dict)


@dataclass(slots=True)
class _Freed:
    """What one turn takes away: never refused, also not on a full disk."""

    messages: list[int] = field(default_factory=list)
    released: list[int] = field(default_factory=list)
    incoming: list[tuple[int, int]] = field(default_factory=list)


def _apply(connection: sqlite3.Connection, rows: _Rows) -> None:
    if rows.sessions:
        connection.executemany(SAVE, rows.sessions.items())
    if rows.inserts:
        connection.executemany(INSERT, [(number, *row) for number, row in rows.inserts.items()])
    if rows.incoming:
        connection.executemany(INCOMING, rows.incoming)
    for key in rows.gone:
        connection.execute("DELETE FROM sessions WHERE key = ?", (key,))
        connection.execute("DELETE FROM session_incoming WHERE session = ?", (key,))


def _apply_freed(connection: sqlite3.Connection, rows: _Freed) -> None:
    if rows.messages:
        connection.executemany(ERASE, runs(rows.messages))
    if rows.released:
        connection.executemany(RELEASE, [(number,) for number in rows.released])
    if rows.incoming:
        connection.executemany(
            "DELETE FROM session_incoming WHERE session = ? AND packet_id = ?", rows.incoming
        )


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
        self._next_key = max((key for key, _ in loaded.sessions), default=0) + 1
        self._next_id = max((row.id for row in loaded.messages), default=0) + 1
        return loaded

    def new_key(self) -> int:
        """The key of a session that begins."""
        key = self._next_key
        self._next_key += 1
        return key

    def save(self, key: int, record: bytes) -> Commit:
        """Keep this as the session's record. Raises RefusedError as Database.write does."""
        batch = self._rows.join()
        batch.rows.sessions[key] = record
        return batch.commit

    def discard(self, key: int, messages: Iterable[int]) -> Commit:
        """Forget a session, its incoming identifiers and these messages."""
        self.erase(messages)
        batch = self._rows.join()
        batch.rows.sessions.pop(key, None)
        batch.rows.gone.append(key)
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

    def release(self, message: int) -> Commit:
        """Forget the body of a message that is on the disk: the client has it."""
        batch = self._freed.join()
        batch.rows.released.append(message)
        return batch.commit

    def insert_incoming(self, key: int, packet_id: int) -> Commit:
        """Remember a QoS 2 identifier that came from the client."""
        batch = self._rows.join()
        batch.rows.incoming[key, packet_id] = None
        return batch.commit

    def erase_incoming(self, key: int, packet_id: int) -> Commit:
        """Forget it: the client has let go."""
        batch = self._freed.join()
        batch.rows.incoming.append((key, packet_id))
        return batch.commit

    def fetch(self, messages: Iterable[int], answer: Answer) -> None:
        """Read bodies: `answer` is called on the loop with (id, record, extra) of those that are there.

        By id; the first MAX_FETCH at most. With an error where the database could not be read.
        """
        self._database.ask(partial(_fetch, tuple(islice(messages, MAX_FETCH))), answer)


def _load(connection: sqlite3.Connection) -> Loaded:
    sessions = connection.execute("SELECT key, record FROM sessions ORDER BY key").fetchall()
    messages = connection.execute(
        "SELECT id, session, packet_id, flags, ifnull(length(record), 0), record IS NULL"
        " FROM session_messages ORDER BY id"
    )
    incoming = connection.execute("SELECT session, packet_id FROM session_incoming").fetchall()
    return Loaded(sessions, [StoredRow(*row) for row in messages], incoming)


def _fetch(messages: tuple[int, ...], connection: sqlite3.Connection) -> list[Body]:
    marks = ",".join("?" * len(messages))
    wanted = f"SELECT id, record, extra FROM session_messages WHERE id IN ({marks})"  # noqa: S608  only marks
    return connection.execute(f"{wanted} AND record IS NOT NULL ORDER BY id", messages).fetchall()
