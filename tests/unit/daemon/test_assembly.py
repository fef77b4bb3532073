"""The whole house in the test's own loop: real rooms, real store, real sockets."""

import asyncio
import dataclasses
import json
import ssl
from pathlib import Path

import pytest

from edgecore.base.clock import SystemClock
from edgecore.base.errors import DeploymentError, UnavailableError
from edgecore.base.group import ActiveGroup, DeviceSpec, Group, Row
from edgecore.base.identity import device, operator
from edgecore.base.message import Message
from edgecore.cli.mqtt_client import DeviceClient
from edgecore.cli.options import Credentials
from edgecore.config import Config, Paths
from edgecore.daemon.assembly import House, Wanted
from edgecore.daemon.health import Notifier
from edgecore.daemon.supervisor import Unit
from edgecore.listener import ListenerSettings, TlsFiles
from edgecore.listener.books import open_books
from edgecore.listener.pki import CertificateAuthority
from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import Connect
from edgecore.store import Dictionary
from edgecore.uplink import aws

ORDER = [
    "store",
    "router",
    "shadow",
    "lambdas",
    "inference",
    "uplink",
    "deployments",
    "api",
    "sys",
    "listener",
]

GROUP = """
[group]
name = "gateway"
[devices.sensor]
[[routes]]
from = "device:*"
topic = "dt/${thing}/#"
to = "device:*"
"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "group"
    folder.mkdir()
    (folder / "group.toml").write_text(GROUP)
    return folder


@pytest.fixture
def build(tmp_path):
    """A house on a folder; the same folder each time."""
    paths = Paths.under(tmp_path / "core")
    for place in (paths.state, paths.artifacts, paths.run):
        place.mkdir(parents=True)
    authority = CertificateAuthority.load_or_create(paths.pki)
    certificate, key = authority.ensure_server_certificate()
    dictionaries = [Dictionary.open(paths.registry), Dictionary.open(paths.passwords)]
    books = open_books(*dictionaries, authority, SystemClock())
    config = Config("core-7", paths, listener=ListenerSettings("127.0.0.1", 0, websocket_port=0))

    def build(group=None, **changes):
        wanted = Wanted(group, watchdog=changes.pop("watchdog", None))
        tls = TlsFiles(paths.pki / "ca.pem", certificate, key, books.registry.anchors)
        settings = dataclasses.replace(config, **changes)
        renew = authority.renew_server_certificate
        return House(settings, wanted, books, tls, Notifier(), SystemClock(), renew)

    def forget_house():
        """Tell the one that ran nothing more, as where it was another process."""
        books.registry._revoked.clear()
        books.passwords._changed.clear()

    build.registry, build.passwords, build.forget_house = books.registry, books.passwords, forget_house
    yield build
    for each in dictionaries:
        each.close()


class Running:
    def __init__(self, house):
        self.house = house
        self.supervisor = house.supervisor

    async def __aenter__(self):
        ready = asyncio.Event()
        self.task = asyncio.create_task(self.supervisor.run(ready.set))
        async with asyncio.timeout(15):
            await ready.wait()
        return self.house

    async def __aexit__(self, *_):
        self.supervisor.request_stop()
        async with asyncio.timeout(15):
            await self.task


async def test_every_unit_runs_in_the_order_of_the_plan(build):
    async with Running(build()) as house:
        statuses = house.supervisor.statuses()
        assert list(statuses) == ORDER
        assert {status["state"] for status in statuses.values()} == {"running"}
    assert {status["state"] for status in house.supervisor.statuses().values()} == {"stopped"}


async def test_the_port_is_noted_while_the_door_is_open(build, tmp_path):
    ports = Path(tmp_path / "core" / "run" / "ports.json")
    async with Running(build()) as house:
        noted = json.loads(await asyncio.to_thread(ports.read_text))
        status = house.supervisor.statuses()["listener"]["status"]
        assert noted["mqtt"] == status["port"]
        assert status["other_ports"] == f"websocket {noted['websocket']}"
    assert not await asyncio.to_thread(ports.exists)


async def test_a_local_group_is_deployed_and_comes_back_without_being_asked_for(build, site):
    async with Running(build(site)) as house:
        assert house.active().group.name == "gateway"
    async with Running(build()) as house:
        assert house.active().group.name == "gateway"
        assert house._admits("sensor") is not None
        assert house._admits("stranger") is None


async def test_the_routes_of_the_group_are_those_of_the_router_and_a_denial_is_logged(build, site, caplog):
    async with Running(build(site)) as house:
        assert house.router.publish(Message("dt/sensor/a", b"", 0, device("sensor"))).allowed
        assert not house.router.publish(Message("dt/other/a", b"", 0, device("sensor"))).allowed
    assert "device:sensor may not publish on 'dt/other/a'" in caplog.text


async def test_retained_messages_survive(build, site):
    async with Running(build(site)) as house:
        sent = Message("dt/sensor/a", b"kept", 1, device("sensor"), retain=True)
        assert house.router.publish(sent).allowed

    class Watcher:
        principal = operator("me")

    async with Running(build()) as house:
        [(kept, _)] = house.router.retained_for(Watcher(), "dt/#")
        assert kept.payload == b"kept"


async def test_activating_a_group_changes_routes_and_units_and_devices(build):
    group = Group(
        "next", {"lamp": DeviceSpec("lamp", "lamp")}, routes=(Row(("core",), ("a",), ("device:*",)),)
    )
    async with Running(build()) as house:
        before = house.supervisor.statuses()["shadow"]["since"]
        await house.activate(ActiveGroup(group, Path("/nonexistent"), 3), ["shadow"])
        assert house.active().deployment == 3
        assert house._admits("lamp").thing == "lamp"
        assert house.supervisor.statuses()["shadow"]["since"] > before


async def test_a_unit_that_does_not_come_up_fails_the_activation(build, monkeypatch):
    def broken(*_args):
        raise DeploymentError("models", "there are none")

    async with Running(build()) as house:
        monkeypatch.setattr("edgecore.daemon.assembly.InferenceService", broken)
        slot = house.supervisor._slots["inference"]
        slot.unit = dataclasses.replace(slot.unit, policy=dataclasses.replace(slot.unit.policy, crashes=0))
        with pytest.raises(DeploymentError, match="inference: models: there are none"):
            await house.activate(house.active(), ["inference"])


def connected(folder, issued, port):
    """A client of the door, as a device that was just issued its certificate."""
    folder = folder / issued.fingerprint
    folder.mkdir(exist_ok=True)
    for name, content in (("cert", issued.certificate), ("key", issued.key), ("ca", issued.ca)):
        (folder / f"{name}.pem").write_bytes(content)
    credentials = Credentials(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    client = DeviceClient(credentials, "localhost", port)
    client.__enter__()
    return client


async def until_the_door_closes(client):
    with pytest.raises(UnavailableError, match="ended the session"):
        await asyncio.to_thread(lambda: list(client.messages()))


async def test_a_revoked_device_is_sent_out_at_once(build, site, tmp_path):
    async with Running(build(site)) as house:
        issued = await build.registry.add("sensor")
        port = house.supervisor.statuses()["listener"]["status"]["port"]
        client = await asyncio.to_thread(connected, tmp_path, issued, port)
        await build.registry.revoke("sensor")
        await until_the_door_closes(client)


async def test_a_device_with_a_password_is_sent_out_when_it_is_taken_away_or_changed(build, site, tmp_path):
    listener = ListenerSettings("127.0.0.1", 0, websocket=False, passwords=True, password_port=0)
    async with Running(build(site, listener=listener)) as house:
        issued = await build.registry.add("sensor")
        await asyncio.to_thread((tmp_path / "ca.pem").write_bytes, issued.ca)
        context = await asyncio.to_thread(ssl.create_default_context, cafile=str(tmp_path / "ca.pem"))
        port = house._door.ports["password"]
        for change in (
            lambda: build.passwords.set("sensor", b"battery staple"),
            lambda: build.passwords.remove("sensor"),
            lambda: build.registry.revoke("sensor"),
        ):
            await build.passwords.set("sensor", b"correct horse")
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            async with asyncio.timeout(15):
                writer.write(encode(Connect("c", 5, username="sensor", password=b"correct horse"), 5))
                assert (await reader.readexactly(4))[3] == 0  # CONNACK: Success
                await change()
                rest = await reader.read()
                assert b"\xe0" in rest  # DISCONNECT
                assert b"no longer admitted" in rest
                writer.close()
                await writer.wait_closed()


async def test_a_device_that_was_revoked_while_no_core_ran_leaves_nothing(build, site):
    async with Running(build(site)) as house:
        for name in ("sensor", "lamp"):
            await build.registry.add(name)
        sent = Message("dt/sensor/a", b"kept", 1, device("sensor"), retain=True)
        assert house.router.publish(sent).allowed
    build.forget_house()
    await build.registry.revoke("sensor")
    async with Running(build()) as house:
        assert house.router.status()["retained"] == 0


async def test_a_device_with_nothing_but_a_password_keeps_what_is_its_own_until_that_is_gone(build, site):
    async with Running(build(site)) as house:
        await build.passwords.set("sensor", b"correct horse")
        sent = Message("dt/sensor/a", b"kept", 1, device("sensor"), retain=True)
        assert house.router.publish(sent).allowed
    build.forget_house()
    async with Running(build()) as house:
        assert house.router.status()["retained"] == 1
        await build.passwords.set("sensor", b"battery staple")
        assert house.router.status()["retained"] == 1
        await build.passwords.remove("sensor")
        assert house.router.status()["retained"] == 0


async def test_a_certificate_that_ends_with_its_authority_leaves_a_device_its_password(build, site):
    async with Running(build(site)) as house:
        await build.registry.add("sensor")
        await build.passwords.set("sensor", b"correct horse")
        sent = Message("dt/sensor/a", b"kept", 1, device("sensor"), retain=True)
        assert house.router.publish(sent).allowed
        await build.registry.rotate()
        await build.registry.finish_rotation(force=True)
        assert house.router.status()["retained"] == 1
        await build.registry.revoke("sensor")
        assert house.router.status()["retained"] == 0


async def test_the_authority_changes_under_a_running_house(build, site, tmp_path):
    async with Running(build(site)) as house:
        port = house.supervisor.statuses()["listener"]["status"]["port"]
        old = await build.registry.add("sensor")
        first = await asyncio.to_thread(connected, tmp_path, old, port)
        await build.registry.rotate()
        new = await build.registry.renew("sensor")
        for issued in (old, new):
            (await asyncio.to_thread(connected, tmp_path, issued, port)).__exit__(None, None, None)
        await build.registry.finish_rotation()
        await until_the_door_closes(first)  # its certificate has ended with the old authority
        last = await asyncio.to_thread(connected, tmp_path, new, port)
        last.__exit__(None, None, None)


async def test_what_is_trusted_may_change_before_the_door_is_there(build, site, tmp_path):
    house = build(site)
    await build.registry.rotate()
    issued = await build.registry.add("sensor")
    async with Running(house):
        port = house.supervisor.statuses()["listener"]["status"]["port"]
        (await asyncio.to_thread(connected, tmp_path, issued, port)).__exit__(None, None, None)


async def test_a_device_that_left_the_group_is_sent_out_at_once(build, site, tmp_path):
    async with Running(build(site)) as house:
        issued = await build.registry.add("sensor")
        port = house.supervisor.statuses()["listener"]["status"]["port"]
        client = await asyncio.to_thread(connected, tmp_path, issued, port)
        await house.activate(ActiveGroup(Group("empty"), Path("/nonexistent"), 2), [])
        await until_the_door_closes(client)


async def test_the_watchdog_runs_when_the_init_system_asks(build):
    async with Running(build(watchdog=60.0)) as house:
        assert list(house.supervisor.statuses())[:3] == ["store", "health", "router"]


async def test_the_router_cannot_be_asked_before_it_is_there(build):
    with pytest.raises(AssertionError, match="has not started"):
        build().router  # noqa: B018  a property that raises


def test_a_cloud_client_that_does_not_end_leaves_the_uplink_time_to_stop():
    deadline = Unit("uplink", lambda: None).stop_deadline
    assert deadline / 2 >= aws.STOP_SECONDS
