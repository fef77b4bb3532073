"""`edgecore outbox`, with the real core: what the cloud refuses is looked at, sent again and dropped."""

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from edgecore.cli import exit_codes
from edgecore.sim.device import Device

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "site"
[devices.gate]
[[routes]]
from = "device:gate"
topic = "dt/#"
to = "cloud"
"""


@asynccontextmanager
async def watched(cloud):
    """What arrives in the cloud below dt/."""
    arrived = []
    observer = Device(
        "observer",
        cloud.endpoint,
        cloud.credentials("observer"),
        subscriptions=["dt/#"],
        received=lambda _, payload: arrived.append(payload),
    )
    async with observer.running():
        await observer.until_connected(20)
        yield arrived


async def test_list_show_retry_and_drop(site, cloud, eventually, edgecore_verb):
    site.write_group(GROUP)
    await site.core.initialise("test-core", *cloud.options_for(cloud.endpoint.port))
    await site.core.start(site.group)
    await site.core.add_devices(["gate"])

    async def verb(*arguments, code=0):
        given = ("outbox", *arguments, "--dir", site.core.folder)
        found, out, err = await asyncio.to_thread(edgecore_verb, *given)
        assert found == code, err
        return out, err

    async def kept():
        return json.loads((await verb("list", "--json"))[0])["messages"]

    async def set_aside(number):
        """Wait until all that was sent is settled, and so many are set aside."""

        async def look():
            outbox = await site.status("uplink", "status", "outbox")
            return (outbox["records"], outbox["set_aside"]) == (0, number)

        await eventually(look)

    assert await kept() == []
    await cloud.control.fault("deny", "iot:Publish=topic/dt/*")
    async with site.connected("gate") as gate:
        for payload in (b"one", b"two", b"three"):
            gate.publish("dt/gate", payload)
        await set_aside(3)

    first = await kept()
    assert [(one["topic"], one["bytes"], one["sender"]) for one in first] == [
        ("dt/gate", size, "device:gate") for size in (3, 3, 5)
    ]
    assert {one["reason"] for one in first} == {"the cloud refused the message with 0x87"}
    out, err = await verb("show", first[1]["id"])
    assert (out, "from      device:gate, QoS 1" in err) == ("two\n", True)

    # The cloud refuses them again: they come back, under ids of their own.
    out, err = await verb("retry", "--all")
    assert "3 messages in the outbox again" in err
    await set_aside(3)
    again = await kept()
    assert not {one["id"] for one in first} & {one["id"] for one in again}
    out, err = await verb("retry", first[0]["id"], code=exit_codes.FAILED)
    assert "it is not set aside: `edgecore outbox list` shows what is" in err

    # A kill leaves them as they are.
    await site.core.child.kill()
    await site.core.start(site.group)
    assert await kept() == again

    await cloud.control.heal("deny")
    async with watched(cloud) as arrived:
        one, two, _ = (message["id"] for message in again)
        await verb("retry", one, one)
        await eventually(lambda: arrived == [b"one"])
        out, err = await verb("drop", two)
        assert "1 message dropped" in err
        await verb("retry", "--all")
        await eventually(lambda: arrived == [b"one", b"three"])
        assert await kept() == []
        await set_aside(0)
        assert arrived == [b"one", b"three"]
    out, err = await verb("show", "three", code=exit_codes.FAILED)
    assert "'three' is no message's id: expected one as 3-17, from `edgecore outbox list`" in err
