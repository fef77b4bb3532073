import pytest

from edgecore.inference.geometry import Box, Point, clipped, iou, offset, passes_between

DOWN = Point(0.5, 0.0), Point(0.5, 1.0)
ACROSS = Point(0.0, 0.65), Point(1.0, 0.65)


def test_overlap_of_equal_half_and_apart_boxes():
    box = Box(0.0, 0.0, 0.2, 0.2)
    assert iou(box, box) == pytest.approx(1.0)
    assert iou(box, Box(0.1, 0.0, 0.3, 0.2)) == pytest.approx(1 / 3)
    assert iou(box, Box(0.2, 0.0, 0.4, 0.2)) == 0.0
    assert iou(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0.0


def test_clipping_cuts_at_the_frame_and_never_turns_a_box_over():
    assert clipped(Box(-0.1, 0.5, 0.2, 1.5)) == Box(0.0, 0.5, 0.2, 1.0)
    assert clipped(Box(1.2, 0.1, 1.4, 0.2)).area == 0.0
    assert Box(0.3, 0.3, 0.2, 0.4).area == 0.0


def test_the_foot_is_the_bottom_centre():
    assert Box(0.2, 0.1, 0.4, 0.7).foot == pytest.approx((0.3, 0.7))


def test_left_and_right_are_those_of_a_person_who_walks_from_a_to_b():
    # From left to right over the picture: the left hand points up.
    assert offset(*ACROSS, Point(0.5, 0.6)) < 0
    assert offset(*ACROSS, Point(0.5, 0.7)) > 0
    # Down the picture: the left hand points to the right edge.
    assert offset(*DOWN, Point(0.6, 0.5)) < 0
    assert offset(*DOWN, Point(0.4, 0.5)) > 0


def test_the_offset_is_a_distance_whatever_the_length_of_the_line():
    assert offset(Point(0.4, 0.5), Point(0.6, 0.5), Point(0.0, 0.7)) == pytest.approx(0.2)


def test_a_way_past_the_end_of_a_line_does_not_meet_it():
    short = Point(0.2, 0.5), Point(0.4, 0.5)
    assert passes_between(*short, Point(0.3, 0.4), Point(0.3, 0.6))
    assert passes_between(*short, Point(0.4, 0.4), Point(0.4, 0.6))
    assert not passes_between(*short, Point(0.5, 0.4), Point(0.5, 0.6))
    assert not passes_between(*short, Point(0.35, 0.4), Point(0.65, 0.6))
    assert passes_between(*short, Point(0.3, 0.5), Point(0.3, 0.5))


def test_boxes_too_thin_for_an_area_share_nothing():
    thin = Box(0.0, 0.0, 1.0, 5e-324)
    assert iou(thin, Box(0.0, 0.0, 0.5, 5e-324)) in (0.0, 1.0)
    assert iou(Box(0.0, 0.0, 5e-324, 5e-324), thin) == 0.0
