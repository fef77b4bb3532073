"""The decisions of a run. Whole runs, with everything real, are in tests/scenarios."""

from types import SimpleNamespace

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.group import CameraSpec
from edgecore.sim import junction as module
from edgecore.sim.crossings import SETTLING, WARM_UP, Crossing, Interval
from edgecore.sim.junction import Junction
from edgecore.sim.observer import CrossingRecord
from edgecore.sim.stage import Plan
from edgecore.sim.truth import true_crossings

LINES = {"stop-line": ((0.0, 0.65), (1.0, 0.65))}
CAMERA = CameraSpec("north", "synthetic:traffic?seed=7", "junction/north", "model.onnx", lines=LINES)


@pytest.mark.parametrize(
    ("plan", "middle"),
    [
        ({}, None),
        ({"duration": 30.0}, 30.0),
        ({"duration": 30.0, "kill": True}, 15.0),
        ({"duration": 30.0, "outage": 10.0}, 10.0),
        ({"duration": 30.0, "outage": 10.0, "kill": True}, 10.0),
        ({"outage": 10.0}, 10.0),
        ({"kill": True}, 10.0),
    ],
)
def test_cuts_and_kills_come_in_the_middle(tmp_path, plan, middle):
    junction = Junction(Plan(tmp_path, **plan), tmp_path, ManualClock(), print)
    assert junction._middle() == middle
    assert (junction.started, junction.snapshot(), junction.notes) == (False, None, ())


def stage(*intervals, outstanding=0):
    return SimpleNamespace(
        watch=SimpleNamespace(cameras={"junction/north": SimpleNamespace(intervals=intervals)}),
        fleet=SimpleNamespace(outstanding=outstanding, controllers=["signal-1", "signal-2"]),
    )


def test_frames_are_compared_once_there_are_some_to_decide_on_since_the_last_start():
    short, long = Interval(100, 105), Interval(0, WARM_UP + SETTLING)
    assert not module._looked_long_enough(stage(), 1)
    assert not module._looked_long_enough(stage(short), 1)
    assert module._looked_long_enough(stage(long), 1)
    assert not module._looked_long_enough(stage(long), 2)
    assert not module._looked_long_enough(stage(long, short), 2)


def test_it_is_at_rest_when_all_is_acknowledged_drained_and_equal():
    gauges = SimpleNamespace(drained=True, converged={"signal-1", "signal-2"})
    assert module._at_rest(stage(), gauges)
    assert not module._at_rest(stage(), SimpleNamespace(drained=False, converged=gauges.converged))
    assert not module._at_rest(stage(), SimpleNamespace(drained=True, converged={"signal-1"}))
    # The outbox was empty before the last message came: that does not count.
    assert not module._at_rest(stage(outstanding=1), gauges)
    assert gauges.drained is False


def record(crossings, forgotten=0):
    found = CrossingRecord()
    found.crossings = {(crossing, track): None for track, crossing in enumerate(crossings)}
    found.forgotten = forgotten
    return found


def test_a_camera_is_compared_with_its_scene():
    truth = true_crossings(CAMERA, Interval(0, 320))
    intervals = (Interval(0, 120), Interval(200, 300))
    seen = [one for one in truth if any(span.first <= one.frame <= span.last for span in intervals)]
    camera = module._camera(CAMERA, intervals, record(seen))
    assert camera.crossings.agree
    assert camera.crossings.expected > 0
    without = module._camera(CAMERA, intervals, record(seen[2:]))
    assert without.crossings.missing
    made_up = Crossing(150, "stop-line", "pedestrian", "in")
    assert module._camera(CAMERA, intervals, record([*seen, made_up])).crossings.extra == (made_up,)


def test_what_was_forgotten_is_not_demanded():
    truth = true_crossings(CAMERA, Interval(0, 120))
    kept = [one for one in truth if one.frame > 60]
    camera = module._camera(CAMERA, (Interval(0, 120),), record(kept, forgotten=60))
    assert camera.intervals == (Interval(60, 120),)
    assert camera.crossings.agree


def test_a_camera_that_showed_nothing_agrees_with_nothing():
    camera = module._camera(CAMERA, (), record([]))
    assert (camera.intervals, camera.crossings.expected) == ((), 0)
