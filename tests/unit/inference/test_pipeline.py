from collections import Counter

import numpy as np
import pytest

from edgecore.base.errors import FrameSourceError
from edgecore.base.group import CameraSpec
from edgecore.inference.frames import Frame
from edgecore.inference.geometry import Point, iou
from edgecore.inference.pipeline import Pipeline
from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.parameters import draw_scene
from edgecore.inference.scenes.traffic import TrafficScene

UNSEEN = 2_000_000
"""Seeds from here on are neither in training (from 0) nor in tools/evaluate_traffic.py (from 1,000,000)."""
LINES = {"stop-line": ((0.0, 0.65), (1.0, 0.65)), "crosswalk": ((0.5, 0.15), (0.5, 0.6))}
TOP = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.12), (0.0, 0.12))
TOLERANCE = 6


def camera(**changes):
    return CameraSpec("north", "synthetic:traffic", "north", "traffic.onnx", **({"lines": LINES} | changes))


def test_precision_and_recall_on_unseen_scenes(engine, monotonic):
    right, wrong, missed = Counter(), Counter(), Counter()
    for index in range(25):
        scene = TrafficScene(draw_scene(UNSEEN + index, Split.HELD_OUT))
        for number in range(37 * index, 37 * index + 8 * 150, 150):
            result = Pipeline(camera(), engine, monotonic).process(Frame(number, 0.0, scene.frame(number)))
            free = scene.truth(number)
            for found in result.detections:
                match = next(
                    (t for t in free if t.label == found.label and iou(t.box, found.box) >= 0.5), None
                )
                if match:
                    free.remove(match)
                    right[found.label] += match.visible >= 0.3
                else:
                    wrong[found.label] += 1
            missed.update(one.label for one in free if one.visible >= 0.3)
    for label in ("vehicle", "pedestrian"):
        assert right[label] > 100
        assert right[label] / (right[label] + wrong[label]) >= 0.95
        assert right[label] / (right[label] + missed[label]) >= 0.95


@pytest.mark.parametrize("privacy", [(), (TOP,)])
def test_an_unseen_scene_is_counted_exactly(engine, monotonic, privacy):
    scene, frames = TrafficScene(draw_scene(UNSEEN + 7, Split.HELD_OUT)), 900
    pipeline = Pipeline(camera(privacy=privacy), engine, monotonic)
    counted = []
    for number in range(frames):
        counted += pipeline.process(Frame(number, 0.0, scene.frame(number))).crossings
    ends = {name: (Point(*start), Point(*end)) for name, (start, end) in LINES.items()}
    true = scene.crossings(ends, 0, frames - 1)
    assert len(true) > 30
    for one in true:
        match = next(
            (c for c in counted if c[1:4] == one[1:4] and abs(c.frame - one.frame) <= TOLERANCE), None
        )
        if match:
            counted.remove(match)
        else:
            assert one.frame > frames - TOLERANCE
    assert counted == []


def test_the_threshold_of_the_camera_goes_before_that_of_the_model(engine, monotonic):
    scene = TrafficScene(draw_scene(UNSEEN, Split.HELD_OUT))
    number = next(n for n in range(0, 1000, 10) if len(scene.truth(n)) > 3)
    frame = Frame(number, 0.0, scene.frame(number))
    strict = Pipeline(camera(threshold=0.999), engine, monotonic).process(frame)
    assert len(strict.detections) < len(Pipeline(camera(), engine, monotonic).process(frame).detections)


def test_a_result_says_what_it_is_of(engine, monotonic):
    result = Pipeline(camera(), engine, monotonic).process(Frame(5, 1.5, np.zeros((480, 640, 3), np.uint8)))
    assert (result.frame, result.captured_at, result.width, result.height) == (5, 1.5, 640, 480)
    assert (result.detections, result.tracks, result.crossings) == ((), (), ())
    assert 0 < result.infer_seconds < result.total_seconds


def test_a_frame_of_another_size_gives_the_same_objects(engine, monotonic):
    scene = TrafficScene(draw_scene(UNSEEN + 1, Split.HELD_OUT))
    number = next(n for n in range(0, 1000, 10) if len(scene.truth(n)) > 3)
    picture = scene.frame(number)
    large = picture.repeat(2, axis=0).repeat(2, axis=1)
    one, other = (Pipeline(camera(), engine, monotonic).process(Frame(0, 0.0, p)) for p in (picture, large))
    assert one.detections == other.detections


def test_a_line_without_length_is_refused(engine, monotonic):
    with pytest.raises(FrameSourceError, match="line 'dot': both ends"):
        Pipeline(camera(lines={"dot": ((0.5, 0.5), (0.5, 0.5))}), engine, monotonic)


def test_counts_begin_with_every_line_and_no_crossing(engine, monotonic):
    assert Pipeline(camera(), engine, monotonic).counts == {"stop-line": {}, "crosswalk": {}}
