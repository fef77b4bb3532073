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
from edgecore.listener.stored_outbound import OVERFLOW, TOO_LARGE

PREFIX: Final = "$SYS/broker/"
MEMORY: Final = Path("/proc/self/status")

# Where a number, or a table of numbers, stands in the units' own status: unit, key, key ...
Place = tuple[str, ...]

# Topic -> the places whose numbers it adds up. As in Mosquitto a client is one that is connected or whose
# session is kept, and the store holds what is retained and what waits for kept sessions. Here it does so once
# for each session, and its bytes are not those of payloads alone.
COUNTS: Final[Mapping[str, tuple[Place, ...]]] = {
    "clients/connected": (("listener", "connected"),),
    "clients/disconnected": (("listener", "kept", "away"),),
    "clients/total": (("listener", "connected"), ("listener", "kept", "away")),
    "clients/maximum": (("listener", "most_connected"),),
    "clients/expired": (("listener", "kept", "expired"),),
    "connections/socket/count": (("listener", "traffic", "sockets"),),
    "messages/received": (("listener", "traffic", "received"),),
    "messages/sent": (("listener", "traffic", "sent"),),
    "messages/inflight": (("listener", "in_flight"),),
    "publish/messages/received": (("listener", "traffic", "publishes_received"),),
    "publish/messages/sent": (("listener", "traffic", "publishes_sent"),),
    "bytes/received": (("listener", "traffic", "bytes_received"),),
    "bytes/sent": (("listener", "traffic", "bytes_sent"),),
    "store/messages/count": (
        ("router", "retained"),
        ("listener", "kept", "queued"),
        ("listener", "kept", "in_flight"),
    ),
    "store/messages/bytes": (("router", "retained_bytes"), ("listener", "kept", "bytes")),
    "shared_subscriptions/count": (("router", "shared_subscriptions"),),
    "retained messages/count": (("router", "retained"),),
}
# What Mosquitto calls deprecated and goes on publishing: dashboards read it.
OLDER_NAMES: Final[Mapping[str, str]] = {
    "clients/active": "clients/connected",
    "clients/inactive": "clients/disconnected",
    "messages/stored": "store/messages/count",
}
# Losses of a kept session that a bound is the cause of: what Mosquitto means by "dropped".
BOUNDS: Final = (OVERFLOW, TOO_LARGE)
# Totals whose rate is told as a load: name in the tree -> name of the total.
CONNECTS: Final = "connects"  # Mosquitto has no topic for this total
LOADS: Final[Mapping[str, str]] = {
    "load/messages/received": "messages/received",
    "load/messages/sent": "messages/sent",
    "load/publish/received": "publish/messages/received",
    "load/publish/sent": "publish/messages/sent",
    "load/publish/dropped": "publish/messages/dropped",
    "load/bytes/received": "bytes/received",
    "load/bytes/sent": "bytes/sent",
    "load/sockets": "connections/socket/count",
    "load/connections": CONNECTS,
}
MINUTES: Final = (1, 5, 15)

Units = Mapping[str, Mapping[str, object]]


def counts_of(statuses: Units) -> dict[str, int]:
    """The counts that the statuses hold; a unit that is down has none."""
    found: dict[str, int] = {}
    for topic, places in COUNTS.items():
        numbers = [number_at(statuses, place) for place in places]
        if None not in numbers:
            found[topic] = sum(number for number in numbers if number is not None)
    for older, topic in OLDER_NAMES.items():
        if topic in found:
            found[older] = found[topic]
    asked, dropped = number_at(statuses, ("router", "subscriptions")), _dropped(statuses)
    if asked is not None and "shared_subscriptions/count" in found:  # Mosquitto counts the two apart
        found["subscriptions/count"] = asked - found["shared_subscriptions/count"]
    if dropped is not None:
        found["publish/messages/dropped"] = dropped
    return found


def number_at(statuses: Units, place: Place) -> int | None:
    """The number that stands there."""
    value = _at(statuses, place)
    return value if isinstance(value, int) else None


def _dropped(statuses: Units) -> int | None:
    live, kept = number_at(statuses, ("listener", "dropped")), _at(statuses, ("listener", "kept", "dropped"))
    if live is None or not isinstance(kept, Mapping):
        return None
    return live + sum(int(kept.get(reason, 0)) for reason in BOUNDS)


def _at(statuses: Units, place: Place) -> object:
    unit, *path = place
    value: object = statuses.get(unit, {}).get("status")
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


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
        self._most = 0

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
        statuses = self._statuses.statuses()
        counts = counts_of(statuses)
        for topic, number in counts.items():
            yield topic, str(number)
        if now > self._looked:
            connects = number_at(statuses, ("listener", "traffic", "connects"))
            totals = counts if connects is None else {**counts, CONNECTS: connects}
            averages = self._loads.look(totals, now - self._looked)
            self._looked = now
            for topic, average in averages.items():
                yield topic, f"{average:.2f}"
        if heap is not None:
            self._most = max(self._most, heap)
            yield "heap/current", str(heap)
            yield "heap/maximum", str(self._most)  # of those that were looked at
