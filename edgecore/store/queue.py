"""DurableQueue: records in order on disk, bounded, acknowledged one by one.

All queues share one table, clustered by (queue, id), so that a queue's records lie together. What is
appended or acknowledged in one turn of the loop goes to disk as one work. Must not know what a record
means.

A queue may have several lanes: each is read by itself and is a queue of its own on the disk, but they
have one bound, and when it is met the lowest lane gives way. Ids grow across all lanes. The records of
such a queue bear a tag, by which the queue tells how many of a kind it holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.store.batch import Batch, Batcher
from edgecore.store.bounds import (
    FAILED,
    REFUSED,
    Lanes,
    QueueBounds,
    evict,
    fits,
    make_room,
    no_record,
    no_room,
)
from edgecore.store.database import Database, durable
from edgecore.store.ledger import TAGS
from edgecore.store.spans import spans

Record = bytes  # a name of its own: the queues have a property called `bytes`
Answer = Callable[[list[tuple[int, Record]] | Exception], None]

ROOM: Final = "store.queue"
SCHEMA: Final = (
    """
    CREATE TABLE queues (key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL);
    CREATE TABLE queue_records (
      queue INTEGER NOT NULL, id INTEGER NOT NULL, record BLOB NOT NULL, PRIMARY KEY (queue, id)
    ) WITHOUT ROWID;
    """,
)
# Ids grow also across restarts without a write per append: each opening begins a new block of them.
# 2^44 ids last 5 years at 100,000 a second, and 2^19 openings fit in SQLite's signed 64 bits. A salvaged
# queue may have lost its number of openings: its records tell the least that it was.
IDS_PER_OPENING: Final = 2**44
# Rows read at a time when a queue is opened: other rooms' works run in between.
OPENING_ROWS: Final = 50_000

OPENED: Final = """
INSERT INTO queues (name, epoch) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET epoch = 1 + max(
  epoch, coalesce((SELECT max(id) FROM queue_records WHERE queue = key), 0) >> 44)
"""
SIZES: Final = """
SELECT id, length(record), substr(record, 1, ?)
FROM queue_records WHERE queue = ? AND id > ? ORDER BY id LIMIT ?
"""
INSERT: Final = "INSERT INTO queue_records (queue, id, record) VALUES (?, ?, ?)"
DELETE: Final = "DELETE FROM queue_records WHERE queue = ? AND id BETWEEN ? AND ?"
PEEK: Final = """
SELECT id, coalesce(substr(record, ? + 1), x'')
FROM queue_records WHERE queue = ? AND id > ? ORDER BY id LIMIT ?
"""


# In front of each record of a queue with several lanes.
TAG_BYTES: Final = 2


@dataclass(slots=True)
class _Rows:
    """The rows of one turn. Evictions ride with the appends that caused them, after them."""

    inserts: list[tuple[int, int, Record]] = field(default_factory=list)
    deletes: list[tuple[int, int]] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)  # of other queues, in whose place inserts came


def _apply(connection: sqlite3.Connection, rows: _Rows) -> None:
    if rows.inserts:
        connection.executemany(INSERT, rows.inserts)
    if rows.deletes:
        connection.executemany(DELETE, spans(rows.deletes))
    if rows.left:
        connection.executemany(DELETE, spans(rows.left))


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a record lies in its queue, to be given to the `append_from` of another one."""

    row: tuple[int, int]
    done: Callable[[Exception | None], None]  # to be called with what became of it: None when it has left


class DurableQueue:
    """A queue on disk. `dropped` counts, by reason, what was not kept since it was opened."""

    def __init__(self, database: Database, name: str, bounds: QueueBounds, lanes: int = 1) -> None:
        self.name = name
        self.dropped: dict[str, int] = {}
        self._database = database
        self._bounds = bounds
        self._lanes = Lanes(lanes)
        self._names = [name] if lanes == 1 else [f"{name}/{lane}" for lane in range(lanes)]
        self._prefix = TAG_BYTES if lanes > 1 else 0
        self._owed: set[tuple[int, int]] = set()  # deletions that the disk has not taken; tried with the next
        self._appends = Batcher(database, _Rows, _apply)
        self._acks = Batcher(database, _Rows, _apply, frees=True)
        self._keys: list[int] = []
        self._next = 0

    @property
    def count(self) -> int:
        """Records held."""
        return self._lanes.count

    @property
    def bytes(self) -> int:
        """Bytes of the records held."""
        return self._lanes.bytes

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._lanes

    def waiting(self, lane: int) -> int:
        """Records held in the lane."""
        return self._lanes.ledgers[lane].count

    def held(self, tag: int) -> int:
        """Records held that bear the tag, in any lane."""
        return self._lanes.held(tag)

    async def open(self) -> None:
        """Find what earlier runs left. Raises StoreError. Call once, before anything else."""
        await self._database.migrate(ROOM, SCHEMA)
        await durable(self._database.write(self._begin))
        found = [await self._database.read(partial(self._identify, name)) for name in self._names]
        self._keys = [key for key, _ in found]
        self._next = max(epoch for _, epoch in found) * IDS_PER_OPENING
        for lane, key in enumerate(self._keys):
            after = 0
            while rows := await self._database.read(partial(self._sizes, key, after)):
                for identifier, size, tag in rows:
                    self._lanes.add(lane, identifier, size, int.from_bytes(tag or b"", "big"))
                after = rows[-1][0]
        self._keep_bounds()

    def append(
        self, record: Record, lane: int = 0, tag: int = 0, kept: Callable[[int], bool] = no_record
    ) -> tuple[int, Commit]:
        """Add a record; gives its id (ids strictly grow) and the Commit that makes it durable.

        `kept`: ids that do not give way to it while another can. Raises RefusedError when the queue is
        full and its rule is "refuse", when the record alone is above the bound, or when too many works
        wait for the disk.
        """
        self._check_open()
        batch = self._join_appends()
        if self._prefix:
            record = (tag % TAGS).to_bytes(TAG_BYTES, "big") + record
        evicted, room = make_room(self._lanes, self._bounds, self.name, len(record), self.dropped, lane, kept)
        identifier = self._next
        self._next += 1
        is_first = not (batch.rows.inserts or batch.rows.deletes)
        batch.rows.deletes += [(self._keys[its], old) for its, old in evicted]
        if room:
            self._lanes.add(lane, identifier, len(record), tag % TAGS)
            batch.rows.inserts.append((self._keys[lane], identifier, record))
            self._database.messages += 1
        if is_first:
            batch.commit.when_done(partial(self._appended, batch.rows))
        return identifier, batch.commit

    def slot(self, identifier: int) -> Slot | None:
        """The slot of a record that is held; None of one that is not."""
        for lane, ledger in enumerate(self._lanes.ledgers):
            if identifier in ledger:
                return Slot((self._keys[lane], identifier), partial(self._has_left, identifier))
        return None

    def append_from(self, slot: Slot, record: Record, lane: int = 0, tag: int = 0) -> tuple[int, Commit]:
        """As `append`, in the place of another queue's record in this database: both happen, or neither.

        The other queue counts its record until the Commit is resolved. Nothing gives way to the new one:
        raises RefusedError when there is no room for it.
        """
        if not fits(self._lanes, self._bounds, len(record) + self._prefix):
            raise RefusedError(no_room(self.name, self._lanes, self._bounds))
        identifier, commit = self.append(record, lane, tag)
        batch = self._appends.open()
        if batch is not None:  # else the database is of no use, and the Commit says so
            batch.rows.left.append(slot.row)
        commit.when_done(slot.done)
        return identifier, commit

    def _has_left(self, identifier: int, error: Exception | None) -> None:
        if error is None:
            self._lanes.remove(identifier)

    async def peek(self, after: int, limit: int, max_bytes: int, lane: int = 0) -> list[tuple[int, Record]]:
        """Up to `limit` records of the lane with ids above `after`, in order.

        `max_bytes` together, at least one.
        """
        self._check_open()
        rows = await self._database.read(partial(self._peek, self._keys[lane], after, limit, max_bytes))
        ledger = self._lanes.ledgers[lane]
        return [row for row in rows if row[0] in ledger]

    def ask(self, after: int, limit: int, max_bytes: int, lane: int, answer: Answer) -> None:
        """As `peek`, without waiting: `answer` is called on the loop with the records, or with the error.

        They are those that the disk held: some may have been taken out since.
        """
        self._check_open()
        self._database.ask(partial(self._peek, self._keys[lane], after, limit, max_bytes), answer)

    def ack(self, ids: Iterable[int]) -> Commit:
        """Delete records; unknown ids are ignored. Never refused, also not on a full disk."""
        self._check_open()
        rows = [
            (self._keys[lane], identifier)
            for identifier in ids
            if (lane := self._lanes.remove(identifier)) is not None
        ]
        rows += self._owed
        self._owed.clear()
        young = self._appends.open()
        if (
            young is not None
            and young.rows.inserts
            and any(row[1] >= young.rows.inserts[0][1] for row in rows)
        ):
            # Appended in this very turn: the deletion must come after the insertion.
            young.rows.deletes += rows
            return young.commit
        return self._delete(rows)

    def _delete(self, rows: list[tuple[int, int]]) -> Commit:
        if not rows:
            return _done()
        batch = self._acks.join()
        batch.rows.deletes += rows
        if len(batch.rows.deletes) == len(rows):
            batch.commit.when_done(partial(self._deleted, batch.rows))
        return batch.commit

    def _join_appends(self) -> Batch[_Rows]:
        try:
            return self._appends.join()
        except RefusedError:
            self._count(REFUSED, 1)
            raise

    def _appended(self, rows: _Rows, error: Exception | None) -> None:
        if error is not None:
            lost = sum(self._lanes.remove(identifier) is not None for _, identifier, _ in rows.inserts)
            self._count(FAILED, lost)
        self._deleted(rows, error)

    def _deleted(self, rows: _Rows, error: Exception | None) -> None:
        if error is not None:
            self._owed.update(rows.deletes)

    def _keep_bounds(self) -> None:
        """Bounds may have shrunk since the last run; the rule "refuse" keeps what it has."""
        if self._bounds.overflow == "drop-oldest":
            evicted = evict(self._lanes, self._bounds, 0, self.dropped, records=0)
            self._delete([(self._keys[lane], identifier) for lane, identifier in evicted])

    def _count(self, reason: str, number: int) -> None:
        if number:
            self.dropped[reason] = self.dropped.get(reason, 0) + number

    def _check_open(self) -> None:
        if not self._keys:
            raise StoreError(f"queue {self.name}: used before it was opened")

    def _begin(self, connection: sqlite3.Connection) -> None:
        connection.executemany(OPENED, [(name,) for name in self._names])

    def _identify(self, name: str, connection: sqlite3.Connection) -> tuple[int, int]:
        key, epoch = connection.execute("SELECT key, epoch FROM queues WHERE name = ?", (name,)).fetchone()
        return key, epoch

    def _sizes(
        self, key: int, after: int, connection: sqlite3.Connection
    ) -> list[tuple[int, int, Record | None]]:
        return connection.execute(SIZES, (self._prefix, key, after, OPENING_ROWS)).fetchall()

    def _peek(
        self, key: int, after: int, limit: int, max_bytes: int, connection: sqlite3.Connection
    ) -> list[tuple[int, Record]]:
        return take(connection.execute(PEEK, (self._prefix, key, after, limit)), max_bytes)


def _done() -> Commit:
    commit = Commit()
    commit.resolve()
    return commit


def take(rows: Iterable[tuple[int, Record]], max_bytes: int) -> list[tuple[int, Record]]:
    """The first rows whose records are at most `max_bytes` together, but at least one."""
    taken: list[tuple[int, Record]] = []
    total = 0
    for identifier, record in rows:
        total += len(record)
        if taken and total > max_bytes:
            break
        taken.append((identifier, record))
    return taken
