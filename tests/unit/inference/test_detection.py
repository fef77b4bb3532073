from edgecore.inference.detection import Crossing, Detection, Result, Track
from edgecore.inference.geometry import Box


def test_a_track_begins_unconfirmed_and_at_rest():
    track = Track(1, "vehicle", 0.9, Box(0, 0, 1, 1), seen=4)
    assert (track.hits, track.confirmed, track.velocity) == (1, False, (0.0, 0.0))


def test_a_result_holds_what_one_frame_gave():
    crossing = Crossing(3, "stop", "vehicle", "in", 1, 5)
    detection = Detection("vehicle", 0.9, Box(0, 0, 1, 1))
    result = Result(5, 1.0, 320, 240, (), (detection,), (crossing,), 0.001)
    assert result.crossings[0].decided == result.frame
    assert result.total_seconds == 0.0
