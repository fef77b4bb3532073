"""Delays between tries: exponential, bounded, with full jitter. Pure: randomness comes in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounds of the delays, in seconds. `floor` is the least share of a delay that jitter keeps."""

    initial: float = 0.5
    maximum: float = 60.0
    factor: float = 2.0
    floor: float = 0.5

    def delays(self, random: Callable[[], float]) -> Iterator[float]:
        """Endless delays. `random` gives a number in [0, 1); jitter keeps a fleet from marching in step."""
        limit = self.initial
        while True:
            yield limit * (self.floor + (1.0 - self.floor) * random())
            limit = min(limit * self.factor, self.maximum)
