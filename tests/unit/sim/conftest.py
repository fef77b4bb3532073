"""A simulated cloud in a process of its own, for what speaks MQTT over TLS. One for all tests of a worker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import pytest

from edgecore.sim.device import Credentials, Device, Endpoint
from edgecore.sim.faults import Proxy

THINGS = [
    *("loop-1", "loop-2", "loop-3", "loop-4"),
    *("signal-1", "signal-2", "signal-3", "signal-4", "signal-5", "signal-6", "observer"),
]
PROGRAM = """
import asyncio, sys
from pathlib import Path
from edgecore.sim.cloud.server import serve
asyncio.run(serve(Path(sys.argv[1]), 0, things=sys.argv[2:]))
"""


class RunningCloud:
    """Where it is, certificates for THINGS, and clients of it, if wanted through a link that can be cut."""

    def __init__(self, folder, port):
        self.folder = folder
        self.endpoint = Endpoint("127.0.0.1", port)
        self.link = Proxy("127.0.0.1", port)

    def credentials(self, name):
        things = self.folder / "things"
        return Credentials(things / f"{name}.cert.pem", things / f"{name}.key.pem", self.folder / "ca.pem")

    def device(self, name, **options):
        return Device(
            name,
            Endpoint("127.0.0.1", self.link.port or self.endpoint.port),
            self.credentials(name),
            **options,
        )


@pytest.fixture(scope="session")
def cloud_process(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), *THINGS])
    note = folder / "cloud.json"
    due = time.monotonic() + 20
    while not note.exists():
        assert process.poll() is None, "the simulated cloud ended"
        assert time.monotonic() < due, "the simulated cloud did not start"
        time.sleep(0.02)
    yield folder, json.loads(note.read_text())["port"]
    process.terminate()
    process.wait(10)


@pytest.fixture
async def cloud(cloud_process):
    """The cloud, reached through `cloud.link`."""
    running = RunningCloud(*cloud_process)
    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(running.link.run(ready.set))
        await ready.wait()
        yield running
        task.cancel()


@pytest.fixture
def eventually():
    """Wait until something is true; ten seconds are for a busy machine."""

    async def wait(true):
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110  what is waited for gives no event
                await asyncio.sleep(0.01)

    return wait
