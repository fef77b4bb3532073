"""Blacks out parts of a frame before anything else sees it.

Pure arrays. If a mask cannot be applied, no frame passes: every doubt is an error. A pixel is masked when
its middle or one of its corners lies in a polygon, so that a mask covers a little more and never less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecore.base.errors import FrameSourceError
from edgecore.inference.frames import Picture

Polygon = Sequence[tuple[float, float]]


class PrivacyMask:
    """The polygons of one camera, in fractions of the frame."""

    def __init__(self, polygons: Sequence[Polygon]) -> None:
        """Raises FrameSourceError for a polygon that cannot mask: fewer than 3 points, or not numbers."""
        for polygon in polygons:
            if len(polygon) < 3 or not np.isfinite(np.array(polygon, np.float64)).all():
                raise FrameSourceError(
                    f"privacy mask {list(polygon)}: expected at least 3 points in fractions of the frame; "
                    "no frame passes"
                )
        self._polygons = tuple(tuple(polygon) for polygon in polygons)
        self._masks: tuple[tuple[slice, slice, NDArray[np.bool_]], ...] = ()
        self._size = (0, 0)

    def apply(self, picture: Picture) -> Picture:
        """The picture with the polygons black; changed in place where it can be.

        Raises FrameSourceError when the picture has another form than height x width x 3 bytes, or when a
        polygon covers nothing of it.
        """
        if not self._polygons:
            return picture
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise FrameSourceError(
                f"privacy mask: found a frame of shape {list(picture.shape)} {picture.dtype}, "
                "expected height x width x 3 bytes; no frame passes"
            )
        if self._size != picture.shape[:2]:
            self._prepare(picture.shape[0], picture.shape[1])
        masked = picture if picture.flags.writeable else picture.copy()
        for rows, columns, inside in self._masks:
            masked[rows, columns][inside] = 0
        return masked

    def _prepare(self, height: int, width: int) -> None:
        masks = []
        for polygon in self._polygons:
            inside = covered(polygon, height, width)
            if not inside.any():
                raise FrameSourceError(
                    f"privacy mask {list(polygon)}: covers nothing of the frame; no frame passes"
                )
            rows, columns = _extent(inside), _extent(inside.T)
            masks.append((rows, columns, inside[rows, columns]))
        self._masks, self._size = tuple(masks), (height, width)


def covered(polygon: Polygon, height: int, width: int) -> NDArray[np.bool_]:
    """Which pixels of a frame a polygon touches with their middle or a corner."""
    middles = _inside(polygon, (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    corners = _inside(polygon, np.arange(width + 1) / width, np.arange(height + 1) / height)
    touched = corners[1:, 1:] | corners[1:, :-1] | corners[:-1, 1:] | corners[:-1, :-1]
    return middles | touched


def _inside(polygon: Polygon, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The even-odd rule for every place of a grid: count the edges to the right of it."""
    inside = np.zeros((len(y), len(x)), np.bool_)
    for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
        if y1 == y2:
            continue
        level = (y1 > y) != (y2 > y)
        edge = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
        inside ^= level[:, None] & (x[None, :] < edge[:, None])
    return inside


def _extent(inside: NDArray[np.bool_]) -> slice:
    """From the first to the last row in which anything is set."""
    rows = np.nonzero(inside)[0]
    return slice(int(rows.min()), int(rows.max()) + 1)
