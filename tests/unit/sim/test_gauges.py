"""What is looked at while the junction runs, with a stage of plain records."""

import asyncio
from types import SimpleNamespace

import pytest

from edgecore.base.group import CameraSpec
from edgecore.sim import gauges as module
from edgecore.sim.gauges import Gauges
from edgecore.sim.observer import Telemetry
from edgecore.sim.sequences import SequenceSet
from edgecore.sim.watch import FrameRecord

TOPIC = "junction/north"
STATE = {"desired": {"green": 9}, "reported": {"green": 9}}


def status(records):
    uplink = {"connected": True, "outbox": {"records": records}}
    return {"units": {"uplink": {"state": "running", "restarts": 0, "status": uplink}}}


class Shadows:
    """Gives copies of a shadow, or no answer."""

    def __init__(self, thing="signal-1"):
        self.thing = thing
        self.state = STATE
        self.applied = {"green": 9}

    async def shadow(self, *_):
        if self.state is TimeoutError:
            raise TimeoutError
        return self.state


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.setattr(module, "_LOOK", 0.01)
    monkeypatch.setattr(module, "_SHADOWS_EVERY", 0.01)
    depths = iter([3, 9, None, 0])

    async def ask():
        depth = next(depths, 0)
        return None if depth is None else status(depth)

    cloud = Shadows()
    sensor = SimpleNamespace(published=8, acknowledged=SequenceSet())
    return SimpleNamespace(
        core=SimpleNamespace(status=ask),
        fleet=SimpleNamespace(
            sensors=[sensor], controllers=[Shadows()], devices=[SimpleNamespace(connected=True)]
        ),
        observer=SimpleNamespace(shadow=cloud.shadow, telemetry=Telemetry([]), timing={}, timings=4),
        watch=SimpleNamespace(cameras={TOPIC: FrameRecord()}),
        group=SimpleNamespace(cameras={"north": CameraSpec("north", "synthetic:traffic", TOPIC, "m.onnx")}),
        cloud_copy=cloud,
    )


async def looked(gauges, eventually, true):
    tasks = [asyncio.create_task(gauges.look()), asyncio.create_task(gauges.look_at_shadows())]
    await eventually(true)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_the_depth_of_the_outbox_is_followed_also_while_nobody_answers(stage, eventually):
    gauges = Gauges(stage)
    await looked(gauges, eventually, lambda: gauges.drained)
    assert gauges.peak == 9
    assert [depth for depth in gauges.outbox if depth] == [3, 9, 9]  # the third look had no answer


async def test_rates_are_taken_over_some_looks(stage, eventually):
    gauges = Gauges(stage)
    assert gauges.frame_rate(TOPIC) == 0.0

    async def flow():
        for number in range(1, 200):
            stage.fleet.sensors[0].acknowledged.add(number)
            stage.watch.cameras[TOPIC].frame = number
            await asyncio.sleep(0.005)

    flowing = asyncio.create_task(flow())
    await looked(gauges, eventually, lambda: gauges.rates[-1] > 0 and gauges.frame_rate(TOPIC) > 0)
    flowing.cancel()
    await asyncio.wait([flowing])
    assert gauges.acknowledged > 0


async def test_shadows_are_compared_and_once_equal_they_count(stage, eventually):
    gauges = Gauges(stage)
    assert gauges.differing == {"signal-1": "not looked at"}
    await gauges.compare_shadows()
    assert (gauges.differing, gauges.converged) == ({"signal-1": ""}, {"signal-1"})
    stage.cloud_copy.state = {"desired": {"green": 7}}
    await gauges.compare_shadows()
    assert gauges.differing["signal-1"].startswith("desired: here")
    assert gauges.converged == {"signal-1"}
    stage.cloud_copy.state = TimeoutError
    await gauges.compare_shadows()
    assert gauges.differing["signal-1"] == "no answer"


async def test_a_snapshot_holds_the_moment(stage, eventually):
    gauges = Gauges(stage)
    await looked(gauges, eventually, lambda: gauges.drained)
    now = gauges.snapshot("running", 4.0, None, ["a note"])
    assert (now.phase, now.seconds, now.devices, now.connected, now.published) == ("running", 4.0, 1, 1, 8)
    assert (now.outbox, now.cloud_connected, now.timings, now.units) == (0, True, 4, {"uplink": "running"})
    assert (now.cameras[0].name, now.controllers[0].applied) == ("north", {"green": 9})
    assert now.notes == ("a note",)
