"""Dictionary: what is a dictionary by nature (the device registry, function state), on sqlitedict.

sqlitedict's own defaults are pickle, which runs code on reading, and `synchronous=OFF`, which loses and
corrupts on power loss. Here the codec is JSON, `synchronous=FULL` is set through it and read back, and
opening fails otherwise. It is opened with autocommit: without it, sqlitedict's thread dies when a COMMIT
fails (a full disk) and its caller waits for ever; with it the failing statement is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import sqlitedict

from edgecore.base.errors import StoreError
from edgecore.store.opening import SYNCHRONOUS_FULL, make_sound

log = logging.getLogger(__name__)

TABLE: Final = "dictionary"
# As sqlitedict makes it. A file with other tables than this one, or this one by another text, is damaged.
TABLES: Final = {TABLE: f'CREATE TABLE "{TABLE}" (key TEXT PRIMARY KEY, value BLOB)'}


class Dictionary:
    """Text keys, JSON values. What `put` and `delete` did is durable when they return.

    The plain methods block for a sync; on the loop use those that begin with an a, and do not mix
    the two kinds at the same time. `set_aside` names a damaged file that was put away at opening, after what
    is readable was salvaged, or is "".
    """

    def __init__(self, path: Path, table: sqlitedict.SqliteDict, aside: str) -> None:
        self.path = path
        self.set_aside = aside
        self._table = table
        self._one_at_a_time = asyncio.Lock()  # sqlitedict gives one caller's error to the next caller

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or make the file. Raises StoreError when it cannot keep what is put in it."""
        aside = make_sound(path, time.time(), TABLES).set_aside
        try:
            table = sqlitedict.SqliteDict(
                str(path),
                tablename=TABLE,
                autocommit=True,
                journal_mode="WAL",
                encode=msgspec.json.encode,
                decode=msgspec.json.decode,
                outer_stack=False,
            )
        except (sqlite3.Error, RuntimeError) as error:
            raise StoreError(
                f"{path}: cannot be opened: {error}; check the folder and permissions"
            ) from error
        try:
            _make_durable(table, path)
        except BaseException:
            table.close()
            raise
        return cls(path, table, aside)

    def get(self, key: str) -> Any:  # noqa: ANN401  any JSON value
        """The value of `key`, or None."""
        with self._errors():
            return self._table.get(key)

    def put(self, key: str, value: object) -> None:
        """Set `key` to a JSON value. Raises StoreError; then the old value stands."""
        with self._errors():
            self._table[key] = value

    def put_all(self, values: Mapping[str, object]) -> None:
        """Set all of `values` in one transaction. Raises StoreError; then all old values stand."""
        if not values:
            return
        with self._errors():
            pairs = [part for key, value in values.items() for part in (key, self._table.encode(value))]
            # One statement: sqlitedict commits after each, and goes on after one that failed.
            places = ",".join(["(?,?)"] * len(values))
            statement = f'REPLACE INTO "{TABLE}" (key, value) VALUES {places}'  # noqa: S608  no value is in it
            self._table.conn.execute(statement, pairs)
            self._table.commit()

    def delete(self, key: str) -> bool:
        """Forget `key`; False when it was not there."""
        with self._errors():
            if key not in self._table:
                return False
            del self._table[key]
            return True

    def items(self) -> list[tuple[str, Any]]:
        """All pairs, in the order of their last `put`. A value that cannot be read is logged and left out."""
        with self._errors():
            raw = list(self._table.conn.select(f'SELECT key, value FROM "{TABLE}" ORDER BY rowid'))  # noqa: S608
        pairs: list[tuple[str, Any]] = []
        for key, value in raw:
            try:
                pairs.append((key, msgspec.json.decode(value)))
            except (msgspec.MsgspecError, UnicodeDecodeError, TypeError) as error:
                log.warning("%s: the value of %r cannot be read and is left out: %s", self.path, key, error)
        return pairs

    async def aget(self, key: str) -> Any:  # noqa: ANN401  any JSON value
        """`get` off the loop."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self.get, key)

    async def aput(self, key: str, value: object) -> None:
        """`put` off the loop."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self.put, key, value)

    async def aput_all(self, values: Mapping[str, object]) -> None:
        """`put_all` off the loop."""
        async with self._one_at_a_time:
            await asyncio.to_thread(self.put_all, values)

    async def adelete(self, key: str) -> bool:
        """`delete` off the loop."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self.delete, key)

    def close(self) -> None:
        """Close the file. Nothing is lost: each change was durable already."""
        self._table.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, msgspec.MsgspecError, TypeError) as error:
            raise StoreError(f"{self.path}: {type(error).__name__}: {error}") from error


def _make_durable(table: sqlitedict.SqliteDict, path: Path) -> None:
    table.conn.execute("PRAGMA synchronous=FULL")
    # What is deleted is wiped: no salvage may bring back a device that was taken out.
    table.conn.execute("PRAGMA secure_delete=ON")
    for name, expected in (("synchronous", SYNCHRONOUS_FULL), ("journal_mode", "wal")):
        (found,) = table.conn.select_one(f"PRAGMA {name}")
        if found != expected:
            raise StoreError(
                f"{path}: PRAGMA {name} reads back {found!r}, expected {expected!r}: "
                "this file system cannot keep what is acknowledged; move the state folder to a local disk"
            )
