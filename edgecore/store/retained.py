"""RetainedStore: retained messages on disk. The router keeps them in memory and calls this at changes."""

from __future__ import annotations

import logging
import sqlite3
from typing import Final

from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.base.message import Message
from edgecore.store.batch import Batcher
from edgecore.store.database import Database
from edgecore.store.envelope import decode_message, encode_message

log = logging.getLogger(__name__)

ROOM: Final = "store.retained"
SCHEMA: Final = ("CREATE TABLE retained (topic TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID",)
UPSERT: Final = """
INSERT INTO retained (topic, message) VALUES (?, ?)
ON CONFLICT (topic) DO UPDATE SET message = excluded.message
"""

_Rows = dict[str, bytes | None]


def _apply(connection: sqlite3.Connection, rows: _Rows) -> None:
    kept = [(topic, record) for topic, record in rows.items() if record is not None]
    gone = [(topic,) for topic, record in rows.items() if record is None]
    connection.executemany(UPSERT, kept)
    connection.executemany("DELETE FROM retained WHERE topic = ?", gone)


class RetainedStore:
    """One message per topic. What changes twice in one turn of the loop is written once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._batcher: Batcher[_Rows] = Batcher(database, dict, _apply)

    async def open(self) -> None:
        """Make the table. Raises StoreError."""
        await self._database.migrate(ROOM, SCHEMA)

    async def load(self) -> list[Message]:
        """All retained messages, by topic. One that cannot be read is logged and left out."""
        rows = await self._database.read(
            lambda connection: connection.execute("SELECT message FROM retained ORDER BY topic").fetchall()
        )
        messages: list[Message] = []
        for (record,) in rows:
            try:
                messages.append(decode_message(record))
            except StoreError as error:
                log.warning("a retained message is left out: %s", error)
        return messages

    def save(self, message: Message) -> Commit:
        """Keep `message` as the one of its topic."""
        return self._put(message.topic, encode_message(message))

    def erase(self, topic: str) -> Commit:
        """Forget the message of `topic`, if there is one."""
        return self._put(topic, None)

    def _put(self, topic: str, record: bytes | None) -> Commit:
        batch = self._batcher.join()
        batch.rows[topic] = record
        return batch.commit
