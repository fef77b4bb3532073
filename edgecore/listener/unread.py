"""The memory that goes to clients which read or acknowledge slowly, and who is cut off when it is too much.

Each session has bounds of its own; these hold for all together, because the number of sessions that stop
reading is bounded by nothing but `max_connections`. Pure. Overflow rule: who takes most is disconnected. One
who was slow for a moment has little, and those who have stopped reading make room for it.
"""

from __future__ import annotations

from typing import Final, Protocol

# What an entry of a list and the object in it take beside the bytes: a small message takes more than it has.
ENTRY_OVERHEAD: Final = 64
# For whoever sets nothing: an eighth of the memory of the smallest Pi.
DEFAULT_LIMIT: Final = 64 * 1024 * 1024


class Slow(Protocol):
    """A session for which something waits."""

    def too_slow(self) -> None:
        """End: others need the memory."""
        ...


class Unread:
    """`bytes`: what waits for all of them; `limit`: the most."""

    __slots__ = ("_sizes", "bytes", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._sizes: dict[Slow, int] = {}
        self.limit = limit
        self.bytes = 0

    def note(self, session: Slow, size: int) -> None:
        """Remember what waits for a session now; cut off whoever has most while it is too much for all."""
        self.bytes += size - self._sizes.get(session, 0)
        self._sizes[session] = size
        while self.bytes > self.limit:
            fullest = max(self._sizes, key=self._sizes.__getitem__)
            self.forget(fullest)
            fullest.too_slow()

    def forget(self, session: Slow) -> None:
        """Note that nothing waits for it any more."""
        self.bytes -= self._sizes.pop(session, 0)
