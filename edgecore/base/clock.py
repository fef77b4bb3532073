"""Time as an argument. The only file of base that reads a clock.

Wall time is for documents and for people, monotonic time for timers: a Pi has no clock of its own
and its wall time jumps.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What rooms are given instead of the `time` module."""

    def now(self) -> float:
        """Wall time in epoch seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Wall time in epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told, for tests and virtual time."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Wall time in epoch seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self._now += seconds
        self._monotonic += seconds

    def set_wall(self, now: float) -> None:
        """Make the wall clock jump, as NTP does after boot."""
        self._now = now
