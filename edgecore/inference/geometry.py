"""Boxes, points and lines in fractions of the frame: origin top left, x to the right, y down.

Pure. Knows nothing of frames, models or tracks. The picture is looked at as a person does: walking along
a line from A to B, what is at the left hand is its left side.
"""

from __future__ import annotations

from typing import NamedTuple


class Point(NamedTuple):
    """A place in the frame, in fractions of its width and height."""

    x: float
    y: float


class Box(NamedTuple):
    """An upright rectangle, in fractions of the frame's width and height."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """The share of the frame that it covers, 0 when it is empty."""
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)

    @property
    def foot(self) -> Point:
        """The bottom centre: where an object stands on the ground, and the point that crosses lines."""
        return Point((self.left + self.right) / 2, self.bottom)


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0 to 1; 0 when both are empty."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    union = one.area + other.area - shared
    # The areas of boxes thinner than 1e-154 are 0 in floating point: nothing is there to share.
    return shared / union if union > 0 else 0.0


def clipped(box: Box) -> Box:
    """The part of the box that lies in the frame; empty when none does."""
    left, top = min(max(box.left, 0.0), 1.0), min(max(box.top, 0.0), 1.0)
    return Box(left, top, min(max(box.right, left), 1.0), min(max(box.bottom, top), 1.0))


def offset(start: Point, end: Point, point: Point) -> float:
    """How far the point is from the endless line start→end: below zero on its left, above on its right.

    Raises ZeroDivisionError when start and end are the same place: the pipeline refuses such a line first.
    """
    along = Point(end.x - start.x, end.y - start.y)
    cross = along.x * (point.y - start.y) - along.y * (point.x - start.x)
    return float(cross / (along.x**2 + along.y**2) ** 0.5)


def passes_between(start: Point, end: Point, before: Point, after: Point) -> bool:
    """Whether the way before→after meets the line between start and end, these included.

    It is asked only of a way that changes sides of the endless line.
    """
    first, second = offset(start, end, before), offset(start, end, after)
    share = first / (first - second) if first != second else 1.0
    x, y = before.x + share * (after.x - before.x), before.y + share * (after.y - before.y)
    along = Point(end.x - start.x, end.y - start.y)
    place = (along.x * (x - start.x) + along.y * (y - start.y)) / (along.x**2 + along.y**2)
    return 0.0 <= place <= 1.0
