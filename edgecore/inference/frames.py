"""A frame, and what gives frames. Sources implement this; the pipeline knows nothing else of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""height x width x 3 bytes, blue first, as OpenCV has it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture. `number` counts the source's frames, `captured_at` is wall time in epoch seconds."""

    number: int
    captured_at: float
    picture: Picture


class FrameSource(Protocol):
    """Frames in order. Used from one thread; `read` may block for as long as the device takes."""

    @property
    def first(self) -> int:
        """The number of the first frame that `read` will give."""
        ...

    @property
    def period(self) -> float:
        """Seconds from one frame to the next."""
        ...

    @property
    def delay(self) -> float:
        """Seconds from opening until the first frame is due."""
        ...

    def read(self) -> Frame | None:
        """The next frame, None after the last. Raises FrameSourceError when it cannot be read."""
        ...

    def close(self) -> None:
        """Give back what the source holds. Nothing is read afterwards."""
        ...
