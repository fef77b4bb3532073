"""Pictures in a folder as frames: `folder:frames/`, PNG and JPEG files in the order of their names."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgecore.base.clock import Clock
from edgecore.base.errors import FrameSourceError
from edgecore.inference.frames import Frame
from edgecore.inference.sources.address import Address

SUFFIXES = frozenset((".png", ".jpg", ".jpeg"))


class FolderSource:
    """Every picture of a folder once. The list is made when the source is opened."""

    def __init__(self, address: Address, root: Path, every: float, clock: Clock) -> None:
        address.only(("fps",))
        self.period, self.first, self.delay = address.period(every), 0, 0.0
        self._clock = clock
        self._files = _pictures(address.path(root))
        self._next = 0

    def read(self) -> Frame | None:
        """The next picture, None after the last. Raises FrameSourceError for a file that is none."""
        if self._next == len(self._files):
            return None
        path, number = self._files[self._next], self._next
        self._next += 1
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise FrameSourceError(f"{path}: found no readable picture, expected a PNG or JPEG file")
        return Frame(number, self._clock.now(), np.asarray(picture, np.uint8))

    def close(self) -> None:
        """Nothing is held."""


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FrameSourceError(f"{folder}: no such folder; expected one with PNG or JPEG files")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise FrameSourceError(f"{folder}: found no picture, expected PNG or JPEG files")
    return files
