"""`edgecore demo` around a run that is played; whole runs are in tests/scenarios."""

import asyncio
import dataclasses
import json
import os
import signal
import sys
from typing import ClassVar

import pytest

from edgecore.base.errors import ConfigError, EdgecoreError
from edgecore.cli import demo as verb
from edgecore.cli import main
from edgecore.sim import junction
from edgecore.sim.crossings import Comparison, Interval
from edgecore.sim.snapshot import Snapshot
from edgecore.sim.tally import Camera, Messages, Shadows, Tallies

GOOD = Tallies(
    seconds=1.0,
    seed=0,
    devices=22,
    connects=22,
    messages=Messages(36, 36, 36, 0, 0, 0, 0),
    cameras={"north": Camera((Interval(3, 90),), Comparison(1, 1))},
    shadows=Shadows(4, 4, 0, 4, {}),
    timings=1,
    outbox=0,
)
BAD = dataclasses.replace(GOOD, timings=0)
NOW = Snapshot("running", 1.0, None, 22, 22, 36, 36, 36, 0, 0, (0,), (36.0,), True, (), (), {}, 0, {}, 0)  # fmt: skip


class PlayedJunction:
    """Plays a run: gives, or raises, what it was told to."""

    outcome = GOOD
    plans: ClassVar = []

    def __init__(self, plan, root, clock, tell):
        self.plans.append((plan, root))
        self.notes = ("starting",)
        self.started = True
        self.shown = 0
        tell("starting")

    def snapshot(self):
        self.shown += 1
        return NOW if self.shown > 1 else None

    async def run(self, stop):
        if self.outcome == "until told":
            await stop.wait()
            return GOOD
        if self.outcome == "for ever":
            await asyncio.Event().wait()
        async with asyncio.timeout(10):
            while self.shown < 3:  # noqa: ASYNC110  no event tells
                await asyncio.sleep(0.01)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


@pytest.fixture
def play(monkeypatch):
    monkeypatch.setattr(junction, "Junction", PlayedJunction)
    monkeypatch.setattr(verb, "_REFRESH", 0.01)
    monkeypatch.setattr(verb, "_LINE", 0.01)
    monkeypatch.setattr(PlayedJunction, "plans", [])

    def run(outcome, *arguments):
        monkeypatch.setattr(PlayedJunction, "outcome", outcome)
        with pytest.raises(SystemExit) as ended:
            main(["demo", *arguments])
        return ended.value.code

    return run


def test_json_is_all_that_is_printed_and_the_folder_goes(play, capsys):
    assert play(GOOD, "--json", "--for", "1s") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["agree"] is True
    assert "starting" in err
    assert "01 running: 22/22 devices" in err
    ((plan, root),) = PlayedJunction.plans
    assert (plan.duration, plan.outage, plan.kill, plan.seed) == (1.0, 0.0, False, None)
    assert plan.group.name == "traffic-junction"
    assert not root.exists()


def test_what_does_not_agree_ends_with_one(play, capsys):
    assert play(BAD, "--json") == 1
    assert json.loads(capsys.readouterr().out)["reasons"] == ["function: not one timing arrived in the cloud"]


def test_a_person_gets_words(play, capsys):
    assert play(GOOD) == 0
    assert "everything agrees" in capsys.readouterr().out


def test_in_a_terminal_there_is_a_live_summary(play, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert play(GOOD) == 0
    out, err = capsys.readouterr()
    assert "22 of 22" in err
    assert "everything agrees" in out


def test_the_plan_is_what_was_asked_for(play, tmp_path):
    options = ("--for", "2m", "--cloud-outage", "10s", "--kill-core", "--seed", "3", "--dir", str(tmp_path))
    assert play(GOOD, *options) == 0
    ((plan, root),) = PlayedJunction.plans
    assert (plan.duration, plan.outage, plan.kill, plan.seed, root) == (120.0, 10.0, True, 3, tmp_path)


@pytest.mark.parametrize("options", [("--for", "soon"), ("--for", "5s", "--cloud-outage", "5s")])
def test_what_cannot_be_run_is_a_usage_error(play, options):
    assert play(GOOD, *options) == 2
    assert PlayedJunction.plans == []


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (EdgecoreError("the core ended"), 1, "edgecore: the core ended"),
        (ConfigError("g", "", "nothing", "a group"), 78, "edgecore: g: found nothing"),
        (TimeoutError("loop-1 is not connected"), 1, "edgecore: loop-1 is not connected"),
        (TimeoutError(), 1, "edgecore: something did not happen in time"),
        (ExceptionGroup("x", [EdgecoreError("first"), ValueError()]), 1, "edgecore: first"),
    ],
)
def test_what_goes_wrong_is_said(play, capsys, error, code, words):
    assert play(error, "--json") == code
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def interrupt(after, *signals):
    async def send():
        for each in signals:
            await asyncio.sleep(after)
            os.kill(os.getpid(), each)

    return send


@pytest.mark.parametrize(
    ("outcome", "signals", "code"),
    [
        ("until told", [signal.SIGINT], 0),
        ("for ever", [signal.SIGINT, signal.SIGINT], 130),
        ("for ever", [signal.SIGTERM], 130),
    ],
)
def test_ctrl_c_ends_in_order_and_a_second_one_at_once(play, monkeypatch, outcome, signals, code):
    waiting = PlayedJunction.run

    async def run(self, stop):
        sending = asyncio.create_task(interrupt(0.02, *signals)())
        try:
            return await waiting(self, stop)
        finally:
            sending.cancel()

    monkeypatch.setattr(PlayedJunction, "run", run)
    assert play(outcome, "--json") == code
