"""What waits for one function, in memory: four lanes that take turns, each bounded. Pure.

direct: invocations that somebody waits for. retry: events that failed and wait for their next attempt.
stored: the head of the durable queue, read ahead. memory: events of QoS 0, which drop the oldest.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import Final

from edgecore.base.errors import RefusedError
from edgecore.lambdas.events import Event
from edgecore.lambdas.settings import LambdasSettings

# Why events of QoS 0 were dropped, in status.
OVERFLOW: Final = "overflow"
LANES: Final = ("direct", "retry", "stored", "memory")


class Backlog:
    """The lanes of one function. `dropped` counts, by reason, what was not kept."""

    def __init__(self, settings: LambdasSettings) -> None:
        self._settings = settings
        self._direct: deque[Event] = deque()
        self._retry: list[tuple[float, int, Event]] = []
        self._stored: deque[Event] = deque()
        self._memory: deque[Event] = deque()
        self._memory_bytes = 0
        self._order = 0
        self._turn = 0
        self.dropped: dict[str, int] = {}

    def invoke(self, event: Event) -> None:
        """Add a direct invocation. Raises RefusedError when too many wait."""
        if len(self._direct) >= self._settings.invoke_queue:
            raise RefusedError(f"{len(self._direct)} direct invocations wait already: try again later")
        self._direct.append(event)

    def offer(self, event: Event) -> None:
        """Add an event of QoS 0; the oldest make room for it."""
        self._memory.append(event)
        self._memory_bytes += event.size
        while (
            len(self._memory) > self._settings.memory_events
            or self._memory_bytes > self._settings.memory_bytes
        ):
            self._take_memory()
            self.dropped[OVERFLOW] = self.dropped.get(OVERFLOW, 0) + 1

    def store(self, event: Event) -> None:
        """Add what was read from the durable queue."""
        self._stored.append(event)

    def retry(self, event: Event, due: float) -> None:
        """Have a failed event wait until `due`."""
        self._order += 1
        heapq.heappush(self._retry, (due, self._order, event))

    @property
    def wants_stored(self) -> bool:
        """Whether the durable queue should be read on."""
        return not self._stored

    @property
    def stored_count(self) -> int:
        """Durable events that were read ahead."""
        return len(self._stored)

    @property
    def next_due(self) -> float | None:
        """When the next retry is due."""
        return self._retry[0][0] if self._retry else None

    @property
    def memory_count(self) -> int:
        """Events of QoS 0 that wait."""
        return len(self._memory)

    @property
    def retry_count(self) -> int:
        """Failed events that wait for their next attempt."""
        return len(self._retry)

    def has_work(self, now: float) -> bool:
        """Whether `take` would give an event."""
        return any(self._ready(lane, now) for lane in LANES)

    def take(self, now: float) -> Event | None:
        """The next event. Lanes take turns, so that none starves behind a busy one."""
        for step in range(len(LANES)):
            index = (self._turn + step) % len(LANES)
            if self._ready(LANES[index], now):
                self._turn = index + 1
                return self._pop(LANES[index])
        return None

    def outdated(self, now: float) -> list[Event]:
        """Take out the durable events that waited longer than they may."""
        oldest = now - self._settings.max_event_age
        found = [event for event in self._stored if event.arrived < oldest]
        self._stored = deque(event for event in self._stored if event.arrived >= oldest)
        found += [event for _, _, event in self._retry if event.arrived < oldest]
        self._retry = [entry for entry in self._retry if entry[2].arrived >= oldest]
        heapq.heapify(self._retry)
        return found

    def clear_direct(self) -> list[Event]:
        """Take out all direct invocations."""
        waiting = list(self._direct)
        self._direct.clear()
        return waiting

    def _ready(self, lane: str, now: float) -> bool:
        if lane == "direct":
            return bool(self._direct)
        if lane == "retry":
            return bool(self._retry) and self._retry[0][0] <= now
        if lane == "stored":
            return bool(self._stored) and len(self._retry) < self._settings.retry_slots
        return bool(self._memory)

    def _pop(self, lane: str) -> Event:
        if lane == "direct":
            return self._direct.popleft()
        if lane == "retry":
            return heapq.heappop(self._retry)[2]
        if lane == "stored":
            return self._stored.popleft()
        return self._take_memory()

    def _take_memory(self) -> Event:
        event = self._memory.popleft()
        self._memory_bytes -= event.size
        return event
