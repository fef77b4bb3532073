"""`pub` and `sub` as a device: the real listener and router, in a thread of their own."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from edgecore.base.clock import SystemClock
from edgecore.base.errors import NotAuthorizedError, UnavailableError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.identity import CLOUD, CORE
from edgecore.base.message import Message
from edgecore.cli import exit_codes
from edgecore.cli.mqtt_client import DeviceClient
from edgecore.cli.options import credentials_of
from edgecore.listener import KeptSessions, ListenerService, ListenerSettings, Sessions, TlsFiles
from edgecore.listener.pki import CertificateAuthority
from edgecore.router import Router
from edgecore.store import Database, SessionStore

DEVICES = {"gate": DeviceSpec("gate", "gate")}
ROWS = [
    Row(("device:*",), ("dt/${thing}/#",), ("cloud",)),
    Row(("core",), ("cmd/${thing}/#",), ("device:*",)),
]


class Taker:
    principal = CLOUD

    def __init__(self):
        self.taken = []

    def deliver(self, message, qos, retain):
        self.taken.append(message)


class Door:
    """A listener that knows the devices `gate` (in the group) and `stray` (not in the group)."""

    def __init__(self, folder):
        self.folder = folder
        authority = CertificateAuthority.load_or_create(folder / "pki")
        certificate, key = authority.ensure_server_certificate()
        self.known = {}
        for name in ("gate", "stray"):
            issued = authority.issue_device(name)
            self.known[issued.fingerprint] = name
            for part, content in (("cert", issued.certificate), ("key", issued.key)):
                (folder / f"{name}.{part}.pem").write_bytes(content)
        (folder / "ca.pem").write_bytes(authority.certificate)
        self.cloud = Taker()
        self.router = Router(SystemClock())
        self.router.set_rows(ROWS, DEVICES)
        self.router.attach("cloud", self.cloud)
        self.tls = TlsFiles(folder / "pki" / "ca.pem", certificate, key)
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    def lookup(self, fingerprint):
        return self.known.get(fingerprint)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_):
        self.stop()
        self._thread.join(10)

    def stop(self):
        with contextlib.suppress(RuntimeError):  # a test has stopped it, and the loop is closed
            self._loop.call_soon_threadsafe(self._end.set)

    def when_subscribed(self, *messages):
        self._loop.call_soon_threadsafe(self._publish, messages)

    def _publish(self, messages):
        if not self.router.status()["subscriptions"]:
            self._loop.call_later(0.01, self._publish, messages)
            return
        for topic, payload in messages:
            self.router.publish(Message(topic, payload, 0, CORE))

    async def _serve(self):
        self._loop = asyncio.get_running_loop()
        self._end, clock = asyncio.Event(), SystemClock()
        settings = ListenerSettings("127.0.0.1", 0, websocket=False)
        async with Database(self.folder / "edgecore.sqlite") as database:
            self.kept = KeptSessions(SessionStore(database), self.router, settings, clock)
            await self.kept.open()
            sessions = Sessions(self.kept)
            service = ListenerService(
                settings, self.router, self, DEVICES.get, self.tls, clock, sessions=sessions
            )

            def ready():
                self.port = service.port
                self._ready.set()

            task = asyncio.create_task(service.run(ready))
            await self._end.wait()
            task.cancel()
            await asyncio.wait([task])

    def publish(self, topic, payload, qos):
        """Publish from the core, and wait until the router has it."""
        done = threading.Event()

        def act():
            self.router.publish(Message(topic, payload, qos, CORE))
            done.set()

        self._loop.call_soon_threadsafe(act)
        assert done.wait(5)

    def until_away(self):
        """Wait until the core has noticed that the session has no connection."""
        away = threading.Event()

        def look():
            if self.kept.status()["away"]:
                away.set()
            else:
                self._loop.call_later(0.01, look)

        self._loop.call_soon_threadsafe(look)
        assert away.wait(5)

    def client(self, name="gate"):
        return DeviceClient(
            credentials_of(self.folder / f"{name}.cert.pem", None, None), "127.0.0.1", self.port
        )


@pytest.fixture(scope="module")
def door(tmp_path_factory):
    with Door(tmp_path_factory.mktemp("door")) as door:
        yield door


def test_publishes_as_a_device(edgecore, door):
    cert = door.folder / "gate.cert.pem"
    done = edgecore("pub", "dt/gate/temp", "21.5", "--cert", cert, "--port", door.port)
    assert (done.code, done.err) == (0, "published 4 bytes to dt/gate/temp\n")
    assert door.cloud.taken[-1].payload == b"21.5"
    assert door.cloud.taken[-1].sender.id == "device:gate"


def test_a_publish_that_no_route_takes(edgecore, door):
    cert = door.folder / "gate.cert.pem"
    done = edgecore("pub", "dt/other/temp", "x", "--cert", cert, "--port", door.port)
    assert done.code == exit_codes.NOT_PERMITTED
    assert "dt/other/temp: Not authorized" in done.err
    assert "no route of the group takes it from this device" in done.err


def test_watches_as_a_device(edgecore, door):
    door.when_subscribed(("cmd/gate/open", b"now"))
    cert = door.folder / "gate.cert.pem"
    done = edgecore("sub", "cmd/gate/#", "--cert", cert, "--port", door.port, "-n", "1", "--json")
    assert json.loads(done.out) == {"topic": "cmd/gate/open", "payload": "now", "qos": 0, "retain": False}


def test_a_session_with_a_name_has_what_came_meanwhile_and_each_message_once(edgecore, door):
    cert = door.folder / "gate.cert.pem"
    watch = ["sub", "cmd/gate/#", "--cert", cert, "--port", door.port, "--session", "desk", "--json", "-n"]
    door.when_subscribed(("cmd/gate/a", b"live"))
    assert json.loads(edgecore(*watch, "1").out)["payload"] == "live"
    door.until_away()
    for number in range(3):
        door.publish("cmd/gate/a", f"{number}".encode(), 1)
    shown = [json.loads(line) for line in edgecore(*watch, "2").out.splitlines()]
    assert [(each["payload"], each["qos"]) for each in shown] == [("0", 1), ("1", 1)]
    # What was on its way and not shown is shown the next time.
    door.until_away()
    assert json.loads(edgecore(*watch, "1").out)["payload"] == "2"
    door.until_away()
    assert door.kept.status()["queued"] == 0


def test_a_session_is_a_device_s(edgecore, door):
    done = edgecore("sub", "a", "--session", "desk")
    assert done.code == exit_codes.USAGE
    assert "--session NAME needs --cert" in done.err


def test_a_subscription_that_is_refused(door):
    with door.client() as client, pytest.raises(NotAuthorizedError, match="cmd/other: Not authorized"):
        client.subscribe(["cmd/gate/a", "cmd/other"], 0)


def test_a_device_that_is_not_in_the_group(door):
    with pytest.raises(NotAuthorizedError, match="it must be in the registry"):
        door.client("stray").__enter__()


def test_a_certificate_of_another_authority(door, tmp_path):
    issued = CertificateAuthority.load_or_create(tmp_path / "pki").issue_device("gate")
    (tmp_path / "gate.cert.pem").write_bytes(issued.certificate)
    (tmp_path / "gate.key.pem").write_bytes(issued.key)
    credentials = credentials_of(tmp_path / "gate.cert.pem", None, door.folder / "ca.pem")
    with pytest.raises(NotAuthorizedError):
        DeviceClient(credentials, "127.0.0.1", door.port).__enter__()


def test_a_core_of_another_authority(door, tmp_path):
    other = CertificateAuthority.load_or_create(tmp_path / "pki")
    (tmp_path / "ca.pem").write_bytes(other.certificate)
    argv = ["pub", "a", "x", "--cert", door.folder / "gate.cert.pem", "--ca", tmp_path / "ca.pem"]
    # In a process of its own: paho leaves the socket of a failed handshake to the garbage collector.
    done = subprocess.run(
        [sys.executable, "-m", "edgecore", *argv, "--port", str(door.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_codes.NOT_PERMITTED
    assert "must come from this core: `edgecore device add`" in done.stderr


def test_nobody_there(door, edgecore):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        cert = door.folder / "gate.cert.pem"
        port = taken.getsockname()[1]
        done = edgecore("pub", "dt/gate/a", "x", "--cert", cert, "--host", "127.0.0.1", "--port", port)
    assert done.code == exit_codes.UNAVAILABLE
    assert f"nobody answers on 127.0.0.1:{port}: Connection refused" in done.err


def test_a_peer_that_says_nothing(door, monkeypatch):
    monkeypatch.setattr("edgecore.cli.mqtt_client.PATIENCE", 0.2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(door.folder / "pki" / "server.pem", door.folder / "pki" / "server.key")

    def silent(listening):
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True) as tls:
            while tls.recv(1024):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = threading.Thread(target=silent, args=(listening,))
        peer.start()
        credentials = credentials_of(door.folder / "gate.cert.pem", None, None)
        client = DeviceClient(credentials, "127.0.0.1", listening.getsockname()[1])
        with pytest.raises(UnavailableError, match="no CONNACK within 0"):
            client.__enter__()
        peer.join(5)


def test_the_end_of_the_core_ends_the_watch(tmp_path):
    with Door(tmp_path) as door, door.client() as client:
        client.subscribe(["cmd/gate/#"], 0)
        door.stop()
        with pytest.raises(UnavailableError, match="ended the session"):
            next(client.messages())
