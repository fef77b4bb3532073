"""The true crossings of a drawn camera, to compare the counted ones with.

Needs the optional extra [vision], like the camera itself.
"""

from __future__ import annotations

from edgecore.base.group import CameraSpec
from edgecore.inference.geometry import Point
from edgecore.inference.scenes.schedule import Schedule
from edgecore.inference.scenes.truth import crossings
from edgecore.inference.sources.address import parse_address
from edgecore.inference.sources.drawn import scene_of
from edgecore.sim.crossings import Crossing, Interval


def true_crossings(camera: CameraSpec, frames: Interval) -> list[Crossing]:
    """What crossed the camera's lines in these frames. Raises FrameSourceError when it is not drawn."""
    schedule = Schedule(scene_of(parse_address(camera.source)))
    lines = {name: (Point(*start), Point(*end)) for name, (start, end) in camera.lines.items()}
    found = crossings(schedule, lines, frames.first, frames.last)
    return [Crossing(one.frame, one.line, one.label, one.direction) for one in found]
