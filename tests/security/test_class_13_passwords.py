"""Class 13 for passwords: whatever is missing, empty, damaged or in the wrong place lets nobody in.

On the real ports with real TLS, and with real scrypt.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from edgecore.base.clock import SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.listener.books import open_books
from edgecore.listener.pki import CertificateAuthority
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.router import Router
from edgecore.store import Dictionary

PATIENCE = 20
PASSWORD = b"correct horse"
BOTH = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
# CONNACK: bad user name or password; not authorized.
BAD, NOT_AUTHORIZED = {V311: 4, V5: 0x86}, {V311: 5, V5: 0x87}


class House:
    """A listener with both kinds of ports, and the devices lamp (a password) and gate (none)."""

    def __init__(self, folder):
        self.folder = folder
        authority = CertificateAuthority.load_or_create(folder)
        certificate, key = authority.ensure_server_certificate(())
        self.dictionaries = [
            Dictionary.open(folder / name) for name in ("registry.sqlite", "passwords.sqlite")
        ]
        self.books = open_books(*self.dictionaries, authority, SystemClock())
        self.specs = {name: DeviceSpec(name, name) for name in ("lamp", "gate")}
        router = Router(SystemClock())
        router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], self.specs)
        self.service = ListenerService(
            ListenerSettings("127.0.0.1", 0, websocket=False, passwords=True, password_port=0),
            router,
            self.books.registry,
            self.specs.get,
            TlsFiles(folder / "ca.pem", certificate, key),
            SystemClock(),
            passwords=self.books.passwords,
        )
        self.context = ssl.create_default_context(cafile=str(folder / "ca.pem"))

    @contextlib.asynccontextmanager
    async def running(self):
        await self.books.passwords.set("lamp", PASSWORD)
        ready = asyncio.Event()
        task = asyncio.create_task(self.service.run(ready.set))
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def connect(self, version, port="password", context=None, **connect):
        """What this CONNECT is answered: (code, reason string), or None when nothing was."""
        try:
            async with asyncio.timeout(PATIENCE):
                reader, writer = await asyncio.open_connection(
                    "localhost", self.service.ports[port], ssl=context or self.context
                )
                writer.write(encode(p.Connect("c", version, **connect), version))
                data = await reader.read(1000)
                writer.close()
                await writer.wait_closed()
        except (ssl.SSLError, ConnectionError):
            return None
        packets = [decode(first, body, version) for first, body in Framer(1 << 20).feed(data)]
        return (packets[0].reason_code, packets[0].properties.get(0x1F, "")) if packets else None


@pytest.fixture
async def house(tmp_path):
    house = await asyncio.to_thread(House, tmp_path)
    async with house.running():
        yield house
    for each in house.dictionaries:
        await asyncio.to_thread(each.close)


@BOTH
async def test_class_13_the_right_password_lets_its_device_in(house, version):
    assert (await house.connect(version, username="lamp", password=PASSWORD))[0] == 0
    assert "lamp" not in repr(house.service.status()["refused"])


@BOTH
@pytest.mark.parametrize(
    "said",
    [
        {},
        {"username": "lamp"},
        {"username": "lamp", "password": b""},
        {"username": "lamp", "password": b"        "},
        {"username": "", "password": PASSWORD},
        {"username": "lamp", "password": PASSWORD + b"\0"},
        {"username": "lamp", "password": PASSWORD[:-1]},
        {"username": "LAMP", "password": PASSWORD},
        {"username": "device:lamp", "password": PASSWORD},
        {"username": "gate", "password": PASSWORD},
        {"username": "nobody", "password": PASSWORD},
        {"username": "+", "password": PASSWORD},
        {"username": "lamp", "password": b"x" * 60_000},
    ],
)
async def test_class_13_anything_else_lets_nobody_in_and_is_told_the_same(house, version, said):
    code, reason = await house.connect(version, **said)
    assert code == BAD[version]
    assert reason == ("user name or password not accepted" if version == V5 else "")


@BOTH
async def test_class_13_a_password_is_nothing_on_the_port_for_certificates(house, version):
    assert await house.connect(version, "mqtt", username="lamp", password=PASSWORD) is None
    issued = await house.books.registry.add("gate")
    await asyncio.to_thread((house.folder / "gate.pem").write_bytes, issued.certificate + issued.key)
    context = await asyncio.to_thread(ssl.create_default_context, cafile=str(house.folder / "ca.pem"))
    await asyncio.to_thread(context.load_cert_chain, house.folder / "gate.pem")
    assert (await house.connect(version, "mqtt", context, username="nobody", password=b""))[0] == 0
    assert house.service.status()["devices"] in (["gate"], [])
    # and a certificate is nothing where a password is asked for
    assert (await house.connect(version, "password", context))[0] == BAD[version]


@BOTH
async def test_class_13_a_device_that_is_not_in_the_group_is_not_let_in(house, version):
    house.specs.clear()
    assert (await house.connect(version, username="lamp", password=PASSWORD))[0] == NOT_AUTHORIZED[version]


@BOTH
async def test_class_13_a_revoked_device_is_not_let_in(house, version):
    assert (await house.connect(version, username="lamp", password=PASSWORD))[0] == 0
    await house.books.registry.revoke("lamp")
    assert (await house.connect(version, username="lamp", password=PASSWORD))[0] == BAD[version]


async def test_class_13_without_the_setting_no_port_asks_for_passwords(tmp_path):
    house = await asyncio.to_thread(House, tmp_path)
    assert ListenerSettings().passwords is False
    house.service._settings = ListenerSettings("127.0.0.1", 0, websocket_port=0)
    async with house.running():
        assert set(house.service.ports) == {"mqtt", "websocket"}
    for each in house.dictionaries:
        await asyncio.to_thread(each.close)


def test_class_13_a_damaged_file_of_passwords_lets_nobody_in_and_is_set_aside(tmp_path):
    path = tmp_path / "passwords.sqlite"
    path.write_bytes(b"lamp:\n" * 1000)
    with contextlib.closing(Dictionary.open(path)) as dictionary:
        registry = Dictionary.open(tmp_path / "registry.sqlite")
        books = open_books(registry, dictionary, CertificateAuthority.load_or_create(tmp_path), SystemClock())
        registry.close()
        assert books.passwords.names() == ()
        assert dictionary.set_aside


def test_class_17_the_file_of_passwords_is_its_owner_s_alone(tmp_path):
    with contextlib.closing(Dictionary.open(tmp_path / "passwords.sqlite")):
        assert (tmp_path / "passwords.sqlite").stat().st_mode & 0o077 == 0
