"""The command line as people use it, and a control API that answers it from a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, replace

import pytest

from edgecore.api import ApiService, ApiSettings
from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, OutboxError, PasswordError
from edgecore.base.group import Row
from edgecore.base.identity import CLOUD, CORE
from edgecore.base.interfaces import (
    AsideOutcome,
    DeviceCertificate,
    DeviceRecord,
    IssuedCertificate,
    Rotation,
)
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
    """A registry whose certificates are words."""

    def __init__(self):
        self.known = {}
        self.under_way = None
        self.asked = []

    async def add(self, name, csr=b"", *, certificate=b"", days=0):
        return self._grant("add", name, csr, certificate, days)

    async def renew(self, name, csr=b"", *, certificate=b"", days=0):
        self.record(name)
        return self._grant("renew", name, csr, certificate, days)

    def _grant(self, what, name, csr, certificate, days):
        self.asked.append((what, name, csr, certificate, days))
        known = self.known.get(name, DeviceRecord(name, 1_700_000_000.0)).certificates
        fingerprint = f"{len(known) + 0xAB:064x}"
        more = {"issuer": "registered"} if certificate else {"serial": "1f"}
        granted = DeviceCertificate(fingerprint, 1_700_000_000.0, authority="abcdef0123456789", **more)
        self.known[name] = DeviceRecord(name, 1_700_000_000.0, (*known, granted))
        return IssuedCertificate(
            name, certificate or b"CERT\n", b"" if csr or certificate else b"KEY\n", b"CA\n", fingerprint
        )

    async def revoke(self, name, certificate=None):
        self.asked.append(("revoke", name, certificate))
        known = self.record(name)
        gone = [
            replace(each, revoked_at=1_700_000_060.0) if certificate in (None, each.fingerprint) else each
            for each in known.certificates
        ]
        self.known[name] = replace(known, certificates=tuple(gone))
        return self.known[name]

    def record(self, name):
        if name not in self.known:
            raise CertificateError(f"no device {name!r} here: edgecore device list shows all")
        return self.known[name]

    def records(self):
        return tuple(self.known.values())

    def rotation(self):
        return self.under_way

    async def rotate(self):
        self.under_way = Rotation("abc", tuple(self.known))
        return self.under_way

    async def finish_rotation(self, *, force=False):
        self.asked.append(("finish", force))
        if self.under_way.waiting and not force:
            raise CertificateError("found devices that hold nothing of the new authority")
        return self.under_way


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


class FakeAside:
    """Messages that were set aside; those that are `stubborn` can be sent no more."""

    def __init__(self):
        self.kept = {}
        self.stubborn = {}

    async def set_aside(self, after, limit):
        return [one for one in self.kept.values() if one.id > after][:limit]

    async def find_aside(self, name):
        if name not in self.kept:
            raise OutboxError(f"message {name}: it is not set aside")
        return self.kept[name]

    async def retry_aside(self, names):
        return self._take(names, self.stubborn)

    async def drop_aside(self, names):
        return self._take(names, {})

    def _take(self, names, left):
        wanted = list(self.kept) if names is None else names
        left = {
            name: left.get(name, "it is not set aside")
            for name in wanted
            if name in left or name not in self.kept
        }
        gone = [self.kept.pop(name) for name in wanted if name not in left]
        return AsideOutcome(len(gone), left)


class Core:
    """What answers on D/run/control.sock. `D` is `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.units = {}
        self.documents = []
        self.cloud = Taker()
        self.devices = FakeDevices()
        self.passwords = FakePasswords()
        self.aside = FakeAside()
        self.router = Router(ManualClock())
        self.router.set_rows([Row(("device:*",), ("to/cloud",), ("cloud",))], {})
        self.router.attach("cloud", self.cloud)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def statuses(self):
        return self.units

    def shadows(self):
        return self.documents

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
        rooms = (self.router, self.devices, self.passwords, self, self, lambda: self.aside)
        service = ApiService(ApiSettings(), *rooms, run, clock)
        task = asyncio.create_task(service.run(self._ready.set))
        await self._end.wait()
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture
def core(tmp_path):
    with Core(tmp_path / "core") as core:
        yield core
