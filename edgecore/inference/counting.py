"""Counts the tracks that cross lines.

Pure. The point that crosses is the bottom centre of the box, where an object stands. A crossing is certain
when the point has been on the other side in two frames and is beyond a small margin, so that a box that
trembles on a line counts nothing. It bears the number of the frame in which the point was first beyond
the line. What an unconfirmed track crosses is kept until the track is confirmed, or forgotten with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from edgecore.inference.detection import Counts, Crossing, Direction, Track
from edgecore.inference.geometry import Point, offset, passes_between

MARGIN = 0.008
"""In fractions of the frame (2 to 3 pixels of a 320x240 frame): twice how far a resting box trembles."""
FRAMES_BEYOND = 2
"""A single detection that is far off must not count."""

Line = tuple[Point, Point]


@dataclass(slots=True)
class _Side:
    """Where a track stands to a line: its side, its last point there, and its first point beyond."""

    left: bool
    here: Point
    beyond: Point | None = None
    since: int = 0
    frames: int = 0


@dataclass(slots=True)
class _Trace:
    """What is known of one track."""

    sides: dict[str, _Side] = field(default_factory=dict)
    held: list[Crossing] = field(default_factory=list)


class LineCounter:
    """Counts for the lines of one camera, from its start."""

    def __init__(self, lines: Mapping[str, Line]) -> None:
        self._lines = dict(lines)
        self._traces: dict[int, _Trace] = {}
        self.counts: Counts = {name: {} for name in lines}

    def update(self, frame: int, seen: Sequence[Track], alive: Collection[int]) -> list[Crossing]:
        """Take the tracks seen in a frame; give the crossings that became certain, and count them.

        `alive` are the ids of all tracks that may go on; the others are forgotten.
        """
        certain: list[Crossing] = []
        for track in seen:
            trace = self._traces.setdefault(track.id, _Trace())
            for name, line in self._lines.items():
                trace.held.extend(_cross(trace.sides, name, line, frame, track))
            if track.confirmed:
                certain.extend(trace.held)
                trace.held.clear()
        self._traces = {id_: trace for id_, trace in self._traces.items() if id_ in alive}
        for crossing in certain:
            self._count(crossing)
        return certain

    def _count(self, crossing: Crossing) -> None:
        directions = self.counts[crossing.line].setdefault(crossing.label, {"in": 0, "out": 0})
        directions[crossing.direction] += 1


def _cross(sides: dict[str, _Side], name: str, line: Line, frame: int, track: Track) -> list[Crossing]:
    point = track.box.foot
    distance = offset(*line, point)
    side = sides.get(name)
    if side is None:
        sides[name] = _Side(distance < 0, point)
        return []
    if (distance < 0) == side.left:
        side.here, side.beyond, side.frames = point, None, 0
        return []
    if side.beyond is None:
        side.beyond, side.since = point, frame
    side.frames += 1
    if side.frames < FRAMES_BEYOND or abs(distance) < MARGIN:
        return []
    crossed = passes_between(*line, side.here, side.beyond)
    direction: Direction = "in" if side.left else "out"
    crossing = Crossing(side.since, name, track.label, direction, track.id, frame)
    sides[name] = _Side(distance < 0, point)
    return [crossing] if crossed else []
