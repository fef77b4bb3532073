"""`$SYS/broker/#`: what the core measures of itself, under the names that Mosquitto gives it.

A figure that is not measured is not published. Existing dashboards then work, and a gap shows as one.
Values are retained in memory, and sent when they change: a subscriber has them all at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from edgecore import __version__
from edgecore.base.clock import Clock
from edgecore.base.identity import CORE
from edgecore.base.interfaces import Bus, Ready, Statuses
from edgecore.base.message import Message

PREFIX: Final = "$SYS/broker/"
MEMORY: Final = Path("/proc/self/status")

# Topic -> where the figure stands in the units' own status.
COUNTS: Final[Mapping[str, tuple[str, ...]]] = {
    "clients/connected": ("listener", "connected"),
    "clients/total": ("listener", "sessions"),
    "clients/maximum": ("listener", "most_connected"),
    "messages/received": ("listener", "traffic", "received"),
    "messages/sent": ("listener", "traffic", "sent"),
    "publish/messages/received": ("listener", "traffic", "publishes_received"),
    "publish/messages/sent": ("listener", "traffic", "publishes_sent"),
    "publish/messages/dropped": ("listener", "dropped"),
    "bytes/received": ("listener", "traffic", "bytes_received"),
    "bytes/sent": ("listener", "traffic", "bytes_sent"),
    "subscriptions/count": ("router", "subscriptions"),
    "retained messages/count": ("router", "retained"),
}
# Totals whose rate is told as a load: name in the tree -> name of the total.
LOADS: Final[Mapping[str, str]] = {
    "load/messages/received": "messages/received",
    "load/messages/sent": "messages/sent",
    "load/publish/received": "publish/messages/received",
    "load/publish/sent": "publish/messages/sent",
    "load/publish/dropped": "publish/messages/dropped",
    "load/bytes/received": "bytes/received",
    "load/bytes/sent": "bytes/sent",
}
MINUTES: Final = (1, 5, 15)


def counts_of(statuses: Mapping[str, Mapping[str, object]]) -> dict[str, int]:
    """The counts that the statuses hold; a unit that is down has none."""
    found: dict[str, int] = {}
    for topic, (unit, *path) in COUNTS.items():
        value: object = statuses.get(unit, {}).get("status")
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, int):
            found[topic] = value
    if "clients/total" in found and "clients/connected" in found:
        found["clients/disconnected"] = max(0, found["clients/total"] - found["clients/connected"])
    return found


class Loads:
    """Moving averages per minute over 1, 5 and 15 minutes, as Mosquitto makes them.

    Each look weighs the rate since the last one: `rate + exp(-seconds / window) * (old - rate)`.
    """

    def __init__(self) -> None:
        self._last: Mapping[str, int] = {}
        self._averages: dict[str, float] = {}

    def look(self, counts: Mapping[str, int], seconds: float) -> dict[str, float]:
        """The averages after `seconds` more. A total that was not known, or began anew, starts from 0."""
        for name, total in LOADS.items():
            if total not in counts:
                continue
            grown = counts[total] - self._last.get(total, 0)
            rate = (grown if grown >= 0 else counts[total]) * 60.0 / seconds
            for minutes in MINUTES:
                topic = f"{name}/{minutes}min"
                weight = math.exp(-seconds / (60.0 * minutes))
                self._averages[topic] = rate + weight * (self._averages.get(topic, 0.0) - rate)
        self._last = dict(counts)
        return dict(self._averages)


def read_heap(status: Path) -> int | None:
    """Bytes of memory that hold no file, from /proc/PID/status (proc(5)); None where that is not told."""
    try:
        lines = status.read_text("ascii", "replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None


class SysTopics:
    """Publishes the figures every `interval` seconds; 0: never."""

    def __init__(
        self,
        interval: float,
        bus: Bus,
        statuses: Statuses,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        memory: Path = MEMORY,
    ) -> None:
        self._interval = interval
        self._bus = bus
        self._statuses = statuses
        self._clock = clock
        self._sleep = sleep
        self._memory = memory
        self._began = self._looked = clock.monotonic()
        self._loads = Loads()
        self._told: dict[str, str] = {}

    async def run(self, ready: Ready) -> None:
        """Tell the figures now and after each interval, until cancelled."""
        ready()
        if not self._interval:
            await asyncio.Event().wait()
        while True:
            heap = await asyncio.to_thread(read_heap, self._memory)
            self._tell(heap)
            await self._sleep(self._interval)

    def status(self) -> dict[str, object]:
        """The interval in seconds and how many topics there are."""
        return {"interval": self._interval, "topics": len(self._told)}

    def _tell(self, heap: int | None) -> None:
        for topic, text in self._figures(heap):
            if self._told.get(topic) != text:
                self._told[topic] = text
                self._bus.publish(Message(PREFIX + topic, text.encode(), 0, CORE, retain=True))

    def _figures(self, heap: int | None) -> Iterator[tuple[str, str]]:
        now = self._clock.monotonic()
        yield "version", f"edgecore version {__version__}"
        yield "uptime", f"{int(now - self._began)} seconds"
        counts = counts_of(self._statuses.statuses())
        for topic, number in counts.items():
            yield topic, str(number)
        if now > self._looked:
            averages = self._loads.look(counts, now - self._looked)
            self._looked = now
            for topic, average in averages.items():
                yield topic, f"{average:.2f}"
        if heap is not None:
            yield "heap/current", str(heap)
