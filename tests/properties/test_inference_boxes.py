"""Laws of boxes, suppression and letterboxing, for any boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.inference.card import InputSpec
from edgecore.inference.detection import Detection
from edgecore.inference.geometry import Box, Point, iou, offset
from edgecore.inference.nms import suppress
from edgecore.inference.preprocess import prepare

parts = st.floats(0, 1, allow_nan=False)
boxes = st.tuples(parts, parts, parts, parts).map(
    lambda b: Box(min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
detections = st.builds(Detection, st.sampled_from(["vehicle", "pedestrian"]), st.floats(0.1, 1), boxes)
points = st.builds(Point, parts, parts)


def brute_force(found, overlap):
    """Suppression as its definition says: look at each, best first, against every one that stayed."""
    kept = []
    for one in sorted(found, key=lambda d: -d.score):
        if all(one.label != other.label or iou(one.box, other.box) <= overlap for other in kept):
            kept.append(one)
    return kept


@given(st.lists(detections, max_size=20), st.floats(0.1, 0.9))
def test_suppression_is_its_definition(found, overlap):
    assert suppress(found, overlap) == brute_force(found, overlap)


@given(st.lists(detections, max_size=20), st.floats(0.1, 0.9))
def test_suppression_twice_changes_nothing(found, overlap):
    once = suppress(found, overlap)
    assert suppress(once, overlap) == once


@given(boxes, boxes)
def test_overlap_is_symmetric_and_a_share(one, other):
    assert iou(one, other) == pytest.approx(iou(other, one))
    assert 0 <= iou(one, other) <= 1.0000001


@given(points, points, points)
def test_turning_a_line_round_changes_the_side(start, end, point):
    if abs(start.x - end.x) + abs(start.y - end.y) > 1e-3:
        assert offset(start, end, point) == pytest.approx(-offset(end, start, point), abs=1e-9)


@given(st.integers(1, 60), st.integers(1, 60), boxes, st.sampled_from(["stretch", "letterbox"]))
def test_a_box_comes_back_from_the_input_to_where_it_was(height, width, box, resize):
    spec = InputSpec("image", 48, 64, resize=resize)
    tensor, fit = prepare(np.zeros((height, width, 3), np.uint8), spec)
    assert tensor.shape == (1, 48, 64, 3)
    left, right = (fit.left + x * fit.width for x in (box.left, box.right))
    top, bottom = (fit.top + y * fit.height for y in (box.top, box.bottom))
    assert fit.to_frame(Box(left, top, right, bottom)) == pytest.approx(box, abs=1e-9)
