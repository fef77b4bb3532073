import json

from edgecore.inference import messages
from edgecore.inference.detection import Crossing, Detection, Result, Track
from edgecore.inference.geometry import Box

BOX = Box(0.123456, 0.2, 0.3, 0.4)


def test_counts():
    counted = {"stop": {"vehicle": {"in": 2, "out": 1}}}
    assert json.loads(messages.counts("north", 5, 30, 12.5, counted)) == {
        "camera": "north",
        "frame": 30,
        "at": 12.5,
        "first_frame": 5,
        "counts": counted,
    }


def test_event():
    assert json.loads(messages.event("north", 12.5, Crossing(28, "stop", "vehicle", "in", 7, 30))) == {
        "camera": "north",
        "frame": 28,
        "decided": 30,
        "at": 12.5,
        "line": "stop",
        "label": "vehicle",
        "direction": "in",
        "track": 7,
    }


def test_detections_name_the_confirmed_track():
    other = Box(0.5, 0.5, 0.6, 0.6)
    result = Result(
        frame=30,
        captured_at=12.5,
        width=320,
        height=240,
        tracks=(
            Track(7, "vehicle", 0.91234, BOX, 30, confirmed=True),
            Track(8, "vehicle", 0.5, other, 30),
        ),
        detections=(Detection("vehicle", 0.91234, BOX), Detection("vehicle", 0.5, other)),
        crossings=(),
        infer_seconds=0.00123,
    )
    found = json.loads(messages.detections("north", result))
    assert (found["frame"], found["width"], found["height"], found["infer_ms"]) == (30, 320, 240, 1.23)
    assert found["objects"] == [
        {"label": "vehicle", "score": 0.912, "box": [0.1235, 0.2, 0.3, 0.4], "track": 7},
        {"label": "vehicle", "score": 0.5, "box": [0.5, 0.5, 0.6, 0.6], "track": None},
    ]


def test_status():
    assert json.loads(messages.status("north", "broken", "why", None, None, 12.5)) == {
        "camera": "north",
        "state": "broken",
        "reason": "why",
        "first_frame": None,
        "frame": None,
        "at": 12.5,
    }


def test_events_and_status_are_at_least_once_by_default():
    assert messages.DEFAULT_QOS == {"counts": 0, "events": 1, "detections": 0, "status": 1}
    assert set(messages.KINDS) == set(messages.DEFAULT_QOS)
