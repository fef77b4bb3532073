"""From a frame to a model's input, and from the input's coordinates back to the frame's.

Pure arrays; no OpenCV, so that models of any size run where only numpy is installed. A frame that already
is what the model wants is passed on without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecore.inference.card import InputSpec
from edgecore.inference.frames import Picture
from edgecore.inference.geometry import Box, clipped

PADDING = 114
"""The grey that letterboxed models were trained with, by convention of the YOLO family."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the frame lies in the input, in fractions of the input: (0, 0, 1, 1) when it fills it."""

    left: float
    top: float
    width: float
    height: float

    def to_frame(self, box: Box) -> Box:
        """A box in fractions of the input, as one in fractions of the frame, cut at its edges."""
        return clipped(
            Box(
                (box.left - self.left) / self.width,
                (box.top - self.top) / self.height,
                (box.right - self.left) / self.width,
                (box.bottom - self.top) / self.height,
            )
        )


WHOLE = Fit(0.0, 0.0, 1.0, 1.0)


def prepare(picture: Picture, spec: InputSpec) -> tuple[NDArray[Any], Fit]:
    """The input tensor for a picture, and how it fits. The tensor may share the picture's memory."""
    fitted, fit = letterbox(picture, spec) if spec.resize == "letterbox" else (resized(picture, spec), WHOLE)
    if spec.color == "RGB":
        fitted = fitted[:, :, ::-1]
    tensor: NDArray[Any] = fitted if spec.layout == "NHWC" else fitted.transpose(2, 0, 1)
    if spec.dtype == "float32":
        tensor = (tensor.astype(np.float32) - np.float32(spec.mean)) * np.float32(spec.scale)
    return np.ascontiguousarray(tensor[None]), fit


def letterbox(picture: Picture, spec: InputSpec) -> tuple[Picture, Fit]:
    """The picture as large as it fits without distortion, in the middle, on grey."""
    height, width = picture.shape[:2]
    ratio = min(spec.height / height, spec.width / width)
    rows, columns = max(1, round(height * ratio)), max(1, round(width * ratio))
    top, left = (spec.height - rows) // 2, (spec.width - columns) // 2
    canvas = np.full((spec.height, spec.width, 3), PADDING, np.uint8)
    canvas[top : top + rows, left : left + columns] = resize(picture, rows, columns)
    fit = Fit(left / spec.width, top / spec.height, columns / spec.width, rows / spec.height)
    return canvas, fit


def resized(picture: Picture, spec: InputSpec) -> Picture:
    """The picture stretched to the input's size."""
    return resize(picture, spec.height, spec.width)


def resize(picture: Picture, rows: int, columns: int) -> Picture:
    """The picture in another size: the mean of each block where sizes divide, else bilinear."""
    height, width = picture.shape[:2]
    if (height, width) == (rows, columns):
        return picture
    if height % rows == 0 and width % columns == 0:
        blocks = picture.reshape(rows, height // rows, columns, width // columns, 3)
        means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
        return means.round().astype(np.uint8)
    return _bilinear(picture, rows, columns)


def _bilinear(picture: Picture, rows: int, columns: int) -> Picture:
    upper, lower, down = _places(picture.shape[0], rows)
    left, right, across = _places(picture.shape[1], columns)
    down, across = down[:, None, None], across[None, :, None]
    top, bottom = picture[upper].astype(np.float32), picture[lower].astype(np.float32)
    middle = top + (bottom - top) * down
    found: NDArray[np.float32] = middle[:, left] + (middle[:, right] - middle[:, left]) * across
    return found.round().astype(np.uint8)


def _places(length: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each wanted place: the pixels before and after it, and the share of the latter."""
    places = ((np.arange(wanted) + 0.5) * (length / wanted) - 0.5).clip(0, length - 1)
    before = places.astype(np.intp)
    return before, np.minimum(before + 1, length - 1), (places - before).astype(np.float32)
