"""The one SQLite file and its one writer thread: the only file of edgecore's store that starts a thread.

The loop collects works and hands them over at the end of a turn when the thread is idle; while it works
they go on collecting. All that is handed over runs in one transaction: one sync serves all (group commit),
and what is undone before it is handed over was never written. Their Commits are resolved back on the loop, in
one hop per group. Reads run on the same thread after the writes that were submitted before them. Between loop
and thread there is one lock-free queue; nothing else is shared.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from edgecore.base.clock import Clock, SystemClock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.store.migrate import migrate
from edgecore.store.opening import Opening, open_database
from edgecore.store.reserve import Reserve
from edgecore.store.settings import StoreSettings
from edgecore.store.transaction import Outcome, Work, Write, as_store_error, commit_group, is_fatal
from edgecore.store.wear import Wear

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(slots=True)
class _Read:
    work: Callable[[sqlite3.Connection], Any]
    answer: Callable[[Any], None]  # takes the result, or the error


@dataclass(slots=True)
class _Group:
    """What one turn of the loop hands over; the thread joins all that wait into one."""

    writes: list[Write] = field(default_factory=list)
    reads: list[_Read] = field(default_factory=list)
    joined: int = 1  # how many of them this one is


class Database:
    """The store. Use it as `async with Database(path) as db`, or as a unit by `run`.

    All methods belong to the loop that opened it. `turn` grows whenever works are handed to the
    thread: what was submitted under an older turn can no longer be joined.
    """

    def __init__(self, path: Path, settings: StoreSettings | None = None, clock: Clock | None = None) -> None:
        self.path = path
        self.turn = 0
        self.messages = 0  # that queues have handed over to be written; they count them here
        self._settings = settings or StoreSettings()
        self._clock = clock or SystemClock()
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), self._settings.reserve_bytes)
        self._wear = Wear(self._clock.monotonic(), self._settings.card_endurance)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._collecting = _Group()
        self._flush_scheduled = False
        self._under_way = 0
        self._waiting = 0
        self._opening = Opening()
        self._counts = {"commits": 0, "works": 0, "failed": 0, "refused": 0}

    # The unit

    async def run(self, ready: Callable[[], None]) -> None:
        """Keep the database open until cancelled. Raises StoreError when it cannot be used further."""
        async with self:
            ready()
            await self._broken

    def status(self) -> dict[str, object]:
        """Path, whether it is open, what waits, what was counted; damaged files, rows salvaged of each."""
        return {
            "path": str(self.path),
            "open": self._loop is not None,
            "waiting": self._waiting,
            "disk_full": self._loop is not None and not self._reserve.held,
            "set_aside": sorted(self._opening.kept),
            "salvaged": {name: dict(rows) for name, rows in self._opening.kept.items()},
            "card": self._wear.status(self._clock.monotonic(), self.messages),
            **self._counts,
        }

    async def __aenter__(self) -> Self:
        if self._loop is not None:
            raise StoreError(f"{self.path}: already open")
        loop = asyncio.get_running_loop()
        self._handover: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()
        self._broken: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()
        opened: asyncio.Future[Opening] = loop.create_future()
        thread = threading.Thread(target=self._serve, args=(loop, opened), name="store-writer", daemon=True)
        thread.start()
        try:
            self._opening = await asyncio.shield(opened)
        except BaseException:
            self._handover.put(None)
            raise
        self._loop = loop
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit all that was submitted, then close."""
        self._hand_over()
        self._loop = None
        self._handover.put(None)
        await asyncio.shield(self._ended)
        if self._broken.done() and not self._broken.cancelled():
            self._broken.exception()  # seen: `run` has raised it, or nobody ran

    # What rooms call

    def write(self, work: Work, *, frees: bool = False) -> Commit:
        """Run `work(connection)` in the next group; the Commit is resolved once it is durable.

        The work must touch nothing but the connection: it may run more than once. `frees`: it only
        deletes, so it is never refused and may use the reserve on a full disk. Raises RefusedError
        when too many works wait.
        """
        commit = Commit()
        unusable = self._unusable()
        if unusable is not None:
            commit.resolve(unusable)
            return commit
        if self._waiting >= self._settings.max_waiting and not frees:
            self._counts["refused"] += 1
            raise RefusedError(
                f"{self._waiting} works wait for the disk: no more are taken until it catches up"
            )
        self._waiting += 1
        self._collecting.writes.append(Write(work, commit, frees))
        self._schedule_flush()
        return commit

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work(connection)` gives, after all writes submitted before. It may not write.

        Raises StoreError for what SQLite raised; any other error of the work as it is.
        """
        unusable = self._unusable()
        if unusable is not None:
            raise unusable
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.ask(work, partial(_settle, future))
        return await future

    def ask(self, work: Callable[[sqlite3.Connection], T], answer: Callable[[T | Exception], None]) -> None:
        """As `read`, without waiting: `answer` is called on the loop with the result, or with the error."""
        unusable = self._unusable()
        if unusable is not None:
            answer(unusable)
            return
        self._collecting.reads.append(_Read(work, answer))
        self._schedule_flush()

    async def migrate(self, room: str, steps: Sequence[str]) -> None:
        """Bring the tables of `room` up to date. Steps are immutable SQL, numbered by their place."""
        await durable(self.write(lambda connection: migrate(connection, room, steps)))

    # The loop's side

    def _unusable(self) -> StoreError | None:
        if self._loop is None:
            return StoreError(f"{self.path}: not open: nothing was stored")
        if self._broken.done():
            return StoreError(f"{self.path}: cannot be used further: nothing was stored; see the log")
        return None

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled and self._loop is not None:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if not self._under_way:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._collecting.writes or self._collecting.reads:
            self.turn += 1
            self._under_way += 1
            group, self._collecting = self._collecting, _Group()
            self._handover.put(group)

    def _finish(self, group: _Group, outcomes: list[Outcome], results: list[Any]) -> None:
        writes = group.writes
        self._under_way -= group.joined
        self._waiting -= len(writes)
        self._counts["commits"] += bool(writes)
        self._counts["works"] += len(writes)
        errors = (each for each in (*outcomes, *results) if isinstance(each, Exception))
        fatal = next((each for each in errors if is_fatal(each)), None)
        if fatal is not None:
            self._break(fatal)
        for write, outcome in zip(writes, outcomes, strict=True):
            self._counts["failed"] += outcome is not None
            write.commit.resolve(outcome)
        for read, result in zip(group.reads, results, strict=True):
            read.answer(result)
        self._flush()

    def _break(self, error: Exception) -> None:
        if not self._broken.done():
            log.error("database %s cannot be used further: %s", self.path, error)
            self._broken.set_exception(error)

    # The thread's side

    def _serve(self, loop: asyncio.AbstractEventLoop, opened: asyncio.Future[Opening]) -> None:
        try:
            connection, opening = open_database(self.path, self._settings.cache_bytes, self._clock.now())
        except Exception as error:  # noqa: BLE001  whatever it is, the loop must learn of it
            loop.call_soon_threadsafe(_settle, opened, as_store_error(error))
            return
        self._reserve.hold()
        loop.call_soon_threadsafe(_settle, opened, opening)
        try:
            self._serve_groups(loop, connection)
        finally:
            connection.close()
            with contextlib.suppress(RuntimeError):  # the loop was closed without closing the store
                loop.call_soon_threadsafe(_settle, self._ended, None)

    def _serve_groups(self, loop: asyncio.AbstractEventLoop, connection: sqlite3.Connection) -> None:
        more = True
        while more:
            group, more = self._next_group()
            outcomes: list[Outcome]
            try:
                outcomes = commit_group(connection, group.writes, self._reserve) if group.writes else []
            except Exception as error:  # noqa: BLE001  a bug here must fail the Commits, not hang them
                outcomes = [as_store_error(error)] * len(group.writes)
                loop.call_soon_threadsafe(self._break, as_store_error(error))
            self._wear.look(self._clock.monotonic())
            results = _answer(connection, group.reads)
            loop.call_soon_threadsafe(self._finish, group, outcomes, results)

    def _next_group(self) -> tuple[_Group, bool]:
        """All that waits, joined; False when it is the last."""
        group = self._handover.get()
        if group is None:
            return _Group(), False
        with contextlib.suppress(queue.Empty):
            while True:
                further = self._handover.get_nowait()
                if further is None:
                    return group, False
                group.writes += further.writes
                group.reads += further.reads
                group.joined += further.joined
        return group, True


def _answer(connection: sqlite3.Connection, reads: list[_Read]) -> list[Any]:
    if not reads:
        return []
    connection.execute("PRAGMA query_only=ON")
    try:
        return [_attempt(connection, read) for read in reads]
    finally:
        connection.execute("PRAGMA query_only=OFF")


def _attempt(connection: sqlite3.Connection, read: _Read) -> Any:  # noqa: ANN401  the caller's own type
    try:
        return read.work(connection)
    except sqlite3.Error as error:
        wrapped = StoreError(f"the database could not be read: {error}")
        wrapped.__cause__ = error
        return wrapped
    except Exception as error:  # noqa: BLE001  the caller's own error goes back to the caller
        return error


def _settle(future: asyncio.Future[Any], result: Any) -> None:  # noqa: ANN401  the future's own type
    if future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _wake(future: asyncio.Future[None], _: Exception | None) -> None:
    _settle(future, None)


async def durable(commits: Commit | Sequence[Commit]) -> None:
    """Wait until the Commit, or each of them, is durable. Raises the first error met."""
    for commit in (commits,) if isinstance(commits, Commit) else commits:
        if not commit.resolved:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            commit.when_done(partial(_wake, future))
            await future
        if commit.error is not None:
            raise commit.error
