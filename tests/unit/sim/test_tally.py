"""The verdict and its reasons."""

import dataclasses
import json

import pytest

from edgecore.sim.crossings import Comparison, Crossing, Interval
from edgecore.sim.sequences import SequenceSet
from edgecore.sim.tally import Camera, Kill, Messages, Outage, Shadows, Tallies, difference, tally_messages


def numbers(*values):
    result = SequenceSet()
    for number in values:
        result.add(number)
    return result


GOOD = Tallies(
    seconds=30.0,
    seed=7,
    devices=20,
    connects=20,
    messages=Messages(100, 100, 100, 0, 0, 0, 0),
    cameras={"north": Camera((Interval(3, 300),), Comparison(9, 10, (), (), {"stop-line": 10}))},
    shadows=Shadows(4, 4, 12, 13, {}),
    timings=8,
    outbox=0,
)


def test_messages_that_were_acknowledged_and_arrived_are_counted_by_number():
    result = tally_messages(
        {"a": 4, "b": 2},
        {"a": numbers(1, 2, 3), "b": numbers(1, 2)},
        {"a": numbers(1, 2, 3, 4), "b": numbers(1, 2)},
        3,
        0,
    )
    assert result == Messages(
        published=6, acknowledged=5, arrived=6, duplicates=3, altered=0, unacknowledged=1, lost=0
    )


def test_lost_messages_are_named_a_few_of_them():
    result = tally_messages(
        {"a": 9, "b": 9}, {"a": numbers(*range(1, 10)), "b": numbers(2)}, {"a": numbers(5)}, 0, 0
    )
    assert result.lost == 9
    assert result.examples == ("a 1", "a 2", "a 3", "a 4", "a 6")


@pytest.mark.parametrize(
    ("local", "cloud", "reason"),
    [
        (
            {"desired": {"green": 30}, "reported": {"green": 30}},
            {"desired": {"green": 30}, "reported": {"green": 30}},
            "",
        ),
        (
            {"desired": {"green": 30}, "reported": {"green": 30, "extra": 1}},
            {"desired": {"green": 30}, "reported": {"green": 30, "extra": 1}},
            "",
        ),
        (None, {}, "no copy here"),
        ({}, None, "no copy in the cloud"),
        ({"reported": {"a": 1}}, {"reported": {"a": 1}}, "nothing was ever desired"),
        ({"desired": {"a": 1}}, {"desired": {"a": 2}}, "desired: here {'a': 1}, in the cloud {'a': 2}"),
        (
            {"desired": {"a": 1}, "reported": {"a": 1}},
            {"desired": {"a": 1}},
            "reported: here {'a': 1}, in the cloud {}",
        ),
        ({"desired": {"a": 1}}, {"desired": {"a": 1}}, "desired and not reported: {'a': 1}"),
    ],
)
def test_two_copies_of_a_shadow_agree_or_it_is_said_why(local, cloud, reason):
    assert difference(local, cloud) == reason


def test_a_good_run_agrees_and_is_one_json_object():
    assert GOOD.reasons() == []
    record = json.loads(json.dumps(GOOD.as_json()))
    assert record["agree"] is True
    assert record["messages"]["lost"] == 0
    assert record["cameras"]["north"] == {
        "expected": 9,
        "counted": 10,
        "at_edges": 1,
        "by_line": {"stop-line": 10},
        "missing": [],
        "extra": [],
        "intervals": [{"first": 3, "last": 300}],
        "gaps": [],
    }
    assert record["outage"] is None


def test_a_run_with_an_outage_and_a_kill_agrees_and_tells_its_gap():
    camera = Camera((Interval(3, 90), Interval(130, 300)), Comparison(9, 9))
    run = dataclasses.replace(GOOD, outage=Outage(3.0, 0, 40), kill=Kill(1.2), cameras={"north": camera})
    assert run.reasons() == []
    record = run.as_json()
    assert record["kill"] == {"down_seconds": 1.2}
    assert record["cameras"]["north"]["gaps"] == [{"last_before": 90, "first_after": 130}]


CROSSING = Crossing(44, "stop-line", "vehicle", "in")
FRAMES = (Interval(3, 300),)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"messages": Messages(9, 9, 8, 0, 0, 0, 1, ("a 4",))},
            "1 acknowledged ones never arrived in the cloud: a 4",
        ),
        ({"messages": Messages(9, 9, 9, 0, 2, 0, 0)}, "2 arrived altered"),
        ({"messages": Messages(9, 8, 9, 0, 0, 1, 0)}, "1 were never acknowledged"),
        ({"messages": Messages(0, 0, 0, 0, 0, 0, 0)}, "not one was acknowledged"),
        ({"cameras": {"north": Camera((), Comparison(0, 0))}}, "camera north: not one frame was seen"),
        (
            {"cameras": {"north": Camera(FRAMES, Comparison(9, 9, (CROSSING,)))}},
            "1 crossings missing: vehicle in over stop-line at frame 44",
        ),
        (
            {"cameras": {"north": Camera(FRAMES, Comparison(9, 9, (), (CROSSING,)))}},
            "1 crossings made up: vehicle in over stop-line at frame 44",
        ),
        ({"shadows": Shadows(4, 3, 1, 1, {"signal-a": "no copy here"})}, "shadow of signal-a: no copy here"),
        ({"timings": 0}, "not one timing"),
        ({"outage": Outage(3.0, 2, 2)}, "not seen to grow (before 2, peak 2)"),
        ({"outbox": 4}, "outbox: it still holds 4 records"),
        ({"faults": ("the observer lost its connection",)}, "the observer lost its connection"),
    ],
)
def test_whatever_does_not_agree_is_a_reason(change, words):
    run = dataclasses.replace(GOOD, **change)
    (reason,) = run.reasons()
    assert words in reason
    assert run.as_json()["agree"] is False
