import numpy as np

from edgecore.inference.geometry import Point
from edgecore.inference.scenes.parameters import draw_scene
from edgecore.inference.scenes.traffic import TrafficScene


def test_frames_are_a_function_of_their_number():
    scene = TrafficScene(draw_scene(7))
    later = scene.frame(123_456)
    scene.frame(0)
    assert np.array_equal(scene.frame(123_456), later)
    assert np.array_equal(TrafficScene(draw_scene(7)).frame(123_456), later)
    assert not np.array_equal(TrafficScene(draw_scene(8)).frame(123_456), later)


def test_the_truth_goes_with_the_picture():
    scene = TrafficScene(draw_scene(7))
    assert {one.label for n in range(0, 400, 20) for one in scene.truth(n)} == {"vehicle", "pedestrian"}
    lines = {"stop": (Point(0.0, 0.65), Point(1.0, 0.65))}
    assert all(100 < crossing.frame <= 400 for crossing in scene.crossings(lines, 100, 400))
