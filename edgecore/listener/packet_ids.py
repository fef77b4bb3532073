"""Packet identifiers for messages that may wait for weeks before they are sent (5, 2.2.1). Pure.

Given out when a message is stored, so that the row holds it and sending costs no further write. They go
round: with at most some ten thousand messages outstanding, the next one is nearly always free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

MAX_PACKET_ID: Final = 0xFFFF
# Gaps between taken identifiers that a run is tried in before its messages go one by one.
_GAPS: Final = 4


class PacketIds:
    """`taken` gives the identifiers of all that is outstanding. Ask for one while fewer than 65,535 are."""

    __slots__ = ("_free", "_last", "_taken")

    def __init__(self, taken: Callable[[], Iterable[int]]) -> None:
        self._taken = taken
        self._last = 0
        self._free = 0  # how many after the last one are known to be free

    def start_after(self, last: int) -> None:
        """Go on behind the identifier that was given out last by an earlier run."""
        self._last, self._free = last, 0

    def next(self) -> int:
        """An identifier that nothing outstanding has."""
        if not self._free:
            self._look_ahead()
        self._free -= 1
        self._last = self._last % MAX_PACKET_ID + 1
        return self._last

    def next_run(self, number: int) -> int:
        """The first of `number` identifiers in a row, or 0 when no such row is near."""
        for _ in range(_GAPS):
            if self._last + number > MAX_PACKET_ID:
                self._last, self._free = 0, 0  # no run goes round
            if not self._free:
                self._look_ahead()
            if self._free >= number and self._last + number <= MAX_PACKET_ID:
                first = self._last + 1
                self._last += number
                self._free -= number
                return first
            self._last, self._free = self._last + self._free, 0
        return 0

    def _look_ahead(self) -> None:
        """Step over the taken ones that follow, and count the free ones from there on."""
        taken = set(self._taken())
        for _ in range(MAX_PACKET_ID):
            if self._last % MAX_PACKET_ID + 1 not in taken:
                break
            self._last = self._last % MAX_PACKET_ID + 1
        else:
            raise AssertionError("every packet identifier is taken: the bound of the session is too high")
        distances = ((each - self._last - 1) % MAX_PACKET_ID for each in taken)
        self._free = min(distances, default=MAX_PACKET_ID)
