"""The life of certificates on a running core: registered, renewed, revoked, and a change of the authority."""

import asyncio
import datetime as dt
import json

import pytest

from edgecore.sim import device
from edgecore.sim.device import Credentials, Device
from edgecore.sim.pki import ThrowawayAuthority

# paho leaves a socket to the garbage collector when the peer ends a handshake.
pytestmark = [
    pytest.mark.xdist_group("scenario"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(device, "_RECONNECT", (0.05, 0.1))


@pytest.fixture
def verb(site, edgecore_verb):
    """An `edgecore device` verb on the site's core: its answer."""

    async def run(*arguments, code=0):
        done = await asyncio.to_thread(
            edgecore_verb, "device", *arguments, "--dir", site.core.folder, "--json"
        )
        assert done[0] == code, done
        return json.loads(done[1]) if code == 0 else done[2]

    return run


def given(folder, name, **other):
    """What a device holds when it was given the files of `folder`."""
    paths = {
        "certificate": folder / f"{name}.cert.pem",
        "key": folder / f"{name}.key.pem",
        "ca": folder / "ca.pem",
    }
    return Credentials(**paths | other)


async def come_in(site, client_id, credentials):
    """Whether the core takes a client with these at once."""
    async with Device(client_id, site.core.endpoint, credentials).running() as client:
        try:
            await client.until_connected(20)
        except TimeoutError:
            return False
        return True


async def refused(site, eventually, client_id, credentials):
    """A client tries until it was refused twice."""

    async def count():
        return sum((await site.status("listener", "status", "refused")).values())

    async def twice():
        return await count() >= before + 2

    before = await count()
    async with Device(client_id, site.core.endpoint, credentials).running() as client:
        await eventually(twice)
        return client.connects == 0


async def test_a_certificate_of_another_authority_from_registration_to_revocation(site, eventually, verb):
    site.write_group("", example="sensor-gateway")
    await site.start()
    now = dt.datetime.now(dt.UTC)
    cloud = await asyncio.to_thread(ThrowawayAuthority.load_or_create, site.folder / "aws", now)
    pair = await asyncio.to_thread(cloud.client, "sensor-1", "sensor-1", now)
    sibling = await asyncio.to_thread(cloud.client, "sibling", "sensor-1", now)

    out = site.folder / "registered"
    added = await verb("add", "sensor-1", "--certificate", pair.certificate, "--out", out)
    assert sorted(path.name for path in out.iterdir()) == ["ca.pem"]
    theirs = Credentials(pair.certificate, pair.key, out / "ca.pem")
    async with Device("by the registered one", site.core.endpoint, theirs).running() as first:
        await first.until_connected(20)

        await verb("renew", "sensor-1", "--out", site.folder / "renewed")
        ours = given(site.folder / "renewed", "sensor-1")
        async with Device("by ours", site.core.endpoint, ours).running() as second:
            await second.until_connected(20)
            assert (await site.status("listener", "status"))["devices"] == ["sensor-1"]  # one device
            unknown = Credentials(sibling.certificate, sibling.key, out / "ca.pem")
            assert await refused(site, eventually, "sibling", unknown)

            await verb("revoke", "sensor-1", "--certificate", added["fingerprint"][:12])
            await eventually(lambda: not first.connected)
            assert await refused(site, eventually, "again", theirs)
            assert (second.connects, second.connected) == (1, True)

    shown = (await verb("show", "sensor-1"))["certificates"]
    assert [(each["issuer"], each["revoked_at"] is None) for each in shown] == [
        ("registered", False),
        ("own", True),
    ]
    assert "did you mean 'sensor-1'" in await verb("show", "sensor1", code=1)


async def test_the_authority_changes_and_nobody_is_locked_out(site, eventually, verb):
    site.write_group("[devices.sensor-2]\n", example="sensor-gateway")
    await site.start("sensor-1", "sensor-2")
    old = site.core.credentials("sensor-1")
    async with site.connected("sensor-2") as other:
        assert (await verb("rotate-ca"))["waiting"] == ["sensor-1", "sensor-2"]
        assert "handed out yet to sensor-1, sensor-2" in await verb("rotate-ca", "--finish", code=1)
        for name in ("sensor-1", "sensor-2"):
            await verb("renew", name, "--out", site.folder / "new")
        new = given(site.folder / "new", "sensor-1")
        assert await come_in(site, "old", old)
        assert await come_in(site, "new", new)
        assert (other.connects, other.connected) == (1, True)  # nobody was dropped

        await site.core.stop()  # a change outlives the core
        await site.core.start(None)
        assert await come_in(site, "old", old)
        assert await come_in(site, "new", new)
        await eventually(lambda: other.connected)

        assert (await verb("rotate-ca", "--finish"))["waiting"] == []
        await eventually(lambda: not other.connected)  # it had the old certificate in use
    assert await come_in(site, "new", new)
    # Of the old files neither half does: the device refuses the server, and the server the device.
    for credentials in (old, given(old.certificate.parent, "sensor-1", ca=new.ca)):
        assert await refused(site, eventually, "old", credentials)
    await verb("renew", "sensor-1", "--out", site.folder / "after")
    assert await come_in(site, "after", given(site.folder / "after", "sensor-1"))
