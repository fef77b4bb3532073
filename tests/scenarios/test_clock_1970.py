"""A Pi without a clock: it starts in 1970, serves its devices, says why there is no cloud, and connects once the time is set."""

import asyncio
from pathlib import Path

import pytest

from edgecore.sim.simcloud import SimulatedCloud

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "clock"
[devices.gate]
[[routes]]
from = "device:gate"
topic = "dt/#"
to = ["cloud", "device:gate"]
"""
SETTINGS = """
[uplink]
reconnect_min = "100ms"
reconnect_max = "500ms"
"""
# Debian: faketime. It gives one process another clock; the monotonic one stays.
LIBRARY = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
# Seconds. The library holds back a failed handshake for 10 to 30 s, against those who measure time.
PATIENCE = 60


@pytest.fixture
async def cloud(tmp_path):
    made = SimulatedCloud(tmp_path / "cloud", tmp_path / "cloud.log", [])
    await made.start()
    yield made
    await made.stop()


@pytest.mark.skipif(not LIBRARY, reason="libfaketime is not installed (Debian: faketime)")
async def test_devices_are_served_and_the_cloud_waits(site, cloud, eventually, tmp_path, monkeypatch):
    clock = tmp_path / "clock"
    await asyncio.to_thread(clock.write_text, "@1970-01-01 00:05:00\n")
    site.write_group(GROUP)
    await site.core.initialise("test-core", *cloud.options_for(cloud.endpoint.port))
    await site.core.configure(SETTINGS)
    with monkeypatch.context() as environment:
        for name, value in {
            "LD_PRELOAD": str(LIBRARY[0]),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }.items():
            environment.setenv(name, value)
        await site.core.start(site.group)
    await site.core.add_devices(["gate"])
    heard = []
    async with site.connected(
        "gate", subscriptions=["dt/#"], received=lambda *what: heard.append(what)
    ) as gate:
        gate.publish("dt/gate", b"in 1970")
        await eventually(lambda: heard == [("dt/gate", b"in 1970")])

        async def uplink(key):
            return await site.status("uplink", "status", key)

        async def says_why():
            return await uplink("cause") == "clock not set"

        await eventually(says_why)
        assert "1970-01-01" in await uplink("reason")
        assert (await uplink("outbox"))["records"] == 1

        await asyncio.to_thread(clock.write_text, "+0\n")

        async def arrived():
            return (await uplink("outbox"))["sent"] == 1

        await eventually(arrived, PATIENCE)
