"""A camera that is drawn: `synthetic:traffic?seed=7&scene=day&fps=10&epoch=1700000000`.

With `epoch` (wall time of frame 0) the world goes on while the core is down: the first frame is the
one due now. From then on every frame comes in order, none is left out. Without it, frame 0 is first.
"""

from __future__ import annotations

import math

from edgecore.base.clock import Clock
from edgecore.inference.frames import Frame
from edgecore.inference.scenes.traffic import TrafficScene
from edgecore.inference.sources.address import Address
from edgecore.inference.sources.drawn import scene_of

LAST_EPOCH = 4102444800.0
"""1 January 2100: a later epoch is a slip of units (milliseconds)."""
SLACK = 0.001
"""Of a period: the last bits of a wall time in seconds must not skip the frame that is due just now."""


class SyntheticSource:
    """Frames of a drawn scene, without end."""

    def __init__(self, address: Address, every: float, clock: Clock) -> None:
        self._scene = TrafficScene(scene_of(address))
        self._clock = clock
        self.period = address.period(every)
        self.first, self.delay = 0, 0.0
        self._epoch: float | None = None
        if "epoch" in address.options:
            self._epoch = address.number("epoch", 0, 0, LAST_EPOCH)
            elapsed = clock.now() - self._epoch
            self.first = max(0, math.ceil(elapsed / self.period - SLACK))
            self.delay = max(0.0, self.first * self.period - elapsed)
        self._next = self.first

    def read(self) -> Frame:
        """The next frame; with an epoch, captured when it was due."""
        number = self._next
        self._next += 1
        due = self._clock.now() if self._epoch is None else self._epoch + number * self.period
        return Frame(number, due, self._scene.frame(number))

    def close(self) -> None:
        """Nothing is held."""
