"""User code that fails: reported, replaced, and in nobody's way."""

import json

import pytest

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "site"
[devices.sensor-1]
[functions.troubled]
isolation = "none"
source = "functions/troubled"
handler = "app.handler"
result = "results/troubled"
timeout = "500ms"
[[routes]]
from = "device:sensor-1"
topic = "work/#"
to = "function:troubled"
[[routes]]
from = "function:troubled"
topic = "results/#"
to = "device:sensor-1"
[[routes]]
from = "device:sensor-1"
topic = "echo/#"
to = "device:sensor-1"
"""
APP = """
import os, time

def handler(event, context):
    if event["do"] == "raise":
        raise ValueError("the lamp is broken")
    if event["do"] == "hang":
        while True:
            time.sleep(0.01)
    if event["do"] == "exit":
        os._exit(3)
    return {"did": event["do"], "pid": os.getpid()}
"""


async def test_a_function_that_raises_hangs_or_dies_is_reported_and_replaced(site, eventually):
    site.write_group(GROUP, **{"functions/troubled/app.py": APP})
    await site.start("sensor-1")
    heard = {"results/troubled": [], "echo/x": []}

    async with site.connected(
        "sensor-1",
        subscriptions=["results/#", "echo/#"],
        received=lambda topic, payload: heard[topic].append(payload),
    ) as device:

        async def ask(do):
            """Ask the function, then see that messages flow beside it."""
            device.publish("work/now", json.dumps({"do": do}).encode())
            echoes = len(heard["echo/x"])
            device.publish("echo/x", b"still here")
            await eventually(lambda: len(heard["echo/x"]) > echoes)

        async def result(count):
            await eventually(lambda: len(heard["results/troubled"]) == count)
            return json.loads(heard["results/troubled"][-1])

        async def counted(what):
            status = await site.status("lambdas", "status", "functions", "troubled")
            return status[what]

        await ask("work")
        first = await result(1)
        assert first["did"] == "work"

        await ask("raise")
        await eventually(lambda: counted("errors"))
        assert site.log_lines("troubled", "ValueError: the lamp is broken")
        await ask("work again")
        assert (await result(2))["pid"] == first["pid"]  # an error of the handler costs no worker

        await ask("hang")
        await eventually(lambda: counted("timeouts"))
        assert site.log_lines("troubled", "timed out after 0.50 seconds")
        await ask("work after a hang")
        second = await result(3)
        assert second["pid"] != first["pid"]

        await ask("exit")
        await eventually(lambda: counted("crashes"))
        await ask("work after a death")
        third = await result(4)
        assert third["pid"] != second["pid"]
        assert third["did"] == "work after a death"
        assert device.connects == 1
    assert await site.status("lambdas", "restarts") == 0
    assert await site.status("lambdas", "state") == "running"
