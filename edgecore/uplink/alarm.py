"""When the outbox says that it drops messages, and when that is over. Pure: counts and times come in.

It is told when it begins, not for each message, and is over only when nothing was dropped for a while and
there is room again: an outbox that stands at its bound is one alarm and not one a minute. From one word to
the next there is a pause in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

TOPIC: Final = "edgecore/alarm/outbox"
# Without a drop for so long, and so much of the bound free, it is over.
QUIET_SECONDS: Final = 60.0
ROOM: Final = 0.1
# Between two messages.
PAUSE_SECONDS: Final = 60.0


class Alarm:
    """Tells what is to be published. `losses`, everywhere: messages dropped since the start, by reason."""

    def __init__(self) -> None:
        self.since: float | None = None  # wall time at which it began, while it is on
        self._before: dict[str, int] = {}  # losses when it began
        self.seen = 0  # losses at the last look
        self._untold = False
        self._lost_at = 0.0
        self._told_at: float | None = None

    def look(
        self, losses: Mapping[str, int], fill: float, now: float, wall: float
    ) -> dict[str, object] | None:
        """What is to be published now, or None. `fill`: how much of the bound is in use, 0 to 1."""
        total = sum(losses.values())
        if total != self.seen:
            self.seen, self._lost_at, self._untold = total, now, True
        if self._told_at is not None and now < self._told_at + PAUSE_SECONDS:
            return None
        if self.since is None and self._untold:
            self.since = wall
            return self._say("dropping", losses, now, wall)
        if self.since is not None and now >= self._lost_at + QUIET_SECONDS and fill <= 1.0 - ROOM:
            said = self._say("over", losses, now, wall)
            self.since, self._before = None, dict(losses)
            return said
        return None

    def next_due(self, now: float) -> float | None:
        """When to look again even if nothing is dropped, or None while nothing is the matter."""
        told = self._told_at
        if self.since is None:
            return None if told is None or now >= told + PAUSE_SECONDS else told + PAUSE_SECONDS
        return max(now + 1.0, self._lost_at + QUIET_SECONDS)

    def _say(self, state: str, losses: Mapping[str, int], now: float, wall: float) -> dict[str, object]:
        self._told_at, self._untold = now, False
        dropped = {
            reason: number - self._before.get(reason, 0)
            for reason, number in losses.items()
            if number > self._before.get(reason, 0)
        }
        return {
            "alarm": "outbox",
            "state": state,
            "since": self.since,
            "timestamp": wall,
            "dropped": dropped,
            "total": sum(dropped.values()),
        }
