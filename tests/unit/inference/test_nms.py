from edgecore.inference.detection import Detection
from edgecore.inference.geometry import Box
from edgecore.inference.nms import suppress

HERE = Box(0.1, 0.1, 0.3, 0.3)
NEARLY = Box(0.11, 0.1, 0.31, 0.3)


def test_the_best_of_those_that_overlap_stays():
    found = suppress([Detection("v", 0.5, HERE), Detection("v", 0.9, NEARLY)], 0.5)
    assert found == [Detection("v", 0.9, NEARLY)]


def test_labels_do_not_suppress_one_another():
    found = suppress([Detection("v", 0.5, HERE), Detection("p", 0.9, HERE)], 0.5)
    assert [detection.label for detection in found] == ["p", "v"]


def test_none_and_one_stay_as_they_are():
    assert suppress([], 0.5) == []
    assert suppress([Detection("v", 0.5, HERE)], 0.5) == [Detection("v", 0.5, HERE)]


def test_a_suppressed_box_suppresses_nothing():
    chain = [Detection("v", 0.9 - i / 10, Box(0.1 + i * 0.06, 0.1, 0.3 + i * 0.06, 0.3)) for i in range(3)]
    assert suppress(chain, 0.5) == [chain[0], chain[2]]


def test_empty_boxes_are_harmless():
    empty = Detection("v", 0.5, Box(0.1, 0.1, 0.1, 0.1))
    assert len(suppress([empty, empty], 0.5)) == 2
