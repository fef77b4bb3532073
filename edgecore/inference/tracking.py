"""Which detection is which object over time.

Pure: a frame number and detections in, tracks out. A track moves on at its steady speed between frames and
takes the detection of its label that overlaps its expected box most. A track is confirmed after a few
detections; an object that flickers once is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgecore.inference.detection import Detection, Track
from edgecore.inference.geometry import Box, iou

CONFIRMED_AFTER = 3
"""Detections. Single flickers of a detector rarely last for two frames."""
LOST_AFTER = 8
"""Frames without a detection: 0.8 s at 10 frames a second. Longer gaps let a newcomer take over the track."""
LEAST_OVERLAP = 0.1
"""IoU of the expected box with a detection. Objects of a label that nearly touch overlap by less."""
NEAR = 0.6
"""Where nothing overlaps: how far apart the middles may be, in box sizes (a fast object's second frame)."""
SMOOTHING = 0.5
"""The share of the newest step in a track's velocity."""


class Tracker:
    """Follows the objects of one camera."""

    def __init__(self, threshold: float) -> None:
        """`threshold` is the score that begins a track; a known one goes on with less."""
        self._threshold = threshold
        self._tracks: list[Track] = []
        self._next_id = 1

    @property
    def alive(self) -> Sequence[Track]:
        """Every track that may go on, seen in the last frame or not."""
        return self._tracks

    def update(self, frame: int, detections: Sequence[Detection]) -> list[Track]:
        """Take the detections of the next frame; give the tracks seen in it, oldest first."""
        free = set(range(len(detections)))
        taken = set()
        for track, index in self._matches(frame, detections):
            if track.id in taken or index not in free:
                continue
            taken.add(track.id)
            free.remove(index)
            _follow(track, frame, detections[index])
        for index in sorted(free):
            if detections[index].score >= self._threshold:
                self._begin(frame, detections[index])
        self._tracks = [track for track in self._tracks if _goes_on(track, frame)]
        return [track for track in self._tracks if track.seen == frame]

    def _begin(self, frame: int, detection: Detection) -> None:
        self._tracks.append(Track(self._next_id, detection.label, detection.score, detection.box, frame))
        self._next_id += 1

    def _matches(self, frame: int, detections: Sequence[Detection]) -> Iterator[tuple[Track, int]]:
        """Pairs that may belong together, the likeliest first."""
        found = [
            (likeness, track.hits, -track.id, index, track)
            for track in self._tracks
            for index, detection in enumerate(detections)
            if track.label == detection.label
            and (likeness := _likeness(expected(track, frame), detection.box)) > 0
        ]
        found.sort(key=lambda pair: pair[:4], reverse=True)
        return ((track, index) for *_, index, track in found)


def expected(track: Track, frame: int) -> Box:
    """Where the track's box should be by that frame."""
    ahead = frame - track.seen
    x, y = track.velocity[0] * ahead, track.velocity[1] * ahead
    return Box(track.box.left + x, track.box.top + y, track.box.right + x, track.box.bottom + y)


def _likeness(one: Box, other: Box) -> float:
    """Above 1: they overlap, the more the better. Up to 1: they are near. 0: not the same object."""
    overlap = iou(one, other)
    if overlap >= LEAST_OVERLAP:
        return 1 + overlap
    width = max(one.right - one.left, other.right - other.left, 1e-6)
    height = max(one.bottom - one.top, other.bottom - other.top, 1e-6)
    x = abs(one.left + one.right - other.left - other.right) / 2 / width
    y = abs(one.top + one.bottom - other.top - other.bottom) / 2 / height
    return max(0.0, 1 - max(x, y) / NEAR)


def _follow(track: Track, frame: int, detection: Detection) -> None:
    frames = max(1, frame - track.seen)
    step = _step(track.box, detection.box)
    share = SMOOTHING if track.hits > 1 else 1.0
    track.velocity = (
        track.velocity[0] + share * (step[0] / frames - track.velocity[0]),
        track.velocity[1] + share * (step[1] / frames - track.velocity[1]),
    )
    track.box, track.score, track.seen = detection.box, detection.score, frame
    track.hits += 1
    track.confirmed = track.confirmed or track.hits >= CONFIRMED_AFTER


def _step(before: Box, after: Box) -> tuple[float, float]:
    """How far the middle moved."""
    x = (after.left + after.right - before.left - before.right) / 2
    return x, (after.top + after.bottom - before.top - before.bottom) / 2


def _goes_on(track: Track, frame: int) -> bool:
    """A track that is not confirmed ends with its second missing frame."""
    return frame - track.seen <= (LOST_AFTER if track.confirmed else 1)
