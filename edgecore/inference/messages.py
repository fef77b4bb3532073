"""The JSON that a camera publishes. Pure: records in, bytes out.

Every message names the camera, the frame number and `at`, when that frame was captured (epoch seconds).
Boxes are [left, top, right, bottom] in fractions of the frame, rounded to a hundredth of a percent.
"""

from __future__ import annotations

import json

from edgecore.inference.detection import Counts, Crossing, Result
from edgecore.inference.geometry import Box

KINDS = ("counts", "events", "detections", "status")
"""The last level of the topics."""
DEFAULT_QOS = {"counts": 0, "events": 1, "detections": 0, "status": 1}


def counts(camera: str, first: int, frame: int, at: float, counted: Counts) -> bytes:
    """Crossings since frame `first`, by line, label and direction."""
    return _json({"camera": camera, "frame": frame, "at": at, "first_frame": first, "counts": counted})


def event(camera: str, at: float, crossing: Crossing) -> bytes:
    """One crossing. `frame` is the first beyond the line, `decided` (and `at`) when it was certain."""
    found = {"camera": camera, "frame": crossing.frame, "decided": crossing.decided, "at": at}
    found |= {"line": crossing.line, "label": crossing.label}
    found |= {"direction": crossing.direction, "track": crossing.track}
    return _json(found)


def detections(camera: str, result: Result) -> bytes:
    """The objects of one frame, with the track each belongs to (null for one that has none yet)."""
    tracks = {track.box: track.id for track in result.tracks if track.confirmed}
    objects = [
        {
            "label": found.label,
            "score": round(found.score, 3),
            "box": _box(found.box),
            "track": tracks.get(found.box),
        }
        for found in result.detections
    ]
    return _json(
        {
            "camera": camera,
            "frame": result.frame,
            "at": result.captured_at,
            "width": result.width,
            "height": result.height,
            "infer_ms": round(result.infer_seconds * 1000, 2),
            "objects": objects,
        }
    )


def status(camera: str, state: str, reason: str, first: int | None, frame: int | None, at: float) -> bytes:
    """What became of the camera: `running`, `ended` or `broken` (then with the reason).

    `first_frame` is the first one looked at since this start: those before it were not seen. `frame` is the
    last one. Both are null before there is one. `at` is when this was said.
    """
    found = {"camera": camera, "state": state, "reason": reason, "first_frame": first}
    return _json(found | {"frame": frame, "at": at})


def _box(box: Box) -> list[float]:
    return [round(edge, 4) for edge in box]


def _json(found: object) -> bytes:
    return json.dumps(found, separators=(",", ":"), allow_nan=False).encode()
