"""The port for user names and passwords, with the clients that people use."""

from __future__ import annotations

import asyncio
import contextlib
import shutil

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edgecore.base.clock import SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.listener.books import open_books
from edgecore.listener.pki import CertificateAuthority
from edgecore.router import Router
from edgecore.store import Dictionary

# What a stuck client is waited for; nothing here waits this long when it works.
PATIENCE = 20
PASSWORD = "correct horse"
VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])


class House:
    """A listener that lets the device `lamp` in with its password. `ca`: what a client must trust."""

    def __init__(self, folder):
        authority = CertificateAuthority.load_or_create(folder)
        certificate, key = authority.ensure_server_certificate(())
        self.ca = folder / "ca.pem"
        self.dictionaries = [
            Dictionary.open(folder / name) for name in ("registry.sqlite", "passwords.sqlite")
        ]
        self.books = open_books(*self.dictionaries, authority, SystemClock())
        specs = {"lamp": DeviceSpec("lamp", "lamp")}
        router = Router(SystemClock())
        router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], specs)
        self.service = ListenerService(
            ListenerSettings("127.0.0.1", 0, websocket=False, passwords=True, password_port=0),
            router,
            self.books.registry,
            specs.get,
            TlsFiles(self.ca, certificate, key),
            SystemClock(),
            passwords=self.books.passwords,
        )

    @property
    def port(self):
        return self.service.ports["password"]


@pytest.fixture
async def house(tmp_path):
    house = await asyncio.to_thread(House, tmp_path)
    await house.books.passwords.set("lamp", PASSWORD.encode())
    ready = asyncio.Event()
    task = asyncio.create_task(house.service.run(ready.set))
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
    yield house
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    for each in house.dictionaries:
        await asyncio.to_thread(each.close)


@contextlib.asynccontextmanager
async def client(house, version, password):
    """A paho client under way, and the queue of what happens to it."""
    loop, events = asyncio.get_running_loop(), asyncio.Queue()

    def put(*event):
        loop.call_soon_threadsafe(events.put_nowait, event)

    paho_client = paho.Client(CallbackAPIVersion.VERSION2, "paho-lamp", protocol=version)
    paho_client.tls_set(house.ca)
    paho_client.username_pw_set("lamp", password)
    paho_client.on_connect = lambda _c, _u, _f, reason, _p: put(str(reason))
    paho_client.on_subscribe = lambda *_: put("subscribed")
    paho_client.on_message = lambda _c, _u, message: put(message.topic, message.payload)
    try:
        await asyncio.to_thread(paho_client.connect, "localhost", house.port)
        paho_client.loop_start()
        async with asyncio.timeout(PATIENCE):
            yield paho_client, events
    finally:
        paho_client.disconnect()
        await asyncio.to_thread(paho_client.loop_stop)
        paho_client._reset_sockets()  # paho leaves its pair of wake-up sockets to the collector


@VERSIONS
async def test_paho_connects_publishes_and_hears(house, version):
    async with client(house, version, PASSWORD) as (lamp, events):
        assert await events.get() == ("Success",)
        lamp.subscribe("t/#", 1)
        assert await events.get() == ("subscribed",)
        lamp.publish("t/a", b"hello", 1)
        assert await events.get() == ("t/a", b"hello")
        assert house.service.status()["devices"] == ["lamp"]


@VERSIONS
async def test_paho_hears_that_its_password_is_wrong(house, version):
    async with client(house, version, "battery staple") as (_, events):
        assert await events.get() == ("Bad user name or password",)


@pytest.mark.interop
@pytest.mark.skipif(not shutil.which("mosquitto_pub"), reason="needs mosquitto-clients")
@pytest.mark.parametrize("version", ["311", "5"])
@pytest.mark.parametrize(("password", "code"), [(PASSWORD, 0), ("battery staple", 4)])
async def test_mosquittos_tools(house, version, password, code):
    """Where it is refused, mosquitto_pub ends with CONNACK's code, 0x86 as 134 in version 5."""
    arguments = ["-h", "localhost", "-p", str(house.port), "--cafile", str(house.ca), "-V", version]
    sender = await asyncio.create_subprocess_exec(
        *["mosquitto_pub", *arguments, "-u", "lamp", "-P", password, "-t", "t/a", "-m", "hello", "-q", "1"],
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        await sender.communicate()
    assert sender.returncode == (134 if code and version == "5" else code)
