"""Rows of a session that wait on the disk, in order: what must be known of each, in 16 bytes. Pure.

An absent client may have ten thousand of them, and a site a thousand such clients.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from edgecore.listener.bodies import count_of

# Gaps at the front are closed once they are this many and the larger part; below it copying costs more.
COMPACT_FROM: Final = 1024


class Entry(NamedTuple):
    """A row: its id, its bytes, its (first) packet identifier, and its flags (bodies.py)."""

    id: int
    size: int
    packet_id: int
    flags: int


class Backlog:
    """A queue of entries. `bytes`: the sizes of all; `messages`: how many messages they hold."""

    __slots__ = ("_flags", "_head", "_ids", "_packet_ids", "_sizes", "bytes", "messages")

    def __init__(self) -> None:
        self._ids = array("Q")
        self._sizes = array("I")
        self._packet_ids = array("H")
        self._flags = array("H")
        self._head = 0
        self.bytes = 0
        self.messages = 0

    def __len__(self) -> int:
        return len(self._ids) - self._head

    def __iter__(self) -> Iterator[Entry]:
        return map(self._at, range(self._head, len(self._ids)))

    def append(self, entry: Entry) -> None:
        """Add one at the end."""
        self._ids.append(entry.id)
        self._sizes.append(entry.size)
        self._packet_ids.append(entry.packet_id)
        self._flags.append(entry.flags)
        self.bytes += entry.size
        self.messages += count_of(entry.flags)

    def first(self) -> Entry:
        """The one that has waited longest."""
        return self._at(self._head)

    def pop(self, index: int = 0) -> Entry:
        """Take out the one at `index`, counted from the front."""
        entry = self._at(self._head + index)
        self.bytes -= entry.size
        self.messages -= count_of(entry.flags)
        if index:
            for column in self._columns():
                del column[self._head + index]
            return entry
        self._head += 1
        if self._head >= COMPACT_FROM and self._head * 2 >= len(self._ids):
            for column in self._columns():
                del column[: self._head]
            self._head = 0
        return entry

    def ids(self, limit: int) -> list[tuple[int, int]]:
        """(id, size) of the first `limit` entries."""
        return [(entry.id, entry.size) for entry in islice(self, limit)]

    def remove(self, unwanted: Callable[[int], bool]) -> list[Entry]:
        """Take out all whose id is unwanted. Copies everything: for what seldom happens."""
        entries = list(self)
        fresh = Backlog()
        gone = []
        for entry in entries:
            if unwanted(entry.id):
                gone.append(entry)
            else:
                fresh.append(entry)
        self._ids, self._sizes = fresh._ids, fresh._sizes
        self._packet_ids, self._flags = fresh._packet_ids, fresh._flags
        self._head, self.bytes, self.messages = 0, fresh.bytes, fresh.messages
        return gone

    def _at(self, index: int) -> Entry:
        return Entry(self._ids[index], self._sizes[index], self._packet_ids[index], self._flags[index])

    def _columns(self) -> tuple[array[int], ...]:
        return self._ids, self._sizes, self._packet_ids, self._flags
