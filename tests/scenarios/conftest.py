"""Real daemons, real TLS, real clients: what the scenarios share.

Everything goes through public doors: `edgecore` verbs, MQTT, the control socket. Nothing is waited for
without a deadline, and what was started is ended by its own pid.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from edgecore.sim.core import Core
from edgecore.sim.device import Device
from edgecore.sim.simcloud import SimulatedCloud

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
# Seconds. Only a fault takes as long.
WITHIN = 20


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.scenario)


class Site:
    """A core, its group, and clients with certificates that it issued."""

    def __init__(self, folder):
        self.folder = folder
        self.log = folder / "core.log"
        self.core = Core(folder / "core", folder / "certs", self.log)
        self.group = folder / "group"

    def write_group(self, manifest, example="", **files):
        """A group of its own: `manifest` after the example's, and files by their relative path."""
        if example:
            shutil.copytree(DEPLOY / example, self.group)
            manifest = (self.group / "group.toml").read_text() + manifest
        self.group.mkdir(exist_ok=True)
        (self.group / "group.toml").write_text(manifest)
        for name, content in files.items():
            path = self.group / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)

    async def start(self, *devices, group=None):
        await self.core.initialise("test-core")
        await self.core.start(group or self.group)
        await self.core.add_devices(devices)

    def device(self, name, **options):
        return Device(name, self.core.endpoint, self.core.credentials(name), **options)

    @asynccontextmanager
    async def connected(self, name, **options):
        async with self.device(name, **options).running() as device:
            await device.until_connected(WITHIN)
            yield device

    async def status(self, *path):
        value = (await self.core.status())["units"]
        for key in path:
            value = value[key]
        return value

    def log_lines(self, *words):
        return [line for line in self.log.read_text().splitlines() if all(word in line for word in words)]


@pytest.fixture
async def site(tmp_path):
    """A site whose core, if it was started, ends in order at the end of the test."""
    made = Site(tmp_path)
    yield made
    code = await made.core.stop()
    assert code == 0, made.log.read_text()[-2000:]


@pytest.fixture
async def cloud(tmp_path):
    """A simulated cloud in a process of its own, with an observer among its things."""
    made = SimulatedCloud(tmp_path / "cloud", tmp_path / "cloud.log", ["observer"])
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def eventually():
    """Look until it is true and give it; what is looked at may be a coroutine."""

    async def wait(look, within=WITHIN):
        async with asyncio.timeout(within):
            while True:
                found = look()
                if asyncio.iscoroutine(found):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.05)

    return wait


@pytest.fixture
def edgecore_verb():
    """Run a verb to its end: (exit code, standard output, standard error)."""

    def run(*arguments, within=60):
        argv = [sys.executable, "-m", "edgecore", *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=within, check=False)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def demonstration(tmp_path):
    """Run `edgecore demo --json`: (exit code, the JSON object, standard error). Ended when it is late."""

    def run(*arguments, within=80):
        argv = [sys.executable, "-m", "edgecore", "demo", "--json", "--dir", str(tmp_path / "d"), *arguments]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                out, err = process.communicate(timeout=within)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGTERM)  # it ends what it started
                out, err = process.communicate(timeout=30)
        return process.returncode, json.loads(out) if out else None, err

    return run
