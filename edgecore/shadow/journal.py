"""The shadow room on disk: documents (tombstones too), sync marks, and notices that are not sent yet.

One change is one work: the document, what is to be published about it, and the mark of the last
synchronisation become durable together. Notices that were sent are deleted by the next change, so that
they cost no sync of their own; a crash before that sends them again, which QoS 1 allows.

A row that the disk altered costs itself and nothing else: a document is then one that was deleted at its
version and was never synchronised, so that the cloud's copy comes back and versions go on growing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec

from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.shadow.document import Document, JsonObject
from edgecore.shadow.replica import Mark, Push
from edgecore.shadow.requests import Reply
from edgecore.shadow.topics import ShadowId
from edgecore.store import Connection, Database

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
SENT: Final = "DELETE FROM shadow_notices WHERE id = ?"
# Sent notices that wait for a change to delete them; beyond, they are deleted by a work of their own.
MAX_SENT: Final = 1000

# What decoding bytes that the disk altered can raise.
UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, ValueError, TypeError)

Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Change:
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


class Journal:
    """The room's tables. `load` first."""

    def __init__(self, database: Database) -> None:
        self._database = database
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
        many works wait for the disk.
        """
        notice = self._next_notice if change.replies else 0
        statements = _statements(change, notice)
        sent = frozenset(self._sent)
        commit = self._database.write(partial(_apply, change, statements, sent))
        self._next_notice += 1
        self._forget(sent, commit)
        return notice, commit

    def sent(self, notices: Iterable[int]) -> None:
        """These notices were sent; delete them with the next change."""
        self._sent.update(notices)
        if len(self._sent) > MAX_SENT:
            self.tidy()

    def tidy(self) -> None:
        """Delete the sent notices now."""
        if self._sent:
            sent = frozenset(self._sent)
            self._forget(sent, self._database.write(partial(_delete, sent), frees=True))

    def _forget(self, sent: frozenset[int], commit: Commit) -> None:
        self._sent -= sent
        if sent:
            commit.when_done(lambda error: self._sent.update(sent) if error is not None else None)


def _statements(change: Change, notice: int) -> list[Statement]:
    key = (change.shadow.thing, change.shadow.name)
    statements: list[Statement] = []
    if change.document is not None:
        document = change.document
        content = msgspec.json.encode([document.state, document.metadata])
        statements.append((DOCUMENT, (*key, document.version, document.deleted, content)))
    if change.mark is not None:
        mark = change.mark
        base = msgspec.json.encode(mark.base)
        pending = None if mark.pending is None else msgspec.json.encode(mark.pending)
        row = (*key, base, mark.cloud_version, mark.local_version, mark.synced_at, pending)
        statements.append((MARK, row))
    if notice:
        replies = msgspec.msgpack.encode([(reply.suffix, reply.payload) for reply in change.replies])
        statements.append((NOTICE, (notice, *key, replies)))
    return statements


def _apply(
    change: Change, statements: Sequence[Statement], sent: frozenset[int], connection: Connection
) -> None:
    if change.previous is not None:
        key = (change.shadow.thing, change.shadow.name)
        found = connection.execute(VERSION, key).fetchone() or (0,)
        if found[0] != change.previous:
            raise StoreError(f"shadow {change.shadow}: the change before this one was not stored")
    for statement, row in statements:
        connection.execute(statement, row)
    _delete(sent, connection)


def _delete(sent: frozenset[int], connection: Connection) -> None:
    connection.executemany(SENT, [(notice,) for notice in sent])


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
