"""The simulated cloud as a process: certificates, sockets, clocks, files.

Everything else of sim/cloud decides; here and in the files of connections, HTTP and the journal it
is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud import directions
from edgecore.sim.cloud.account_files import read_account
from edgecore.sim.cloud.broker import Broker
from edgecore.sim.cloud.connection import Connection
from edgecore.sim.cloud.control import ControlDoor
from edgecore.sim.cloud.credentials import DEFAULT_SECONDS, Provider
from edgecore.sim.cloud.dataplane import DataPlane
from edgecore.sim.cloud.door import Door, listening
from edgecore.sim.cloud.faults import Faults
from edgecore.sim.cloud.journal import Journal, read_backup, write_backup
from edgecore.sim.cloud.limits import NONE, Limits
from edgecore.sim.cloud.live import Live
from edgecore.sim.cloud.sessions import REDELIVERY_SECONDS
from edgecore.sim.cloud.shadows import Shadows
from edgecore.sim.pki import ThrowawayAuthority

_log = logging.getLogger(__name__)

CORE: Final = "core"
ALIASES: Final = "role-aliases.json"
# ALPN names of AWS's endpoints, for clients that ask for them.
MQTT_ALPN: Final = ("x-amzn-mqtt-ca",)
HTTP_ALPN: Final = ("x-amzn-http-ca", "http/1.1")
# How often what depends on time is looked at: keep alives, session ends, redeliveries, replays.
TICK_SECONDS: Final = 0.5
# How long a shadow may be newer than its journal.
FLUSH_SECONDS: Final = 0.05
# unix(7): sun_path has 108 bytes with its terminating null byte.
MAX_SOCKET_PATH: Final = 107
# Seconds that open HTTP requests have to end once the cloud stops.
_DRAIN: Final = 0.1


async def serve(
    directory: Path,
    port: int,
    host: str = "127.0.0.1",
    things: Sequence[str] = (),
    ready: Callable[[], None] = lambda: None,
    redelivery: float = REDELIVERY_SECONDS,
    https_port: int = 0,
    limits: Limits = NONE,
    credential_seconds: int = DEFAULT_SECONDS,
    seed: int | None = None,
) -> None:
    """Run a simulated AWS IoT Core in `directory` until cancelled; a port of 0 takes any free one.

    Makes the CA, the core's certificate and one for each of `things` there when they are missing.
    `ready()` is called when it accepts connections and `cloud.json` says where. `seed` makes what a
    lossy link loses repeatable. Raises EdgecoreError when a port is taken, and ConfigError,
    CertificateError or StoreError when a file of `directory` is wrong.
    """
    mqtt_tls = await asyncio.to_thread(_prepare, directory, host, things)
    https_tls = await asyncio.to_thread(_tls, directory, HTTP_ALPN)
    account = await asyncio.to_thread(read_account, directory)
    aliases = await asyncio.to_thread(_read_aliases, directory / ALIASES)
    provider = Provider(aliases, credential_seconds, os.urandom)
    journal = Journal(directory / "shadows.jsonl")
    shadows = Shadows(journal.write)
    shadows.load(await asyncio.to_thread(journal.open))
    live = Live()
    chance = random.Random(seed).random  # noqa: S311  what a lossy link loses is no secret
    broker = Broker(shadows, live.wake, redelivery, limits, account, Faults(chance))
    cloud = _Cloud(directory, broker, live, shadows, journal)
    data_plane = DataPlane(broker, live, provider, cloud.healthy).application()
    control = ControlDoor(broker, live, provider, cloud, directory).application()
    try:
        async with (
            listening(host, port) as mqtt,
            listening(host, https_port) as https,
            _served(data_plane) as http_protocol,
            _served(control) as control_protocol,
            _control_socket(directory / directions.CONTROL, control_protocol) as controlled,
        ):
            cloud.doors = (
                Door(mqtt, mqtt_tls, cloud.connection, broker.faults),
                Door(https, https_tls, http_protocol, broker.faults),
            )
            await cloud.run(host, controlled, ready)
    finally:
        await asyncio.to_thread(journal.close)
        _log.info("simulated cloud ended: %s", broker.status())


class _Cloud:
    """The running cloud: its doors, connections and clock, and what the control door asks for."""

    def __init__(self, folder: Path, broker: Broker, live: Live, shadows: Shadows, journal: Journal) -> None:
        self.healthy = asyncio.Event()
        self.healthy.set()
        self.doors: tuple[Door, ...] = ()
        self._folder = folder
        self._backup = folder / "backup.jsonl"
        self._broker = broker
        self._live = live
        self._shadows = shadows
        self._journal = journal
        self._connections: set[Connection] = set()

    def connection(self) -> Connection:
        """A protocol for a new MQTT connection."""
        return Connection(self._broker, self._live, self._connections)

    async def run(self, host: str, controlled: bool, ready: Callable[[], None]) -> None:
        """Accept until cancelled."""
        self._set_clock()
        port, https_port = (door.port for door in self.doors)
        try:
            await asyncio.to_thread(directions.write_note, self._folder, host, port, https_port, controlled)
            async with asyncio.TaskGroup() as group:
                for door in self.doors:
                    group.create_task(door.run(), name="cloud door")
                group.create_task(self._tick(), name="cloud clock")
                group.create_task(self._keep(), name="cloud journal")
                ready()
        finally:
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.to_thread((self._folder / directions.NOTE).unlink, missing_ok=True)

    # -- what the control door asks for

    def faults_changed(self) -> None:
        """Let connections and doors do what the faults say."""
        state = self._broker.faults.state
        for connection in tuple(self._connections):
            if state.cut:
                connection.abort()
            else:
                connection.freeze(state.half_open)
        if state.half_open:
            self.healthy.clear()
        else:
            self.healthy.set()
        for door in self.doors:
            door.changed()

    async def backup(self) -> int:
        """Keep the shadows as they are."""
        kept = self._shadows.items()
        await asyncio.to_thread(write_backup, self._backup, kept)
        return len(kept)

    async def restore(self) -> int:
        """Put back what was kept, with the versions of then."""
        kept = await asyncio.to_thread(read_backup, self._backup)
        self._shadows.restore(kept)
        return len(kept)

    async def read_account(self) -> None:
        """Take policies and things as the files have them now."""
        self._broker.account.become(await asyncio.to_thread(read_account, self._folder))

    # -- what depends on time

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._set_clock()
            now = time.monotonic()
            for connection in tuple(self._connections):
                connection.check(now)
            self._broker.tick(now)
            self._live.flush(now)

    def _set_clock(self) -> None:
        self._broker.epoch = time.time() - time.monotonic()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._journal.waiting:
                await asyncio.to_thread(self._journal.flush)


def _prepare(directory: Path, host: str, things: Sequence[str]) -> ssl.SSLContext:
    """Certificates, and the TLS of the MQTT door."""
    now = dt.datetime.now(dt.UTC)
    authority = ThrowawayAuthority.load_or_create(directory, now)
    authority.client(CORE, CORE, now)
    for thing in things:
        authority.client(f"things/{thing}", thing, now)
    names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))
    authority.server("server", tuple(names), now)
    return _tls(directory, MQTT_ALPN)


def _tls(directory: Path, alpn: Sequence[str]) -> ssl.SSLContext:
    """Mutual TLS with the server's certificate, for clients with one of the same CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(directory / "ca.pem")
    context.load_cert_chain(directory / "server.cert.pem", directory / "server.key.pem")
    context.set_alpn_protocols(list(alpn))
    return context


def _read_aliases(path: Path) -> dict[str, int] | None:
    """Role alias -> seconds; None without a file. Raises ConfigError."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    except msgspec.MsgspecError as error:
        raise ConfigError(str(path), "", str(error), 'seconds by role alias, as {"camera": 3600}') from error


@contextlib.asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[Callable[[], asyncio.Protocol]]:
    """An aiohttp application as a protocol factory."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_DRAIN)
    await runner.setup()
    if runner.server is None:
        raise AssertionError("aiohttp made no server")
    try:
        yield runner.server
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def _control_socket(path: Path, make: Callable[[], asyncio.Protocol]) -> AsyncIterator[bool]:
    """The control door on a Unix socket for its owner; whether there is one."""
    if len(os.fsencode(path)) > MAX_SOCKET_PATH:
        _log.warning("%s is too long for a socket: the cloud runs without its control door", path)
        yield False
        return
    sock = await asyncio.to_thread(_bind, path)
    server = await asyncio.get_running_loop().create_unix_server(make, sock=sock)
    try:
        yield True
    finally:
        server.close()
        await asyncio.to_thread(path.unlink, missing_ok=True)


def _bind(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    # Nobody can connect before listen(), which comes after this.
    path.chmod(0o600)
    return sock
