"""The command line as people use it, and a control API that answers it from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass

import pytest

from edgecore.api import ApiService, ApiSettings
from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, PasswordError
from edgecore.base.group import Row
from edgecore.base.identity import CLOUD, CORE
from edgecore.base.interfaces import DeviceRecord, IssuedCertificate
from edgecore.base.message import Message
from edgecore.cli import main
from edgecore.config.paths import Paths
from edgecore.router import Router


@dataclass
class Done:
    code: int
    out: str
    err: str


@pytest.fixture
def edgecore(capsys, monkeypatch):
    """Run a verb: exit code, data, words. Wide and without colour, as for a pipe."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")

    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return Done(ended.value.code or 0, captured.out, captured.err)

    return run


class Taker:
    principal = CLOUD

    def __init__(self):
        self.taken = []

    def deliver(self, message, qos, retain):
        self.taken.append((message, retain))


class FakeDevices:
    def __init__(self):
        self.known = {}

    async def add(self, name, csr=b""):
        self.known[name] = DeviceRecord(name, ("ab",), (), 1_700_000_000.0)
        return IssuedCertificate(name, b"CERT\n", b"" if csr else b"KEY\n", b"CA\n")

    async def revoke(self, name):
        if name not in self.known:
            raise CertificateError(f"no device {name!r} here: edgecore device list shows all")
        return DeviceRecord(name, (), ("ab",), 1_700_000_000.0)

    def records(self):
        return tuple(self.known.values())


class FakePasswords:
    def __init__(self):
        self.known = {}

    async def set(self, name, password):
        if len(password) < 8:
            raise PasswordError("found a short password")
        self.known[name] = password

    async def remove(self, name):
        return self.known.pop(name, None) is not None

    def names(self):
        return tuple(sorted(self.known))


class Core:
    """What answers on D/run/control.sock. `D` is `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.units = {}
        self.cloud = Taker()
        self.devices = FakeDevices()
        self.passwords = FakePasswords()
        self.router = Router(ManualClock())
        self.router.set_rows([Row(("device:*",), ("to/cloud",), ("cloud",))], {})
        self.router.attach("cloud", self.cloud)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def statuses(self):
        return self.units

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_):
        self.stop()
        self._thread.join(5)

    def stop(self):
        with contextlib.suppress(RuntimeError):  # a test has stopped it, and the loop is closed
            self._loop.call_soon_threadsafe(self._end.set)

    def when_watched(self, *topics):
        """Publish to the first watcher as soon as it is there."""
        self._loop.call_soon_threadsafe(self._publish, topics)

    def _publish(self, topics):
        if not self.router.status()["subscriptions"]:
            self._loop.call_later(0.01, self._publish, topics)
            return
        for topic, payload in topics:
            self.router.publish(Message(topic, payload, 0, CORE))

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        clock = ManualClock()
        run = Paths.under(self.folder).run
        service = ApiService(ApiSettings(), self.router, self.devices, self.passwords, self, run, clock)
        task = asyncio.create_task(service.run(self._ready.set))
        await self._end.wait()
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def core(tmp_path):
    with Core(tmp_path / "core") as core:
        yield core
