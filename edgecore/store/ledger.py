"""What a queue holds, in 12 bytes per record: ids and sizes in order, with holes. Pure.

A dict of a million records would cost over 100 MB on a Pi; two arrays cost 12 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Final

# A hole: a record that was removed from the middle. No record is that big (the queue's bound is lower).
GONE: Final = 0xFFFF_FFFF
# Compact when the holes are most of the arrays; below this it is not worth the copying.
COMPACT_FROM: Final = 1024


class Ledger:
    """Ids in growing order with their sizes. `count` and `bytes` speak of what is still in."""

    __slots__ = ("_head", "_ids", "_sizes", "bytes", "count")

    def __init__(self) -> None:
        self._ids = array("Q")
        self._sizes = array("I")
        self._head = 0
        self.count = 0
        self.bytes = 0

    def add(self, identifier: int, size: int) -> None:
        """Append a record; `identifier` must be above every earlier one."""
        self._ids.append(identifier)
        self._sizes.append(size)
        self.count += 1
        self.bytes += size

    def remove(self, identifier: int) -> bool:
        """Take a record out; False when it is not in."""
        index = bisect_left(self._ids, identifier, self._head)
        if index == len(self._ids) or self._ids[index] != identifier or self._sizes[index] == GONE:
            return False
        self.count -= 1
        self.bytes -= self._sizes[index]
        self._sizes[index] = GONE
        self._forget_holes()
        return True

    def __contains__(self, identifier: int) -> bool:
        index = bisect_left(self._ids, identifier, self._head)
        return index < len(self._ids) and self._ids[index] == identifier and self._sizes[index] != GONE

    def oldest(self) -> int | None:
        """The lowest id that is in."""
        return self._ids[self._head] if self.count else None

    def _forget_holes(self) -> None:
        while self._head < len(self._ids) and self._sizes[self._head] == GONE:
            self._head += 1
        if len(self._ids) >= COMPACT_FROM and self.count < len(self._ids) // 2:
            kept = [i for i in range(self._head, len(self._ids)) if self._sizes[i] != GONE]
            self._ids = array("Q", (self._ids[i] for i in kept))
            self._sizes = array("I", (self._sizes[i] for i in kept))
            self._head = 0
