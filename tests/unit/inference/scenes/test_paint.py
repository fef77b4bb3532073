import numpy as np
import pytest

from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.paint import Painter, colour
from edgecore.inference.scenes.parameters import Light, draw_scene
from edgecore.inference.scenes.schedule import Schedule

SHADOW = 13
"""Pixels that a shadow may reach beyond its object (parameters.py: shadow_x up to 12)."""


def changed(painter, movers, frame):
    """Where a picture with objects differs from the one without."""
    difference = painter.paint(frame, movers).astype(int) - painter.paint(frame, [])
    return np.abs(difference).max(axis=2) > 20


@pytest.mark.parametrize("light", list(Light))
@pytest.mark.parametrize("split", list(Split))
def test_objects_are_drawn_where_they_are_and_nowhere_else(light, split):
    drawn = 0
    for seed in range(6):
        parameters = draw_scene(seed, split, light)
        frame = 300 + 41 * seed
        movers = Schedule(parameters).alive(frame)
        difference = changed(Painter(parameters), movers, frame)
        for mover in movers:
            left, top, right, bottom = (round(edge) for edge in mover.pixels(frame))
            if mover.visible(frame) > 0.9:
                inside = difference[max(0, top) : bottom, max(0, left) : right]
                drawn += inside.mean() > 0.2
            reach = SHADOW
            difference[max(0, top - reach) : bottom + reach, max(0, left - reach) : right + reach] = False
        assert not difference.any()
    assert drawn >= 10


def test_frames_are_the_same_each_time_and_noise_is_not_that_of_the_frame_before():
    parameters = draw_scene(5)
    one, other = Painter(parameters), Painter(parameters)
    assert np.array_equal(one.paint(3, []), other.paint(3, []))
    assert not np.array_equal(one.paint(3, []), one.paint(4, []))


def test_colours_are_blue_first():
    assert colour(120, 255, 255) == (255.0, 0.0, 0.0)
