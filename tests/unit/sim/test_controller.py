"""A signal controller against the simulated cloud's shadows, by way of a link that can be cut."""

import json

import pytest

from edgecore.sim import controller as module
from edgecore.sim import device
from edgecore.sim.controller import Controller, merged, shadow_prefix, unreported, wanted
from edgecore.sim.device import Endpoint

# paho leaves a socket to the garbage collector when the peer resets it during the handshake.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "CHANGEOVER", 0.01)
    monkeypatch.setattr(device, "_RECONNECT", (0.05, 0.1))


def controller(cloud, thing, version="5"):
    return Controller(thing, Endpoint("127.0.0.1", cloud.link.port), cloud.credentials(thing), version)


def desire(client, thing, **values):
    client.publish(f"{shadow_prefix(thing)}/update", json.dumps({"state": {"desired": values}}).encode())


@pytest.mark.parametrize(
    ("desired", "applied", "changes"),
    [
        ({"green": 30}, {}, {"green": 30}),
        ({"green": 30}, {"green": 30}, {}),
        ({"green": 30}, {"green": 20, "walk": 8}, {"green": 30}),
        ({"plan": {"a": 1, "b": 2}}, {"plan": {"a": 1, "b": 3}}, {"plan": {"b": 2}}),
        ({"plan": {"a": 1}}, {"plan": {"a": 1, "b": 3}}, {}),
        ({"plan": {"a": 1}}, {"plan": 7}, {"plan": {"a": 1}}),
        ({"list": [1, 2]}, {"list": [1]}, {"list": [1, 2]}),
    ],
)
def test_what_is_wanted_is_what_differs(desired, applied, changes):
    assert wanted(desired, applied) == changes
    assert wanted(desired, merged(applied, changes)) == {}


def test_merging_keeps_what_is_not_named():
    assert merged({"a": 1, "plan": {"b": 2, "c": 3}}, {"plan": {"c": 4}}) == {
        "a": 1,
        "plan": {"b": 2, "c": 4},
    }


def test_the_delta_is_what_was_not_reported():
    assert unreported({"desired": {"a": 1, "b": 2}, "reported": {"a": 1}}) == {"b": 2}
    assert unreported({"reported": {"a": 1}}) == {}


@pytest.mark.parametrize(("version", "thing"), [("5", "signal-1"), ("3.1.1", "signal-2")])
async def test_it_does_what_is_desired_and_says_so(cloud, eventually, version, thing):
    operator, one = cloud.device("loop-1"), controller(cloud, thing, version)
    async with operator.running(), one.device.running():
        await operator.until_connected(10)
        await one.device.until_connected(10)
        desire(operator, thing, green=30, walk=8)
        await eventually(lambda: one.applied == {"green": 30, "walk": 8})
        desire(operator, thing, green=40)
        await eventually(lambda: one.applied == {"green": 40, "walk": 8})
        await eventually(lambda: not one.device.waiting)
        state = await one.shadow(10)
    assert state == {"desired": {"green": 40, "walk": 8}, "reported": {"green": 40, "walk": 8}}
    assert one.deltas >= 2
    assert one.rejections == []


async def test_what_was_desired_while_it_was_away_is_done_when_it_is_back(cloud, eventually):
    operator = cloud.device("loop-2")
    async with operator.running():
        await operator.until_connected(10)
        desire(operator, "signal-3", green=15)
        await eventually(lambda: not operator.waiting)
        one = controller(cloud, "signal-3")
        async with one.device.running():
            await eventually(lambda: one.applied == {"green": 15} and one.reports == 1)
            assert one.deltas == 0  # it learned it by asking


async def test_a_shadow_that_is_not_there_yet_is_made(cloud, eventually):
    one = controller(cloud, "signal-4")
    async with one.device.running():
        await eventually(lambda: one.reports == 1)
        await eventually(lambda: not one.device.waiting)
        assert await one.shadow(10) == {"reported": {}} or await one.shadow(10) == {}


async def test_a_report_that_was_lost_is_made_again(cloud, eventually):
    operator, one = cloud.device("loop-3"), controller(cloud, "signal-5")
    async with operator.running(), one.device.running():
        await operator.until_connected(10)
        await one.device.until_connected(10)
        desire(operator, "signal-5", green=30)
        await eventually(lambda: one.applied == {"green": 30} and not one.device.waiting)
        update = {"state": {"reported": None}}
        operator.publish(f"{shadow_prefix('signal-5')}/update", json.dumps(update).encode())
        await eventually(lambda: not operator.waiting)
        cloud.link.cut()
        await eventually(lambda: not one.device.connected)
        cloud.link.restore()
        await eventually(lambda: one.device.connected and one.reports >= 2 and not one.device.waiting)
        assert (await one.shadow(10))["reported"] == {"green": 30}


async def test_what_the_shadow_service_rejects_is_remembered(cloud, eventually):
    operator, one = cloud.device("loop-4"), controller(cloud, "signal-6")
    async with operator.running(), one.device.running():
        await operator.until_connected(10)
        await one.device.until_connected(10)
        operator.publish(f"{shadow_prefix('signal-6')}/update", b'{"state": 7}')
        await eventually(lambda: one.rejections)
    assert one.rejections[0].startswith("400 ")


async def test_no_answer_in_time_is_an_error(cloud):
    one = controller(cloud, "signal-6")
    cloud.link.cut()
    async with one.device.running():
        with pytest.raises(TimeoutError):
            await one.shadow(0.05)
