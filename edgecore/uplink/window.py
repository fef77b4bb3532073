"""Which records of the outbox are on their way: the policy of the drain. Pure.

Records come in by rising id and are sent in that order, so that first transmissions keep their order
per topic. What failed is sent again, oldest first and before anything new. A record leaves only when
the cloud acknowledged it or when it is set aside.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from typing import Final

from edgecore.base.backoff import Backoff
from edgecore.base.message import Message

# A first id can be 0.
BEFORE_ALL: Final = -1


class Entry:
    """One record. `due`: monotonic seconds before which it is not sent again."""

    __slots__ = ("appended_at", "attempts", "due", "id", "message", "record")

    def __init__(self, identifier: int, record: bytes, message: Message, appended_at: float) -> None:
        self.id = identifier
        self.record = record
        self.message = message
        self.appended_at = appended_at
        self.attempts = 0
        self.due = 0.0

    def __lt__(self, other: Entry) -> bool:
        return self.id < other.id


def retry_delay(backoff: Backoff, attempts: int) -> float:
    """Seconds to wait after `attempts` tries; the records of one core need no jitter among them."""
    doublings = min(attempts - 1, 32)
    return min(backoff.initial * backoff.factor**doublings, backoff.maximum)


class Window:
    """The records between the queue and the cloud: fetched, in flight, or back after a failure."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._fetched: deque[Entry] = deque()
        self._in_flight: dict[int, Entry] = {}
        self._returned: list[Entry] = []
        self._last = BEFORE_ALL

    @property
    def last(self) -> int:
        """The highest id that was fetched: the queue is read on from here."""
        return self._last

    @property
    def in_flight(self) -> int:
        """Records sent and not settled."""
        return len(self._in_flight)

    @property
    def hungry(self) -> bool:
        """Whether more records should be fetched."""
        return len(self._fetched) < self.limit

    def oldest(self) -> float | None:
        """When the oldest record of the window was appended, in epoch seconds."""
        heads = [*self._in_flight.values(), *self._returned, *([self._fetched[0]] if self._fetched else [])]
        return min(heads).appended_at if heads else None

    def add(self, entries: Iterable[Entry]) -> None:
        """Take records that were read from the queue after `last`."""
        for entry in entries:
            self._fetched.append(entry)
            self._last = entry.id

    def skip(self, identifier: int) -> None:
        """Read past a record that is no entry."""
        self._last = max(self._last, identifier)

    def next(self, now: float) -> Entry | None:
        """The record to send now, which is in flight from here on; None when none may be sent."""
        if len(self._in_flight) >= self.limit:
            return None
        if self._due(now):
            entry = heapq.heappop(self._returned)
        # What waits for its next try takes room too, so that the window stays bounded.
        elif self._fetched and len(self._in_flight) + len(self._returned) < self.limit:
            entry = self._fetched.popleft()
        else:
            return None
        entry.attempts += 1
        self._in_flight[entry.id] = entry
        return entry

    def next_due(self) -> float | None:
        """When the oldest failed record may be sent again, or None when nothing failed."""
        return self._returned[0].due if self._returned else None

    def settled(self, identifier: int) -> Entry | None:
        """The record is acknowledged or given up; None when it is not in flight."""
        return self._in_flight.pop(identifier, None)

    def failed(self, identifier: int, due: float) -> None:
        """The record was not acknowledged: send it again at `due`."""
        entry = self._in_flight.pop(identifier, None)
        if entry is not None:
            entry.due = due
            heapq.heappush(self._returned, entry)

    def disconnected(self) -> None:
        """Forget what was only read: while we wait, the queue may drop its oldest."""
        if self._fetched:
            self._last = self._fetched[0].id - 1
            self._fetched.clear()

    def abandoned(self) -> None:
        """The client is gone and will tell nothing more: all that was in flight goes out again."""
        for identifier in tuple(self._in_flight):
            self.failed(identifier, 0.0)

    def _due(self, now: float) -> bool:
        return bool(self._returned) and self._returned[0].due <= now
