"""The example function of deploy/traffic-junction: its decisions, and its handler with the sdk replaced."""

import importlib
import sys
from pathlib import Path

import pytest

from edgecore.base.errors import RefusedError
from edgecore.lambdas import sdk

FOLDER = Path(__file__).parents[3] / "deploy" / "traffic-junction" / "functions" / "signal_timing"


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The function's modules, loaded as its worker loads them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("CONTROLLERS", "signal-north, signal-east,signal-south,signal-west")
    yield
    for name in ("app", "timing"):
        sys.modules.pop(name, None)


@pytest.fixture
def timing():
    return importlib.import_module("timing")


@pytest.fixture
def told(monkeypatch):
    sent = []
    monkeypatch.setattr(sdk, "publish", lambda topic, payload, qos=0: sent.append((topic, payload, qos)))
    return sent


@pytest.fixture
def app(told):
    return importlib.import_module("app")


def counts(at, vehicles_in=0, vehicles_out=0, walkers=0, first=0):
    return {
        "camera": "north",
        "frame": int(at * 10),
        "at": at,
        "first_frame": first,
        "counts": {
            "stop-line": {"vehicle": {"in": vehicles_in, "out": vehicles_out}},
            "crosswalk": {"pedestrian": {"in": walkers}} if walkers else {},
        },
    }


def drive(traffic, seconds, per_hour, start=0.0, base=0, first=0):
    """Messages once a second at a steady flow; gives the last time and count."""
    for second in range(seconds + 1):
        count = base + round(second * per_hour / 3600)
        traffic.take(counts(start + second, count, first=first))
    return start + seconds, base + round(seconds * per_hour / 3600)


def test_quiet_streets_get_the_shortest_cycle_in_equal_parts(timing):
    plan = timing.plan_timing({}, walking=False)
    assert plan == timing.Timing(40, {"north": 15, "south": 15, "east": 15, "west": 15}, 0)


def test_green_follows_the_busier_approach_of_a_stage(timing):
    plan = timing.plan_timing({"north": 900, "south": 100, "east": 300, "west": 0}, walking=False)
    assert plan.green["north"] == plan.green["south"] > plan.green["east"] == plan.green["west"]
    assert plan.cycle == plan.green["north"] + plan.green["east"] + 10


def test_pedestrians_get_their_stage_when_they_ask(timing):
    quiet, walking = (timing.plan_timing({"north": 300, "east": 300}, walking=on) for on in (False, True))
    assert (quiet.walk, walking.walk) == (0, timing.WALK)
    assert walking.cycle == sum(walking.green[each] for each in ("north", "east")) + 10 + timing.WALK


def test_more_than_the_junction_can_take_gives_the_longest_cycle(timing):
    plan = timing.plan_timing({"north": 5000, "east": 5000}, walking=True)
    assert plan.cycle == timing.MAX_CYCLE


def test_small_differences_do_not_change_the_plan(timing):
    plan = timing.plan_timing({"north": 600, "east": 300}, walking=False)
    near = timing.plan_timing({"north": 610, "east": 300}, walking=False)
    far = timing.plan_timing({"north": 1000, "east": 300}, walking=False)
    walk = timing.plan_timing({"north": 600, "east": 300}, walking=True)
    assert timing.settled(None, plan) is plan
    assert timing.settled(plan, near) is plan
    assert timing.settled(plan, far) is far
    assert timing.settled(plan, walk) is walk


def test_flows_are_learned_from_counts_that_grow(timing):
    traffic = timing.Traffic({"north": 300, "south": 300})
    drive(traffic, 600, 900)
    assert traffic.flows["north"] == pytest.approx(900, rel=0.1)
    assert traffic.flows["south"] == pytest.approx(0, abs=5)


@pytest.mark.parametrize("first", [0, 6000])
def test_counts_that_start_again_from_0_are_no_flow_backwards(timing, first):
    traffic = timing.Traffic({"north": 300})
    at, count = drive(traffic, 600, 900)
    assert count == 150
    drive(traffic, 60, 900, start=at + 1, base=2, first=first)
    assert traffic.flows["north"] == pytest.approx(900, rel=0.15)


def test_a_new_worker_takes_the_first_counts_only_as_where_they_stand(timing):
    traffic = timing.Traffic({"north": 300})
    at = traffic.take(counts(1000.0, 100_000, walkers=50))
    assert traffic.flows["north"] == 300
    assert not traffic.walking(at)


def test_lost_messages_and_a_clock_that_jumps_back_harm_nothing(timing):
    traffic = timing.Traffic({"north": 300})
    traffic.take(counts(1000.0, 0))
    traffic.take(counts(1600.0, 150))
    assert traffic.flows["north"] == pytest.approx(900, rel=0.01)
    traffic.take(counts(10.0, 151))
    traffic.take(counts(70.0, 166))
    assert traffic.flows["north"] == pytest.approx(900, rel=0.01)


def test_walkers_ask_for_a_while(timing):
    traffic = timing.Traffic({})
    traffic.take(counts(0.0))
    traffic.take(counts(1.0, walkers=1))
    assert traffic.walking(1.0)
    assert traffic.walking(1.0 + timing.DEMAND)
    assert not traffic.walking(1.1 + timing.DEMAND)


def test_the_opposite_approach_is_learned_from_what_leaves_until_it_has_a_camera(timing):
    traffic = timing.Traffic({"north": 0, "south": 0})
    traffic.take(counts(0.0))
    traffic.take(counts(600.0, 0, 100))
    assert traffic.flows["south"] == pytest.approx(600, rel=0.01)
    south = {**counts(600.0, 0), "camera": "south"}
    traffic.take(south)
    traffic.take(counts(1200.0, 0, 100))
    assert traffic.flows["south"] == pytest.approx(600, rel=0.01)


@pytest.mark.parametrize("event", [{}, {"camera": "north", "at": 1, "first_frame": 0, "counts": 5}])
def test_something_else_than_counts_is_an_error(timing, event):
    with pytest.raises((KeyError, TypeError)):
        timing.Traffic({}).take(event)


def test_the_handler_tells_each_controller_its_part_once(app, told):
    result = app.handler(counts(0.0), None)
    assert result["changed"] is True
    assert [topic for topic, _, _ in told] == [
        f"$aws/things/signal-{approach}/shadow/update" for approach in ("north", "east", "south", "west")
    ]
    part = {"cycle": result["cycle"], "green": result["green"]["north"], "walk": 0}
    assert told[0][1:] == ({"state": {"desired": part}}, 1)
    told.clear()
    again = app.handler(counts(1.0), None)
    assert (again["changed"], told) == (False, [])
    assert again["cycle"] == result["cycle"]


def test_a_new_plan_is_told_when_traffic_changes(app, told):
    for second in range(600):
        result = app.handler(counts(float(second), second), None)
    assert result["flow"]["north"] > 3000
    assert result["green"]["north"] > result["green"]["east"]
    assert 8 <= len(told) <= 80


def test_a_controller_that_could_not_be_told_is_told_at_the_next_event(app, told, monkeypatch):
    def refuse(topic, payload, qos=0):
        raise RefusedError("full")

    with monkeypatch.context() as patched:
        patched.setattr(sdk, "publish", refuse)
        with pytest.raises(RefusedError):
            app.handler(counts(0.0), None)
    assert app.handler(counts(1.0), None)["changed"] is True
    assert len(told) == 4


async def test_it_runs_in_a_worker(start, bus, tmp_path, told):
    """The real files, in a real worker, started from a folder of their own."""
    files = {file.name: file.read_text() for file in FOLDER.glob("*.py")}
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "timing.py").write_text(files["timing.py"])
    house = await start(files["app.py"], environment={"CONTROLLERS": "signal-north"})
    house.send("f", b'{"camera":"north","frame":1,"at":1.0,"first_frame":0,"counts":{}}', qos=0)
    (desired,) = await bus.wait_for(1, "$aws/things/signal-north/shadow/update")
    (result,) = await bus.wait_for(1, "out")
    assert (desired.qos, desired.sender.id, result.qos) == (1, "function:f", 0)
    assert desired.payload == b'{"state":{"desired":{"cycle":40,"green":15,"walk":0}}}'
