"""How old a record is, on a machine whose clock jumps. Pure.

A Pi without a clock of its own stamps records with a time that is months behind until it hears from a time
server. Then every record of this run would look too old, or expired, at once. The steps of the wall clock
against the monotonic one are noted, and a record's age is counted without those that came after it.
Records of an earlier run are taken by their stamp: how long the machine was off is not known here.
"""

from __future__ import annotations

from typing import Final

# A clock that is slewed by NTP drifts by at most 500 ppm: that is seen as a step now and then, and is one.
STEP_SECONDS: Final = 2.0
# A clock that steps more often than this is off by itself; then old steps are joined.
REMEMBERED: Final = 32


class Steps:
    """The steps of the wall clock since this was made, and the records that they came after."""

    def __init__(self, now: float, monotonic: float) -> None:
        self._offset = now - monotonic
        self._first: int | None = None
        self._last = 0
        self._steps: list[tuple[int, float]] = []

    def look(self, now: float, monotonic: float) -> None:
        """Note a step, if there was one since the last look."""
        step = now - monotonic - self._offset
        if abs(step) < STEP_SECONDS:
            return
        self._offset += step
        if self._first is not None:
            self._steps.append((self._last, step))
            if len(self._steps) > REMEMBERED:
                (_, earlier), (last, later) = self._steps[:2]
                self._steps[:2] = [(last, earlier + later)]

    def appended(self, identifier: int) -> None:
        """A record was appended, after the last look."""
        if self._first is None:
            self._first = identifier
        self._last = identifier

    def shift(self, identifier: int) -> float:
        """Seconds by which the wall clock has stepped since the record was appended."""
        if not self._steps or self._first is None or identifier < self._first:
            return 0.0
        return sum(step for last, step in self._steps if identifier <= last)
