"""What a queue holds, in 14 bytes per record: ids, sizes and tags in order, with holes. Pure.

A dict of a million records would cost over 100 MB on a Pi; three arrays cost 14 MB.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

# A hole: a record that was removed from the middle. No record is that big (the queue's bound is lower).
GONE: Final = 0xFFFF_FFFF
# Compact when what is gone is most of the arrays; below this it is not worth the copying.
COMPACT_FROM: Final = 1024
# A tag fits in two bytes.
TAGS: Final = 0x1_0000


def _nothing(_identifier: int) -> bool:
    return False


class Ledger:
    """Ids in growing order with their sizes and tags. `count` and `bytes` speak of what is still in."""

    __slots__ = ("_head", "_ids", "_sizes", "_tags", "bytes", "count")

    def __init__(self) -> None:
        self._ids = array("Q")
        self._sizes = array("I")
        self._tags = array("H")
        self._head = 0
        self.count = 0
        self.bytes = 0

    def add(self, identifier: int, size: int, tag: int = 0) -> None:
        """Append a record; `identifier` must be above every earlier one."""
        self._ids.append(identifier)
        self._sizes.append(size)
        self._tags.append(tag)
        self.count += 1
        self.bytes += size

    def pop(self, identifier: int) -> int | None:
        """Take a record out and give its tag; None when it is not in."""
        ids, sizes, index = self._ids, self._sizes, self._head
        # What leaves is nearly always among the oldest.
        if index == len(ids) or ids[index] != identifier:
            index = bisect_left(ids, identifier, index)
            if index == len(ids) or ids[index] != identifier or sizes[index] == GONE:
                return None
        self.count -= 1
        self.bytes -= sizes[index]
        sizes[index] = GONE
        tag = self._tags[index]
        if index == self._head:
            self._forget_holes()
        elif len(ids) >= COMPACT_FROM and self.count < (len(ids) - self._head) // 2:
            self._compact()
        return tag

    def remove(self, identifier: int) -> bool:
        """Take a record out; False when it is not in."""
        return self.pop(identifier) is not None

    def __contains__(self, identifier: int) -> bool:
        index = bisect_left(self._ids, identifier, self._head)
        return index < len(self._ids) and self._ids[index] == identifier and self._sizes[index] != GONE

    def oldest(self, kept: Callable[[int], bool] = _nothing) -> int | None:
        """The lowest id that is in and not `kept`."""
        for index in range(self._head, len(self._ids)):
            if self._sizes[index] != GONE and not kept(self._ids[index]):
                return self._ids[index]
        return None

    def _forget_holes(self) -> None:
        ids, sizes, head = self._ids, self._sizes, self._head
        while head < len(ids) and sizes[head] == GONE:
            head += 1
        self._head = head
        if len(ids) >= COMPACT_FROM and head > len(ids) // 2:
            self._ids, self._sizes, self._tags = ids[head:], sizes[head:], self._tags[head:]
            self._head = 0

    def _compact(self) -> None:
        """Close the holes, without a list of them: that would cost 30 bytes for each."""
        ids, sizes, tags = array("Q"), array("I"), array("H")
        for index in range(self._head, len(self._ids)):
            if self._sizes[index] != GONE:
                ids.append(self._ids[index])
                sizes.append(self._sizes[index])
                tags.append(self._tags[index])
        self._ids, self._sizes, self._tags, self._head = ids, sizes, tags, 0
