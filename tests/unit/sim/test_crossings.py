"""Counted crossings against the truth."""

from edgecore.sim.crossings import SETTLING, TOLERANCE, WARM_UP, Comparison, Crossing, Interval, compare

WHOLE = [Interval(0, 1000)]


def car(frame, direction="in", line="stop-line"):
    return Crossing(frame, line, "vehicle", direction)


def test_the_same_crossings_agree():
    truth = [car(100), car(150), car(150, "out"), car(200, line="exit")]
    result = compare(truth, list(truth), WHOLE)
    assert result == Comparison(4, 4, (), (), {"stop-line": 3, "exit": 1})
    assert result.agree


def test_some_frames_off_is_the_same_crossing_and_more_is_not():
    assert compare([car(100)], [car(100 + TOLERANCE)], WHOLE).agree
    late = compare([car(100)], [car(101 + TOLERANCE)], WHOLE)
    assert (late.missing, late.extra) == ((car(100),), (car(101 + TOLERANCE),))


def test_a_crossing_that_was_not_counted_is_missing():
    result = compare([car(100), car(102)], [car(101)], WHOLE)
    assert len(result.missing) == 1
    assert not result.extra


def test_one_that_was_counted_twice_is_extra():
    result = compare([car(100)], [car(99), car(101)], WHOLE)
    assert len(result.extra) == 1
    assert not result.agree


def test_label_line_and_direction_must_be_the_same():
    for other in (car(100, "out"), car(100, line="exit"), Crossing(100, "stop-line", "pedestrian", "in")):
        result = compare([car(100)], [other], WHOLE)
        assert (result.missing, result.extra) == ((car(100),), (other,))


def test_crossings_at_the_ends_of_an_interval_may_be_counted_or_not():
    interval = Interval(100, 300)
    early, late = car(100 + WARM_UP - 1), car(300 - SETTLING + 1)
    for counted in ([], [early], [late], [early, late]):
        result = compare([early, late], counted, [interval])
        assert result.agree
        assert result.expected == 0
    assert compare([car(100 + WARM_UP)], [], [interval]).missing
    assert compare([car(300 - SETTLING)], [], [interval]).missing


def test_what_happened_in_a_gap_is_not_demanded():
    intervals = [Interval(0, 100), Interval(200, 300)]
    assert compare([car(150)], [], intervals).agree
    assert compare([car(50), car(150), car(250)], [car(50), car(250)], intervals).agree
    assert compare([car(150)], [car(250)], intervals).extra


def test_an_optional_truth_does_not_take_the_place_of_a_required_one():
    interval = Interval(100, 300)
    optional, required = car(100 + WARM_UP - 1), car(100 + WARM_UP + 1)
    assert compare([optional, required], [car(required.frame)], [interval]).agree
    assert compare([optional, required], [car(optional.frame)], [interval]).agree


def test_partners_are_moved_where_only_that_fits_all():
    interval = Interval(100, 300)
    optional, required = car(105), car(112)
    counted = [car(108), car(118)]
    assert compare([optional, required], counted, [interval]).agree


def test_without_frames_nothing_is_demanded():
    assert compare([car(100)], [], []).agree
    assert list(Interval(5, 6).decided) == []
