"""Laws of counting: trembling never counts, crossing counts once, and sides agree with counts."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.inference.counting import MARGIN, LineCounter
from edgecore.inference.detection import Detection, Track
from edgecore.inference.geometry import Box, Point
from edgecore.inference.tracking import Tracker

LINE = {"line": (Point(0.0, 0.5), Point(1.0, 0.5))}


def count(places):
    counter = LineCounter(LINE)
    found = []
    for frame, y in enumerate(places):
        track = Track(1, "vehicle", 0.9, Box(0.45, y - 0.1, 0.55, y), frame, confirmed=True)
        found += counter.update(frame, [track], {1})
    return [crossing.direction for crossing in found]


jitter = st.lists(st.floats(-0.9 * MARGIN, 0.9 * MARGIN), min_size=60, max_size=60)


@given(jitter)
def test_a_box_that_trembles_on_a_line_counts_nothing(offsets):
    assert count([0.5 + y for y in offsets]) == []


@given(jitter, st.floats(0.004, 0.05), st.booleans())
def test_a_steady_way_over_a_line_counts_once_however_the_box_trembles(offsets, speed, downwards):
    steps = range(-25, 26)
    way = [0.5 + step * speed * (1 if downwards else -1) for step in steps]
    trembling = [y + offset for y, offset in zip(way, offsets, strict=False)]
    assert count(trembling) == ["in" if downwards else "out"]


@given(st.lists(st.floats(0.1, 0.9), min_size=1, max_size=40))
def test_directions_alternate_and_end_on_the_side_where_the_track_is(places):
    # Rest for a few frames at the end, so that the last crossing is certain.
    directions = count([0.3, *places, *[0.7] * 5])
    assert directions == ["in" if i % 2 == 0 else "out" for i in range(len(directions))]
    assert len(directions) % 2 == 1


@given(st.lists(st.lists(st.tuples(st.floats(0, 0.9), st.floats(0, 0.8)), max_size=5), max_size=25))
def test_a_tracker_gives_each_detection_to_one_track_and_each_track_one_detection(frames):
    tracker = Tracker(0.4)
    for number, places in enumerate(frames):
        found = [Detection("vehicle", 0.9, Box(x, y, x + 0.1, y + 0.2)) for x, y in places]
        seen = tracker.update(number, found)
        assert sorted(track.box for track in seen) == sorted(detection.box for detection in found)
        assert len({track.id for track in seen}) == len(seen)
