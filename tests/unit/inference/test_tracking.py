from edgecore.inference.detection import Detection
from edgecore.inference.geometry import Box
from edgecore.inference.tracking import CONFIRMED_AFTER, LOST_AFTER, Tracker


def car(x, y=0.2, score=0.9, label="vehicle"):
    return Detection(label, score, Box(x, y, x + 0.1, y + 0.2))


def test_an_object_keeps_its_track_and_is_confirmed():
    tracker = Tracker(0.4)
    tracks = [tracker.update(frame, [car(0.1 + frame * 0.02)])[0] for frame in range(CONFIRMED_AFTER)]
    assert {track.id for track in tracks} == {1}
    assert tracks[-1].confirmed
    assert tracks[-1].velocity[0] > 0.015


def test_two_objects_that_pass_keep_their_tracks():
    tracker = Tracker(0.4)
    for frame in range(40):
        seen = tracker.update(frame, [car(0.1 + frame * 0.02, 0.2), car(0.9 - frame * 0.02, 0.45)])
    assert [(track.id, track.box.left > 0.5) for track in seen] == [(1, True), (2, False)]


def test_a_fast_object_is_followed_though_its_boxes_do_not_overlap():
    tracker = Tracker(0.4)
    small = [Detection("vehicle", 0.9, Box(x, 0.5, x + 0.05, 0.6)) for x in (0.1, 0.125, 0.15, 0.21)]
    ids = [tracker.update(frame, [detection])[0].id for frame, detection in enumerate(small)]
    assert ids == [1, 1, 1, 1]


def test_a_gap_is_bridged_and_a_longer_one_is_not():
    for gap, same in ((LOST_AFTER, True), (LOST_AFTER + 1, False)):
        tracker = Tracker(0.4)
        for frame in range(5):
            tracker.update(frame, [car(0.1 + frame * 0.01)])
        for frame in range(5, 5 + gap - 1):
            assert tracker.update(frame, []) == []
        last = 5 + gap - 1
        if not same:
            tracker.update(last, [])
            last += 1
        assert (tracker.update(last, [car(0.1 + last * 0.01)])[0].id == 1) is same


def test_a_flicker_is_forgotten_at_once():
    tracker = Tracker(0.4)
    tracker.update(0, [car(0.5)])
    tracker.update(1, [])
    tracker.update(2, [])
    assert list(tracker.alive) == []


def test_labels_are_never_mixed():
    tracker = Tracker(0.4)
    tracker.update(0, [car(0.5)])
    seen = tracker.update(1, [car(0.5, label="pedestrian")])
    assert [(track.id, track.label) for track in seen] == [(2, "pedestrian")]


def test_a_weak_detection_continues_a_track_and_begins_none():
    tracker = Tracker(0.4)
    tracker.update(0, [car(0.5), car(0.1, score=0.3)])
    seen = tracker.update(1, [car(0.5, score=0.3)])
    assert [(track.id, track.hits) for track in seen] == [(1, 2)]
