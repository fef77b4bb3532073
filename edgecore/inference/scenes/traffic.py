"""A traffic scene: a picture and the truth about it, for any frame number, in any order.

Pure: a scene is its parameters, and a frame a function of the scene and its number. Needs the optional
extra [vision] (cv2); the truth alone does not (`truth.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgecore.inference.geometry import Point
from edgecore.inference.scenes.paint import Painter
from edgecore.inference.scenes.parameters import SceneParameters
from edgecore.inference.scenes.schedule import Schedule
from edgecore.inference.scenes.truth import TrueCrossing, TrueObject, crossings, objects


class TrafficScene:
    """A scene ready to be looked at. Frames cost about a millisecond each, wherever they are in time."""

    def __init__(self, parameters: SceneParameters) -> None:
        self._schedule = Schedule(parameters)
        self._painter = Painter(parameters)

    def frame(self, number: int) -> NDArray[np.uint8]:
        """The picture of that frame: height x width x 3 bytes, blue first."""
        return self._painter.paint(number, self._schedule.alive(number))

    def truth(self, number: int) -> list[TrueObject]:
        """The objects of that frame."""
        return objects(self._schedule, number)

    def crossings(
        self, lines: Mapping[str, tuple[Point, Point]], first: int, last: int
    ) -> list[TrueCrossing]:
        """Every crossing of these lines after frame `first`, up to and including frame `last`."""
        return crossings(self._schedule, lines, first, last)
