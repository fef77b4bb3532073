"""Opens what a camera needs: its model, its pipeline and its source. Blocks: called in the camera's thread.

This file and what it imports need numpy; the service imports it only when a camera starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgecore.base.clock import Clock
from edgecore.base.group import CameraSpec
from edgecore.inference.detection import Result
from edgecore.inference.engine import load_engine
from edgecore.inference.frames import FrameSource
from edgecore.inference.pipeline import Pipeline
from edgecore.inference.settings import InferenceSettings
from edgecore.inference.sources import open_source


@dataclass(frozen=True, slots=True)
class Opened:
    """A camera that is ready to look. `began` is the monotonic time at which its source was opened."""

    source: FrameSource
    pipeline: Pipeline
    began: float

    def step(self) -> Result | None:
        """Read the next frame and look at it; None after the last. Blocks."""
        frame = self.source.read()
        return None if frame is None else self.pipeline.process(frame)


def open_camera(spec: CameraSpec, settings: InferenceSettings, root: Path, clock: Clock) -> Opened:
    """Load the model, then open the source, so that the first frame is looked at when it is due.

    Raises ModelError, FrameSourceError and UnavailableError.
    """
    engine = load_engine(root, spec.model, settings.threads, settings.model_limit)
    pipeline = Pipeline(spec, engine, clock.monotonic)
    source = open_source(spec.source, root, spec.every, clock)
    return Opened(source, pipeline, clock.monotonic())
