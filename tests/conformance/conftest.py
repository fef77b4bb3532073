"""The real listener on real sockets, for the foreign clients: made here and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from edgecore.base.clock import SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import KeptSessions, ListenerService, ListenerSettings, Sessions, TlsFiles
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.tls import fingerprint_of
from edgecore.router import Router
from edgecore.store import Database, SessionStore, StoreSettings


class Book(dict):
    def lookup(self, fingerprint):
        return self.get(fingerprint)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """The core's own authority, and certificates for `one` and `two`."""
    folder = tmp_path_factory.mktemp("pki")
    authority = CertificateAuthority.load_or_create(folder)
    authority.ensure_server_certificate(())
    for name in ("one", "two"):
        issued = authority.issue_device(name)
        (folder / f"{name}.pem").write_bytes(issued.certificate)
        (folder / f"{name}.key").write_bytes(issued.key)
    return folder


@pytest.fixture
async def service(pki, tmp_path):
    """A listener that keeps sessions, on a disk of its own."""
    specs = {name: DeviceSpec(name, name) for name in ("one", "two")}
    clock = SystemClock()
    router = Router(clock)
    router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], specs)
    book = Book()
    for name in specs:
        book[fingerprint_of(ssl.PEM_cert_to_DER_cert((pki / f"{name}.pem").read_text()))] = name
    files = TlsFiles(pki / "ca.pem", pki / "server.pem", pki / "server.key")
    settings = ListenerSettings("127.0.0.1", 0, websocket=False)
    async with Database(tmp_path / "core.db", StoreSettings(reserve_bytes=0)) as database:
        kept = KeptSessions(SessionStore(database), router, settings, clock)
        await kept.open()
        listener = ListenerService(settings, router, book, specs.get, files, clock, sessions=Sessions(kept))
        ready = asyncio.Event()
        task = asyncio.create_task(listener.run(ready.set))
        async with asyncio.timeout(5):
            await ready.wait()
        yield listener
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def crt():
    """What awscrt's clients stand on: one thread of its event loop."""
    io = pytest.importorskip("awscrt.io")
    group = io.EventLoopGroup(1)
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))
