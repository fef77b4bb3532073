import pytest

from edgecore.inference.counting import MARGIN, LineCounter
from edgecore.inference.detection import Track
from edgecore.inference.geometry import Box, Point

STOP = {"stop": (Point(0.0, 0.5), Point(1.0, 0.5))}


def track(y, x=0.5, number=1, confirmed=True):
    return Track(number, "vehicle", 0.9, Box(x - 0.05, y - 0.1, x + 0.05, y), 0, confirmed=confirmed)


def walk(counter, places, **options):
    found = []
    for frame, y in enumerate(places):
        found += counter.update(frame, [track(y, **options)], {options.get("number", 1)})
    return found


def test_downwards_over_a_line_to_the_right_is_in_and_backwards_is_out():
    counter = LineCounter(STOP)
    there = walk(counter, [0.40, 0.45, 0.49, 0.53, 0.57])
    assert [(c.frame, c.decided, c.direction) for c in there] == [(3, 4, "in")]
    back = walk(counter, [0.57, 0.53, 0.49, 0.45])
    assert [c.direction for c in back] == ["out"]
    assert counter.counts == {"stop": {"vehicle": {"in": 1, "out": 1}}}


def test_trembling_on_a_line_counts_nothing_and_crossing_after_it_counts_once():
    counter = LineCounter(STOP)
    trembling = [0.45, 0.499, 0.503, 0.498, 0.504, 0.502, 0.497] * 5
    assert walk(counter, trembling) == []
    found = walk(counter, [0.499, 0.503, 0.506, 0.512, 0.52, 0.509, 0.502, 0.53])
    assert len(found) == 1


def test_one_detection_that_is_far_off_does_not_count():
    assert walk(LineCounter(STOP), [0.4, 0.42, 0.9, 0.44, 0.46]) == []


def test_a_crossing_bears_the_first_frame_beyond_though_it_is_slow():
    slow = [0.5 - 0.003 + step * MARGIN / 3 for step in range(8)]
    assert [(c.frame, c.decided) for c in walk(LineCounter(STOP), slow)] == [(2, 5)]


def test_what_an_unconfirmed_track_crosses_waits_for_its_confirmation():
    counter = LineCounter(STOP)
    assert walk(counter, [0.4, 0.6, 0.65], confirmed=False) == []
    found = counter.update(3, [track(0.7)], {1})
    assert [(c.frame, c.direction) for c in found] == [(1, "in")]


def test_what_an_unconfirmed_track_crossed_goes_with_it():
    counter = LineCounter(STOP)
    walk(counter, [0.4, 0.6, 0.65], confirmed=False)
    counter.update(3, [], set())
    assert counter.update(4, [track(0.7)], {1}) == []


def test_who_passes_beside_the_ends_is_not_counted():
    counter = LineCounter({"short": (Point(0.0, 0.5), Point(0.3, 0.5))})
    assert walk(counter, [0.4, 0.45, 0.55, 0.6]) == []
    assert len(walk(counter, [0.4, 0.45, 0.55, 0.6], x=0.2, number=2)) == 1


@pytest.mark.parametrize("missing", [1, 3, 6])
def test_frames_without_detection_do_not_lose_a_crossing(missing):
    counter = LineCounter(STOP)
    counter.update(0, [track(0.45)], {1})
    for frame in range(1, missing):
        counter.update(frame, [], {1})
    counter.update(missing, [track(0.55)], {1})
    assert len(counter.update(missing + 1, [track(0.57)], {1})) == 1


def test_lines_and_labels_are_counted_apart():
    lines = STOP | {"far": (Point(0.0, 0.8), Point(1.0, 0.8))}
    counter = LineCounter(lines)
    found = walk(counter, [0.4, 0.45, 0.55, 0.6, 0.7, 0.75, 0.85, 0.9])
    assert [c.line for c in found] == ["stop", "far"]
    assert counter.counts["far"] == {"vehicle": {"in": 1, "out": 0}}
