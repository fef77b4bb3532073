"""A video file as frames: `file:clip.mp4`, whatever OpenCV can read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgecore.base.clock import Clock
from edgecore.base.errors import FrameSourceError
from edgecore.inference.frames import Frame
from edgecore.inference.sources.address import Address


class FileSource:
    """Every frame of a video once, at the camera's pace and not the file's."""

    def __init__(self, address: Address, root: Path, every: float, clock: Clock) -> None:
        address.only(("fps",))
        self.period, self.first, self.delay = address.period(every), 0, 0.0
        self._clock = clock
        self._path = address.path(root)
        if not self._path.is_file():
            raise FrameSourceError(f"{self._path}: no such file; expected a video")
        self._video = cv2.VideoCapture(str(self._path))
        if not self._video.isOpened():
            raise FrameSourceError(f"{self._path}: OpenCV cannot read it; expected a video")
        self._next = 0

    def read(self) -> Frame | None:
        """The next frame, None after the last. Raises FrameSourceError when there is not even one."""
        found, picture = self._video.read()
        if not found:
            if self._next == 0:
                raise FrameSourceError(f"{self._path}: found no frame, expected a video")
            return None
        number = self._next
        self._next += 1
        return Frame(number, self._clock.now(), np.asarray(picture, np.uint8))

    def close(self) -> None:
        """Close the file."""
        self._video.release()
