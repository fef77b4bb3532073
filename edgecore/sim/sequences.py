"""Sets of sequence numbers that stay small: who has seen which numbers of a source that counts from 1.

Pure. A junction that runs for days acknowledges millions of messages; what is remembered is one
number and the gaps above it.
"""

from __future__ import annotations

from collections.abc import Iterator


class SequenceSet:
    """Numbers 1, 2, 3 ...: all up to `complete`, and the few above it in `beyond`."""

    __slots__ = ("beyond", "complete")

    def __init__(self) -> None:
        self.complete = 0
        self.beyond: set[int] = set()

    def add(self, number: int) -> bool:
        """Remember a number; False when it was there already."""
        if number in self:
            return False
        self.beyond.add(number)
        while self.complete + 1 in self.beyond:
            self.complete += 1
            self.beyond.remove(self.complete)
        return True

    def missing_from(self, other: SequenceSet) -> Iterator[int]:
        """The numbers of this set that `other` lacks, in order."""
        for number in range(other.complete + 1, self.complete + 1):
            if number not in other:
                yield number
        for number in sorted(self.beyond):
            if number not in other:
                yield number

    def __contains__(self, number: int) -> bool:
        return 1 <= number <= self.complete or number in self.beyond

    def __len__(self) -> int:
        return self.complete + len(self.beyond)
