"""What a person sees."""

import dataclasses
import io

import pytest
from rich.console import Console

from edgecore.sim.crossings import Comparison, Crossing, Interval
from edgecore.sim.snapshot import CameraView, ControllerView, Snapshot
from edgecore.sim.summary import WIDTH, line, render, sparkline, verdict
from edgecore.sim.tally import Camera, Kill, Messages, Outage, Shadows, Tallies

CAMERA = CameraView(
    "north",
    231,
    10.0,
    6.2,
    [{"label": "vehicle", "box": [0.3, 0.5, 0.4, 0.75]}],
    {"stop-line": ((0.0, 0.65), (1.0, 0.65))},
    {"stop-line": {"vehicle": {"in": 4, "out": 13}}},
)
NOW = Snapshot(
    phase="running",
    seconds=83.4,
    remaining=7.0,
    devices=22,
    connected=21,
    published=800,
    acknowledged=799,
    arrived=790,
    duplicates=0,
    outbox=9,
    outbox_history=(0, 4, 9),
    rates=(30.0, 36.0),
    cloud_connected=False,
    cameras=(CAMERA,),
    controllers=(
        ControllerView("signal-north", {"cycle": 90, "green": 31, "walk": 12}, True),
        ControllerView("signal-east", {}, False),
    ),
    timing={"cycle": 90, "walk": 12},
    timings=7,
    units={"store": "running", "lambdas": "broken"},
    restarts=2,
    notes=("cutting the link",),
)
TALLIES = Tallies(
    seconds=30.0,
    seed=0,
    devices=22,
    connects=22,
    messages=Messages(800, 800, 800, 3, 0, 0, 0),
    cameras={
        "north": Camera((Interval(3, 90), Interval(130, 300)), Comparison(9, 10, (), (), {"stop-line": 10}))
    },
    shadows=Shadows(4, 4, 12, 13, {}),
    timings=8,
    outbox=0,
    outage=Outage(10.0, 0, 312),
    kill=Kill(1.7),
)


def shown(renderable, width=WIDTH):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()


def test_the_summary_shows_all_that_flows():
    text = shown(render(NOW))
    for words in (
        *("camera north", "frame 231", "10.0 frames/s", "stop-line", "21 of 22", "799 of 800"),
        *("790", "on the way 9", "away", "cycle 90 s, walk 12 s", "decided 7", "31 s", "waiting"),
        *("● store", "● lambdas (broken)", "restarts 2", "cutting the link", "01:23", "7 s left"),
    ):
        assert words in text, words
    assert max(map(len, text.splitlines())) <= WIDTH


def test_a_narrow_terminal_gets_the_figures_without_the_picture():
    text = shown(render(NOW, 80), 80)
    assert "stop-line" in text
    assert "╌" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_core_that_does_not_answer_is_said():
    silent = dataclasses.replace(
        NOW, units={}, restarts=0, outbox=None, timing={}, timings=0, remaining=None, rates=()
    )
    text = shown(render(silent))
    assert "the core does not answer" in text
    assert "none yet" in text
    assert "left" not in text
    assert "outbox ?" in line(silent)


def test_the_line_for_a_log_holds_the_same_figures():
    assert line(NOW) == (
        "01:23 running: 21/22 devices, 799 acknowledged, 790 in the cloud, outbox 9, shadows 1/2, north frame 231 (10.0/s)"
    )


@pytest.mark.parametrize(
    ("values", "bars"), [((), ""), ((0, 0), "▁▁"), ((0, 1, 2, 4), "▁▃▅█"), ((9, 9, 1, 2), "▅█")]
)
def test_a_sparkline_is_scaled_to_its_tallest(values, bars):
    assert sparkline(values, 2 if len(values) == 4 and values[0] == 9 else 10) == bars


def test_a_good_end_says_what_agrees():
    text = shown(verdict(TALLIES))
    for words in (
        *("everything agrees", "800 acknowledged, 800 in the cloud, 0 lost, 3 twice", "4 of 4 the same"),
        *("10 crossings counted (stop-line 10), 9 demanded", "not seen: frames 90 to 130"),
        *("the outbox grew to 312 and drained", "back after 1.7 s"),
    ):
        assert words in text, words


def test_a_bad_end_says_why():
    missing = Comparison(9, 8, (Crossing(44, "stop-line", "vehicle", "in"),), (), {"stop-line": 8})
    bad = dataclasses.replace(
        TALLIES, cameras={"north": Camera((Interval(3, 300),), missing)}, outage=None, kill=None
    )
    text = shown(verdict(bad))
    assert "it does not agree" in text
    assert "1 crossings missing: vehicle in over stop-line at frame 44" in text
