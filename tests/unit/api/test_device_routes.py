import asyncio
import contextlib
import logging

import aiohttp
import pytest

from edgecore.api import ApiService, ApiSettings
from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord, IssuedCertificate, Rotation
from edgecore.router import Router


class FakeDevices:
    """Knows the device `gate` alone, and keeps what it was asked."""

    def __init__(self):
        self.asked = []

    async def add(self, name, csr=b"", *, certificate=b"", days=0):
        self.asked.append(("add", name, csr, certificate, days))
        return IssuedCertificate(name, b"CERT", b"" if csr or certificate else b"KEY", b"CA", "ab")

    async def renew(self, name, csr=b"", *, certificate=b"", days=0):
        self.asked.append(("renew", name, csr, certificate, days))
        return IssuedCertificate(name, b"CERT", b"KEY", b"CA", "cd")

    async def revoke(self, name, certificate=None):
        self.asked.append(("revoke", name, certificate))
        return DeviceRecord(name, 5.0, (DeviceCertificate("ab", 5.0, revoked_at=6.0),))

    def record(self, name):
        if name != "gate":
            raise CertificateError(f"no device {name!r} here; did you mean 'gate'?")
        return DeviceRecord(name, 5.0, (DeviceCertificate("ab", 5.0),))

    def records(self):
        return (self.record("gate"),)

    def rotation(self):
        return Rotation("id", ("gate",))

    async def rotate(self):
        return self.rotation()

    async def finish_rotation(self, *, force=False):
        self.asked.append(("finish", force))
        return Rotation("id", ())


class NoUnits:
    def statuses(self):
        return {}


class NoPasswords:
    """password_routes.py has its own tests."""


@pytest.fixture
def devices():
    return FakeDevices()


@pytest.fixture
async def ask(devices, tmp_path):
    """Ask the running control API: (status, body)."""
    service = ApiService(
        ApiSettings(),
        Router(ManualClock()),
        devices,
        NoPasswords(),
        NoUnits(),
        None,  # nobody asks for shadows
        None,  # nor for the outbox
        tmp_path / "run",
        ManualClock(),
    )
    ready = asyncio.Event()
    task = asyncio.create_task(service.run(ready.set))
    async with asyncio.timeout(5):
        await ready.wait()
    connector = aiohttp.UnixConnector(str(tmp_path / "run" / "control.sock"))
    async with aiohttp.ClientSession("http://edgecore", connector=connector) as client:

        async def ask(method, path, body=None):
            async with client.request(method, path, json=body) as reply:
                return reply.status, await reply.json()

        yield ask
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_devices_are_listed_and_shown(ask):
    status, body = await ask("GET", "/devices")
    assert (status, body["rotation"]) == (200, {"authority": "id", "waiting": ["gate"]})
    assert await ask("GET", "/devices/gate") == (200, body["devices"][0])


async def test_a_device_is_added_and_renewed(ask, devices):
    assert await ask("POST", "/devices", {"name": "new"}) == (
        201,
        {"name": "new", "fingerprint": "ab", "certificate": "CERT", "key": "KEY", "ca": "CA"},
    )
    assert (await ask("POST", "/devices", {"name": "new", "csr": "PEM", "days": 9}))[1]["key"] == ""
    assert (await ask("POST", "/devices", {"name": "new", "certificate": "PEM"}))[0] == 201
    assert (await ask("POST", "/devices/gate/renew", {"days": 3}))[1]["fingerprint"] == "cd"
    assert (await ask("POST", "/devices/gate/renew"))[0] == 201
    assert devices.asked == [
        ("add", "new", b"", b"", 0),
        ("add", "new", b"PEM", b"", 9),
        ("add", "new", b"", b"PEM", 0),
        ("renew", "gate", b"", b"", 3),
        ("renew", "gate", b"", b"", 0),
    ]


async def test_a_device_is_revoked_whole_or_in_part(ask, devices):
    status, body = await ask("POST", "/devices/gate/revoke")
    assert (status, body["revoked"]) == (200, ["ab"])
    await ask("POST", "/devices/gate/revoke", {"certificate": None})
    await ask("POST", "/devices/gate/revoke", {"certificate": "ab12"})
    assert devices.asked == [("revoke", "gate", each) for each in (None, None, "ab12")]


async def test_the_authority_is_changed(ask, devices):
    assert await ask("POST", "/authority/rotate") == (200, {"authority": "id", "waiting": ["gate"]})
    assert await ask("POST", "/authority/finish") == (200, {"authority": "id", "waiting": []})
    await ask("POST", "/authority/finish", {"force": True})
    assert devices.asked == [("finish", False), ("finish", True)]


async def test_a_wrong_name_is_answered_with_the_one_that_was_meant(ask):
    status, body = await ask("GET", "/devices/gtae")
    assert (status, body["error"]) == (400, "no device 'gtae' here; did you mean 'gate'?")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/devices", {}),
        ("/devices", ["name"]),
        ("/devices", {"name": "a", "colour": "red"}),
        ("/devices/gate/revoke", {"fingerprint": "ab12"}),
    ],
)
async def test_a_body_that_is_not_what_is_expected_does_nothing(ask, devices, path, body):
    status, answer = await ask("POST", path, body)
    assert status == 400
    assert answer["error"].startswith("request body: ")
    assert devices.asked == []


async def test_every_change_is_logged_with_who_asked(ask, caplog):
    caplog.set_level(logging.INFO)
    await ask("POST", "/devices", {"name": "new"})
    await ask("POST", "/devices/gate/renew")
    await ask("POST", "/devices/gate/revoke")
    await ask("POST", "/authority/rotate")
    await ask("POST", "/authority/finish")
    lines = [record.getMessage() for record in caplog.records if "operator=" in record.getMessage()]
    assert [line.split(" operator=")[0] for line in lines] == [
        "device add",
        "device renew",
        "device revoke",
        "authority rotate",
        "authority finish",
    ]
    assert lines[0].endswith("device=new")
