"""Compares counted line crossings with the scene's truth, frame by frame.

Pure. A crossing may be reported some frames off: a detected box is not the drawn one. What cannot be
decided is not demanded: crossings in the first frames after a start (a track must be confirmed first),
in the last ones that were seen (a crossing is certain only later), and while the core was down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

# Frames. Vehicles move 3 to 7 pixels a frame, and a box of a small model is some pixels off.
TOLERANCE: Final = 6
# Frames after a start in which a track may still be too young to count: three detections confirm it.
WARM_UP: Final = 10
# Frames until a crossing is certain: a detector that loses an object for 8 frames keeps its track.
SETTLING: Final = 12


class Crossing(NamedTuple):
    """Something with a label crossed a line in a direction ("in" or "out") at a frame."""

    frame: int
    line: str
    label: str
    direction: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What must be equal for two crossings to be the same one."""
        return self.line, self.label, self.direction


class Interval(NamedTuple):
    """Frames that were processed without a break, both ends included."""

    first: int
    last: int

    @property
    def decided(self) -> range:
        """The frames in which every true crossing must have been counted."""
        return range(self.first + WARM_UP, self.last - SETTLING + 1)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Counted against true crossings. `expected` is how many the scene demands.

    counted = expected - missing + extra + at_edges, always.
    """

    expected: int
    counted: int
    missing: tuple[Crossing, ...] = ()
    extra: tuple[Crossing, ...] = ()
    by_line: dict[str, int] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        """Whether nothing is missing and nothing was made up."""
        return not self.missing and not self.extra

    @property
    def at_edges(self) -> int:
        """True crossings that were counted although they lie where none is demanded."""
        return self.counted - len(self.extra) - (self.expected - len(self.missing))


def compare(
    truth: Iterable[Crossing], counted: Sequence[Crossing], intervals: Sequence[Interval]
) -> Comparison:
    """Match every counted crossing with a true one; all that lie in decided frames must be matched."""
    true_by_kind, counted_by_kind = _grouped(truth), _grouped(counted)
    missing: list[Crossing] = []
    extra: list[Crossing] = []
    expected = 0
    for kind in sorted(true_by_kind.keys() | counted_by_kind.keys()):
        true = true_by_kind[kind]
        required = [any(one.frame in interval.decided for interval in intervals) for one in true]
        lost, surplus = _unmatched(true, required, counted_by_kind[kind])
        missing += lost
        extra += surplus
        expected += sum(required)
    by_line: dict[str, int] = defaultdict(int)
    for crossing in counted:
        by_line[crossing.line] += 1
    return Comparison(expected, len(counted), tuple(sorted(missing)), tuple(sorted(extra)), dict(by_line))


def _grouped(crossings: Iterable[Crossing]) -> dict[tuple[str, str, str], list[Crossing]]:
    groups: dict[tuple[str, str, str], list[Crossing]] = defaultdict(list)
    for crossing in sorted(crossings):
        groups[crossing.kind].append(crossing)
    return groups


def _unmatched(
    true: list[Crossing], required: list[bool], counted: list[Crossing]
) -> tuple[list[Crossing], list[Crossing]]:
    """What no one-to-one matching within the tolerance can cover: required truths, counted ones."""
    near = [
        [there for there, other in enumerate(counted) if abs(other.frame - one.frame) <= TOLERANCE]
        for one in true
    ]
    back = [
        [here for here, one in enumerate(true) if abs(other.frame - one.frame) <= TOLERANCE]
        for other in counted
    ]
    partner: dict[int, int] = {}  # true -> counted
    inverse: dict[int, int] = {}  # counted -> true
    lost = [
        one
        for here, one in enumerate(true)
        if required[here] and not _augment(here, near, inverse, partner, set())
    ]
    # An augmenting path keeps all that is matched, so that the second pass undoes nothing.
    surplus = [
        other
        for there, other in enumerate(counted)
        if there not in inverse and not _augment(there, back, partner, inverse, set())
    ]
    return lost, surplus


def _augment(
    start: int, near: list[list[int]], taken: dict[int, int], partner: dict[int, int], seen: set[int]
) -> bool:
    """Find a partner for `start`, moving others to another one where needed (Kuhn's algorithm)."""
    for there in near[start]:
        if there in seen:
            continue
        seen.add(there)
        if there not in taken or _augment(taken[there], near, taken, partner, seen):
            taken[there] = start
            partner[start] = there
            return True
    return False
