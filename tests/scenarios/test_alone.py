"""A core that has no cloud: everything local works."""

import asyncio
import json

import pytest

from edgecore.sim.controller import Controller

pytestmark = pytest.mark.xdist_group("scenario")

ROWS = """
[devices.sensor-2]
[functions.double]
isolation = "none"
source = "functions/double"
handler = "app.handler"
result = "doubled"
[[routes]]
from = "device:sensor-2"
topic = "number"
to = "function:double"
[[routes]]
from = "function:double"
topic = "doubled"
to = "device:sensor-2"
"""
APP = """
def handler(event, context):
    return 2 * event
"""


async def test_devices_functions_and_shadows_work_without_a_cloud(site, eventually, edgecore_verb):
    site.write_group(ROWS, example="sensor-gateway", **{"functions/double/app.py": APP})
    await site.start("sensor-1", "sensor-2")
    heard, answers = [], []
    controller = Controller("sensor-1", site.core.endpoint, site.core.credentials("sensor-1"), "5")
    async with (
        site.connected(
            "sensor-2", subscriptions=["doubled"], received=lambda _topic, payload: heard.append(payload)
        ) as device,
        controller.device.running(),
    ):
        await controller.device.until_connected(20)
        device.publish("number", b"21")
        await eventually(lambda: heard == [b"42"])

        # Towards the cloud: acknowledged, for there is none to wait for.
        device.publish("dt/sensor-2/x", b"1", acknowledged=answers.append)
        await eventually(lambda: answers == [True])

        desired = json.dumps({"state": {"desired": {"lamp": "on"}}})
        publish = ("pub", "$aws/things/sensor-1/shadow/update", desired, "--dir", site.core.folder)
        code, _, err = await asyncio.to_thread(edgecore_verb, *publish)
        assert code == 0, err
        await eventually(lambda: controller.applied == {"lamp": "on"} and not controller.device.waiting)
        assert await controller.shadow(20) == {"desired": {"lamp": "on"}, "reported": {"lamp": "on"}}
    code, out, err = await asyncio.to_thread(edgecore_verb, "status", "--json", "--dir", site.core.folder)
    assert code == 0, err
    states = {name: unit["state"] for name, unit in json.loads(out)["units"].items()}
    assert set(states.values()) == {"running"}


async def test_shadows_and_devices_survive_a_restart(site, eventually):
    site.write_group("", example="sensor-gateway")
    await site.start("sensor-1")
    controller = Controller("sensor-1", site.core.endpoint, site.core.credentials("sensor-1"), "3.1.1")
    async with controller.device.running():
        await controller.device.until_connected(20)
        update = json.dumps({"state": {"reported": {"position": 7}}}).encode()
        controller.device.publish("$aws/things/sensor-1/shadow/update", update)
        await eventually(lambda: not controller.device.waiting)
        await site.core.child.kill()
        await site.core.start(site.group)
        await eventually(lambda: controller.device.connects == 2)
        state = await controller.shadow(20)
    assert state["reported"]["position"] == 7
