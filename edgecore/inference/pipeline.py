"""One camera's way from a frame to detections, tracks and crossings.

Synchronous and without I/O except the model itself. Knows nothing of topics, tasks or time of day.
"""

from __future__ import annotations

from collections.abc import Callable

from edgecore.base.errors import FrameSourceError
from edgecore.base.group import CameraSpec
from edgecore.inference.counting import LineCounter
from edgecore.inference.decode import decoder_of, detections
from edgecore.inference.detection import Counts, Result
from edgecore.inference.engine import Engine
from edgecore.inference.frames import Frame
from edgecore.inference.geometry import Point
from edgecore.inference.preprocess import prepare
from edgecore.inference.privacy import PrivacyMask
from edgecore.inference.tracking import Tracker

CONTINUED = 0.5
"""A known track goes on with a detection of this share of the threshold: certainty dips for single frames."""


class Pipeline:
    """The state of one camera: its masks, model, tracks and counts."""

    def __init__(self, spec: CameraSpec, engine: Engine, monotonic: Callable[[], float]) -> None:
        """Raises ModelError (no decoder) and FrameSourceError (a line or mask that cannot be applied)."""
        self._engine = engine
        self._monotonic = monotonic
        self._threshold = engine.card.threshold if spec.threshold is None else spec.threshold
        self._decoder = decoder_of(engine.card)
        self._privacy = PrivacyMask(spec.privacy)
        self._tracker = Tracker(self._threshold)
        self._counter = LineCounter({name: _line(name, *ends) for name, ends in spec.lines.items()})

    @property
    def counts(self) -> Counts:
        """The crossings counted since the start."""
        return self._counter.counts

    def process(self, frame: Frame) -> Result:
        """Look at the next frame. Raises ModelError and FrameSourceError when it cannot be looked at."""
        began = self._monotonic()
        picture = self._privacy.apply(frame.picture)
        card = self._engine.card
        tensor, fit = prepare(picture, card.input)
        before = self._monotonic()
        outputs = self._engine.run(tensor)
        after = self._monotonic()
        found = detections(self._decoder, outputs, card, fit, self._threshold * CONTINUED)
        seen = self._tracker.update(frame.number, found)
        alive = {track.id for track in self._tracker.alive}
        crossings = self._counter.update(frame.number, seen, alive)
        return Result(
            frame=frame.number,
            captured_at=frame.captured_at,
            width=picture.shape[1],
            height=picture.shape[0],
            tracks=tuple(seen),
            detections=tuple(detection for detection in found if detection.score >= self._threshold),
            crossings=tuple(crossings),
            infer_seconds=after - before,
            total_seconds=self._monotonic() - began,
        )


def _line(name: str, start: tuple[float, float], end: tuple[float, float]) -> tuple[Point, Point]:
    if start == end:
        raise FrameSourceError(f"line {name!r}: both ends are at {start}, expected two places")
    return Point(*start), Point(*end)
