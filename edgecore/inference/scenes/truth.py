"""The truth about a scene: which objects each frame shows, and which lines were crossed when.

Pure, and free of OpenCV: what checks a pipeline needs no picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from edgecore.inference.geometry import Box, Point, offset, passes_between
from edgecore.inference.scenes.schedule import Mover, Schedule


class TrueObject(NamedTuple):
    """One object of a frame: its box is the visible part, `visible` the share of it that this is."""

    id: int
    label: str
    box: Box
    visible: float


class TrueCrossing(NamedTuple):
    """An object's foot was on one side of a line in the frame before and is on the other in this one.

    `in` is from the left of A→B to its right.
    """

    frame: int
    line: str
    label: str
    direction: str
    id: int


def objects(schedule: Schedule, number: int) -> list[TrueObject]:
    """The objects of a frame, farther feet first."""
    return [
        TrueObject(mover.id, mover.label, mover.box(number), mover.visible(number))
        for mover in schedule.alive(number)
    ]


def crossings(
    schedule: Schedule, lines: Mapping[str, tuple[Point, Point]], first: int, last: int
) -> list[TrueCrossing]:
    """Every crossing of these lines after frame `first` and up to and including frame `last`, by frame."""
    found = (
        crossing
        for mover in schedule.between(first, last)
        for name, (start, end) in lines.items()
        for crossing in _of(mover, name, start, end, max(first, mover.first), min(last, mover.last))
    )
    return sorted(found)


def _of(mover: Mover, name: str, start: Point, end: Point, first: int, last: int) -> Iterator[TrueCrossing]:
    before = mover.box(first).foot
    for frame in range(first + 1, last + 1):
        after = mover.box(frame).foot
        left_before, left_after = offset(start, end, before) < 0, offset(start, end, after) < 0
        if left_before != left_after and passes_between(start, end, before, after):
            yield TrueCrossing(frame, name, mover.label, "in" if left_before else "out", mover.id)
        before = after
