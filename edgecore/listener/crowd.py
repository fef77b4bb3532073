"""How many are here at a time, by key: an address, a principal. Knows no sockets."""

from __future__ import annotations


class Crowd:
    """Counts by key. Keys without anybody are forgotten, so it is no larger than those who are here."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: str) -> int:
        """How many are here under this key."""
        return self._counts.get(key, 0)

    def enter(self, key: str) -> None:
        """Count one more."""
        self._counts[key] = self._counts.get(key, 0) + 1

    def leave(self, key: str) -> None:
        """Count one less of those who entered."""
        left = self._counts[key] - 1
        if left:
            self._counts[key] = left
        else:
            del self._counts[key]
