"""Who has failed how often lately. Pure: time comes in as an argument.

A bucket per key: each failure fills it by one, time empties it at a steady rate, and while it is full
there is no further try.
"""

from __future__ import annotations

from typing import Final

# Keys that are remembered. A peer can make up names and has many addresses of IPv6; the least recent
# one is forgotten, at about 200 bytes for each.
MAX_KEYS: Final = 4096


class Failures:
    """Buckets of `most` failures; one more is allowed each `every` seconds."""

    __slots__ = ("_buckets", "_every", "_most")

    def __init__(self, most: int, every: float) -> None:
        self._most = most
        self._every = every
        self._buckets: dict[str, tuple[float, float]] = {}  # how full, and when it was

    def __len__(self) -> int:
        return len(self._buckets)

    def allows(self, key: str, now: float) -> bool:
        """Whether there may be one more try. `now`: monotonic seconds."""
        return self._fullness(key, now) <= self._most - 1

    def note(self, key: str, now: float) -> None:
        """Count a failure."""
        fullness = self._fullness(key, now) + 1
        self._buckets.pop(key, None)  # so that the order is that of the last failure
        while len(self._buckets) >= MAX_KEYS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (fullness, now)

    def _fullness(self, key: str, now: float) -> float:
        fullness, at = self._buckets.get(key, (0.0, now))
        return max(0.0, fullness - (now - at) / self._every)
