"""What is found in a frame: detections, tracks and line crossings.

Pure records, free of numpy, so that messages and status need no optional extra.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from edgecore.inference.geometry import Box

Direction = Literal["in", "out"]


class Detection(NamedTuple):
    """One object of one frame. `score` is the model's certainty, 0 to 1; the box is in fractions."""

    label: str
    score: float
    box: Box


class Crossing(NamedTuple):
    """A track that crossed a line: `in` is from the left of A→B to its right.

    `frame` is the first in which it was seen beyond the line, `decided` the one in which that was
    certain (a few frames later, see counting.py).
    """

    frame: int
    line: str
    label: str
    direction: Direction
    track: int
    decided: int


@dataclass(slots=True)
class Track:
    """One object over time. Owned and changed by the tracker; others read it.

    `seen` is the frame of its last detection, `velocity` in fractions per frame (x, y).
    """

    id: int
    label: str
    score: float
    box: Box
    seen: int
    velocity: tuple[float, float] = (0.0, 0.0)
    hits: int = 1
    confirmed: bool = False


Counts = dict[str, dict[str, dict[Direction, int]]]
"""line -> label -> direction -> crossings since the start."""


@dataclass(frozen=True, slots=True)
class Result:
    """What one frame gave. `tracks` are those seen in this frame; `width` and `height` in pixels."""

    frame: int
    captured_at: float
    width: int
    height: int
    tracks: tuple[Track, ...]
    detections: tuple[Detection, ...]
    crossings: tuple[Crossing, ...]
    infer_seconds: float
    total_seconds: float = field(default=0.0)
