"""The shadow room on disk: documents (tombstones too), sync marks, and notices that are not sent yet.

A change is durable as a whole or not at all: the document, what is to be published about it, and the mark of
the last synchronisation. The changes of one turn of the loop are one work: of each shadow only its newest
document is written, and a change that does not follow what is on disk is left out without harm to the others.
Notices that were sent are deleted by the next change, so that they cost no sync of their own; a crash before
that sends them again, which QoS 1 allows.

A row that the disk altered costs itself and nothing else: a document is then one that was deleted at its
version and was never synchronised, so that the cloud's copy comes back and versions go on growing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import msgspec

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.shadow.document import Document, JsonObject
from edgecore.shadow.replica import Mark, Push
from edgecore.shadow.requests import Reply
from edgecore.shadow.topics import ShadowId
from edgecore.store import Batcher, Connection, Database, runs

log = logging.getLogger(__name__)

ROOM: Final = "shadow"
SCHEMA: Final = (
    """
    CREATE TABLE shadow_documents (
      thing TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL,
      content BLOB NOT NULL, PRIMARY KEY (thing, name)
    ) WITHOUT ROWID;
    CREATE TABLE shadow_marks (
      thing TEXT NOT NULL, name TEXT NOT NULL, base BLOB NOT NULL, cloud_version INTEGER NOT NULL,
      local_version INTEGER NOT NULL, synced_at INTEGER NOT NULL, PRIMARY KEY (thing, name)
    ) WITHOUT ROWID;
    CREATE TABLE shadow_notices (id INTEGER PRIMARY KEY, thing TEXT NOT NULL, name TEXT NOT NULL,
      replies BLOB NOT NULL);
    """,
    # What was sent to the cloud with an outcome that is not known: see replica.Push. NULL: nothing.
    "ALTER TABLE shadow_marks ADD COLUMN pending BLOB;",
)
VERSION: Final = "SELECT version FROM shadow_documents WHERE thing = ? AND name = ?"
DOCUMENT: Final = """
INSERT INTO shadow_documents (thing, name, version, deleted, content) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (thing, name) DO UPDATE SET version = excluded.version, deleted = excluded.deleted,
  content = excluded.content
"""
MARK: Final = """
INSERT INTO shadow_marks (thing, name, base, cloud_version, local_version, synced_at, pending)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (thing, name) DO UPDATE SET base = excluded.base, cloud_version = excluded.cloud_version,
  local_version = excluded.local_version, synced_at = excluded.synced_at, pending = excluded.pending
"""
NOTICE: Final = "INSERT INTO shadow_notices (id, thing, name, replies) VALUES (?, ?, ?, ?)"
SENT: Final = "DELETE FROM shadow_notices WHERE id BETWEEN ? AND ?"
# Sent notices that wait for a change to delete them; beyond, they are deleted by a work of their own.
MAX_SENT: Final = 1000
# Changes that one work may hold. While one is written the next is gathered: as many wait as the store lets
# works wait (100,000).
MAX_CHANGES: Final = 50_000

# What decoding bytes that the disk altered can raise.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError)


class Change(msgspec.Struct, frozen=True, gc=False):
    """What becomes durable together.

    `previous`: the version of our document that all this was made from; it must be the one on disk.
    None: it does not matter.
    """

    shadow: ShadowId
    previous: int | None = None
    document: Document | None = None
    mark: Mark | None = None
    replies: tuple[Reply, ...] = ()


@dataclass(frozen=True, slots=True)
class Notice:
    """Replies of a change that an earlier run had not sent for certain."""

    id: int
    shadow: ShadowId
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Contents:
    """What an earlier run left. `unreadable`: the numbers of notices that cannot be sent."""

    documents: dict[ShadowId, Document]
    marks: dict[ShadowId, Mark]
    notices: list[Notice]
    unreadable: list[int] = field(default_factory=list)


class _Entry(msgspec.Struct, eq=False):
    """A change on its way to the disk. `problem`: why it was left out, when it was."""

    change: Change
    notice: int
    commit: Commit
    problem: StoreError | None = None


@dataclass(slots=True)
class _Rows:
    """What one turn writes: its changes in order, and the numbers of notices that are to go."""

    entries: list[_Entry] = field(default_factory=list)
    sent: set[int] = field(default_factory=set)


class Journal:
    """The room's tables. `load` first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batches = Batcher(database, _Rows, _apply)
        self._next_notice = 1
        self._sent: set[int] = set()

    async def load(self) -> Contents:
        """Make the tables and read them. Raises StoreError."""
        await self._database.migrate(ROOM, SCHEMA)
        return self.take_over(await self._database.read(read_contents))

    def take_over(self, contents: Contents) -> Contents:
        """Go on from what an earlier run left."""
        self._next_notice = max([0, *(notice.id for notice in contents.notices), *contents.unreadable]) + 1
        self._sent.update(contents.unreadable)
        return contents

    def write(self, change: Change) -> tuple[int, Commit]:
        """Make a change durable; gives the number of its notice (0: none) and the Commit.

        The Commit fails when an earlier change of this document failed. Raises RefusedError when too
        much waits for the disk.
        """
        batch = self._batches.open()
        if batch is None:
            batch = self._batches.join()
            batch.commit.when_done(partial(self._written, batch.rows))
        rows = batch.rows
        if len(rows.entries) >= MAX_CHANGES:
            raise RefusedError(f"{MAX_CHANGES} changes of shadows wait for the disk: no more are taken")
        notice = self._next_notice if change.replies else 0
        self._next_notice += 1
        commit = Commit()
        rows.entries.append(_Entry(change, notice, commit))
        if self._sent:
            rows.sent |= self._sent
            self._sent = set()
        if batch.commit.resolved:  # the store is closed
            self._written(rows, batch.commit.error)
        return notice, commit

    def sent(self, notices: Iterable[int]) -> None:
        """These notices were sent, which only what is durable is; delete them with the next change."""
        self._sent.update(notices)
        if len(self._sent) > MAX_SENT:
            self.tidy()

    def tidy(self) -> None:
        """Delete the sent notices now."""
        if self._sent:
            rows = _Rows(sent=self._sent)
            self._sent = set()
            self._database.write(partial(_delete, rows.sent), frees=True).when_done(
                partial(self._written, rows)
            )

    def _written(self, rows: _Rows, error: Exception | None) -> None:
        if error is not None:
            self._sent |= rows.sent
        for entry in rows.entries:
            entry.commit.resolve(error or entry.problem)


def _apply(connection: Connection, rows: _Rows) -> None:
    """Write the changes that follow one another; an entry that does not learns of its problem.

    May run more than once, each time from the beginning.
    """
    versions: dict[ShadowId, int] = {}
    documents: dict[ShadowId, Document] = {}
    marks: dict[ShadowId, Mark] = {}
    notices = []
    for entry in rows.entries:
        change = entry.change
        shadow, document = change.shadow, change.document
        entry.problem = _objection(connection, change, versions)
        if entry.problem is not None:
            continue
        if document is not None:
            versions[shadow] = document.version
            documents[shadow] = document
        if change.mark is not None:
            marks[shadow] = change.mark
        if entry.notice:
            notices.append((entry.notice, shadow.thing, shadow.name, _encoded(change.replies)))
    _delete(rows.sent, connection)  # first: what is inserted takes the pages that this frees
    if documents:
        connection.executemany(DOCUMENT, map(_document_row, documents.items()))
    if marks:
        connection.executemany(MARK, map(_mark_row, marks.items()))
    if notices:
        connection.executemany(NOTICE, notices)


def _objection(connection: Connection, change: Change, versions: dict[ShadowId, int]) -> StoreError | None:
    """Why the change cannot be stored. `versions`: of documents that were looked at or written before."""
    if change.previous is None:
        return None
    shadow = change.shadow
    version = versions.get(shadow)
    if version is None:
        found = connection.execute(VERSION, (shadow.thing, shadow.name)).fetchone() or (0,)
        version = versions[shadow] = found[0]
    if version == change.previous:
        return None
    return StoreError(f"shadow {shadow}: the change before this one was not stored")


def _encoded(replies: tuple[Reply, ...]) -> bytes:
    return msgspec.msgpack.encode([(reply.suffix, reply.payload) for reply in replies])


def _document_row(item: tuple[ShadowId, Document]) -> tuple[str, str, int, bool, bytes]:
    shadow, document = item
    text = document.text()
    content = msgspec.json.encode([text.state, text.metadata])
    return shadow.thing, shadow.name, document.version, document.deleted, content


def _mark_row(item: tuple[ShadowId, Mark]) -> tuple[str, str, bytes, int, int, int, bytes | None]:
    shadow, mark = item
    base = msgspec.json.encode(mark.base)
    pending = None if mark.pending is None else msgspec.json.encode(mark.pending)
    return shadow.thing, shadow.name, base, mark.cloud_version, mark.local_version, mark.synced_at, pending


def _delete(sent: Iterable[int], connection: Connection) -> None:
    connection.executemany(SENT, runs(sent))


def read_contents(connection: Connection) -> Contents:
    """All that the tables hold."""
    contents = Contents({}, {}, [])
    altered: set[ShadowId] = set()
    for thing, name, version, deleted, content in connection.execute(
        "SELECT thing, name, version, deleted, content FROM shadow_documents"
    ):
        shadow = ShadowId(thing, name)
        try:
            state, metadata = msgspec.json.decode(content, type=tuple[JsonObject, JsonObject])
        except UNREADABLE as error:
            log.error("shadow %s cannot be read and counts as deleted: %s", shadow, error)  # noqa: TRY400
            contents.documents[shadow] = Document({}, {}, version)
            altered.add(shadow)
        else:
            contents.documents[shadow] = Document(state, metadata, version, bool(deleted))
    for thing, name, base, cloud_version, local_version, synced_at, pending in connection.execute(
        "SELECT thing, name, base, cloud_version, local_version, synced_at, pending FROM shadow_marks"
    ):
        shadow = ShadowId(thing, name)
        try:
            push = None if pending is None else msgspec.json.decode(pending, type=Push)
            state = msgspec.json.decode(base, type=JsonObject | None)
            mark = Mark(state, cloud_version, local_version, synced_at, push)
        except UNREADABLE as error:
            log.warning("shadow %s will be synchronised as if for the first time: %s", shadow, error)
        else:
            if shadow not in altered:
                contents.marks[shadow] = mark
    _load_notices(connection, contents)
    return contents


def _load_notices(connection: Connection, contents: Contents) -> None:
    for number, thing, name, content in connection.execute(
        "SELECT id, thing, name, replies FROM shadow_notices ORDER BY id"
    ):
        try:
            replies = tuple(Reply(*reply) for reply in msgspec.msgpack.decode(content))
        except UNREADABLE as error:
            log.warning("a notice of shadow %s cannot be sent: %s", ShadowId(thing, name), error)
            contents.unreadable.append(number)
        else:
            contents.notices.append(Notice(number, ShadowId(thing, name), replies))
