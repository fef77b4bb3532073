"""The scene's own crossings."""

import pytest

from edgecore.base.errors import FrameSourceError
from edgecore.base.group import CameraSpec
from edgecore.sim.crossings import Interval
from edgecore.sim.truth import true_crossings

LINES = {"stop-line": ((0.0, 0.65), (1.0, 0.65)), "crosswalk": ((0.408, 0.20), (0.408, 0.54))}


def camera(source):
    return CameraSpec("north", source, "junction/north", "model.onnx", lines=LINES)


def test_vehicles_cross_the_stop_line_and_pedestrians_the_crosswalk():
    found = true_crossings(camera("synthetic:traffic?seed=7&epoch=1700000000"), Interval(0, 450))
    assert {(one.line, one.label) for one in found} == {("stop-line", "vehicle"), ("crosswalk", "pedestrian")}
    assert [one.frame for one in found] == sorted(one.frame for one in found)
    assert true_crossings(camera("synthetic:traffic?seed=7"), Interval(100, 200)) == [
        one for one in found if 100 < one.frame <= 200
    ]


def test_only_a_drawn_scene_has_a_known_truth():
    with pytest.raises(FrameSourceError):
        true_crossings(camera("synthetic:ocean"), Interval(0, 10))
