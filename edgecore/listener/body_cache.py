"""The bodies of a kept session's next rows: what came lately, and what is read ahead from the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from edgecore.base.errors import StoreError
from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import Body, read_body
from edgecore.listener.shelf import Row, Shelf

# What is read ahead of a client that takes its messages: enough for some round trips, little for memory.
READ_AHEAD: Final = 128
READ_AHEAD_BYTES: Final = 256 * 1024


class BodyCache:
    """Bodies by row, for a session that has a connection. `loaded` is called when more have come."""

    __slots__ = ("_bodies", "_epoch", "_loaded", "_loading", "_shelf", "_size", "_wanted")

    def __init__(self, shelf: Shelf, loaded: Callable[[], None]) -> None:
        self._shelf = shelf
        self._loaded = loaded
        self._bodies: dict[int, tuple[Body | None, int]] = {}  # None: the row cannot be read
        self._size = 0
        self._wanted: dict[int, Entry] = {}  # what is being read
        self._loading = False
        self._epoch = 0

    def __contains__(self, row: int) -> bool:
        return row in self._bodies

    def clear(self) -> None:
        """Forget everything, also what is still on its way from the disk."""
        self._bodies.clear()
        self._wanted.clear()
        self._size = 0
        self._loading = False
        self._epoch += 1

    def offer(self, row: int, body: Body, size: int) -> None:
        """Keep a body that has just been written, if there is room."""
        if self._size < READ_AHEAD_BYTES:
            self._put(row, body, size)

    def get(self, row: int) -> Body | None:
        """The body of a row that is here; None when it cannot be read."""
        return self._bodies[row][0]

    def drop(self, row: int) -> None:
        """Forget a body, if it is here or on its way."""
        self._wanted.pop(row, None)
        found = self._bodies.pop(row, None)
        if found is not None:
            self._size -= found[1]

    def load(self, entries: Iterable[Entry]) -> None:
        """Read the bodies of these, as far as they are not here, unless a reading is under way."""
        if self._loading:
            return
        wanted = self._wanted
        total = 0
        for entry in entries:
            if entry.id in self._bodies:
                continue
            total += entry.size
            if wanted and (total > READ_AHEAD_BYTES or len(wanted) >= READ_AHEAD):
                break
            wanted[entry.id] = entry
        if wanted:
            self._loading = True
            self._shelf.fetch(tuple(wanted), partial(self._arrived, self._epoch))

    def _arrived(self, epoch: int, answer: Sequence[Row] | Exception) -> None:
        if epoch != self._epoch:
            return  # for a connection that is gone
        self._loading = False
        wanted, self._wanted = self._wanted, {}  # what was dropped meanwhile is no longer among them
        if isinstance(answer, Exception):
            return  # asked for again when the client is next heard
        found = {row: (record, extra) for row, record, extra in answer}
        for entry in wanted.values():
            self._put(entry.id, _read(entry, found.get(entry.id)), entry.size)
        self._loaded()

    def _put(self, row: int, body: Body | None, size: int) -> None:
        self._bodies[row] = body, size
        self._size += size


def _read(entry: Entry, row: tuple[bytes, bytes | None] | None) -> Body | None:
    """The body, or None for a row that is not there or not readable: it is counted when its turn comes."""
    if row is None:
        return None
    try:
        return read_body(entry.flags, *row)
    except StoreError:
        return None
