"""The simulated cloud as a process: certificates, TLS sockets, clocks, files.

All I/O of sim/cloud is here and in the journal.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import logging
import os
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, cast

from edgecore.base.errors import EdgecoreError
from edgecore.sim.cloud.broker import Broker
from edgecore.sim.cloud.conversation import Conversation, Live, Times
from edgecore.sim.cloud.journal import Journal
from edgecore.sim.cloud.sessions import REDELIVERY_SECONDS
from edgecore.sim.cloud.shadows import Shadows
from edgecore.sim.pki import ThrowawayAuthority

_log = logging.getLogger(__name__)

CORE: Final = "core"
# How often what depends on time is looked at: keep alives, session ends, redeliveries.
TICK_SECONDS: Final = 0.5
# How long a shadow may be newer than its journal.
FLUSH_SECONDS: Final = 0.05
# A core on the same machine may be held up by tests; a fleet may connect at once.
BACKLOG: Final = 1024


async def serve(
    directory: Path,
    port: int,
    host: str = "127.0.0.1",
    things: Sequence[str] = (),
    ready: Callable[[], None] = lambda: None,
    redelivery: float = REDELIVERY_SECONDS,
) -> None:
    """Run a simulated AWS IoT Core in `directory` until cancelled; `port` 0 takes any free one.

    Makes the CA, the core's certificate and one for each of `things` there when they are missing.
    `ready()` is called when it accepts connections and `cloud.json` says where. Raises EdgecoreError
    when the port is taken, CertificateError or StoreError when a file of `directory` is damaged.
    """
    tls = await asyncio.to_thread(_prepare, directory, host, things)
    journal = Journal(directory / "shadows.jsonl")
    shadows = Shadows(journal.write)
    shadows.load(await asyncio.to_thread(journal.open))
    try:
        await _serve(directory, host, port, tls, shadows, journal, ready, redelivery)
    finally:
        await asyncio.to_thread(journal.close)


async def _serve(
    directory: Path,
    host: str,
    port: int,
    tls: ssl.SSLContext,
    shadows: Shadows,
    journal: Journal,
    ready: Callable[[], None],
    redelivery: float,
) -> None:
    live = Live()
    broker = Broker(shadows, live.wake, redelivery)
    connections: set[_Connection] = set()
    server = await _listen(host, port, tls, lambda: _Connection(broker, live, connections))
    note = directory / "cloud.json"
    try:
        await asyncio.to_thread(_write_note, note, host, server.sockets[0].getsockname()[1])
        ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(_tick(broker, live, connections), name="cloud clock")
            group.create_task(_keep(journal), name="cloud journal")
    finally:
        server.close()
        for connection in tuple(connections):
            connection.abort()
        await asyncio.to_thread(note.unlink, missing_ok=True)
        _log.info("simulated cloud ended: %s", broker.status())


def describe(directory: Path) -> str:
    """How to reach the cloud that runs in `directory`, for a person."""
    note = json.loads((directory / "cloud.json").read_text("utf-8"))
    things = sorted(path.name.removesuffix(".cert.pem") for path in directory.glob("things/*.cert.pem"))
    lines = [
        f"simulated cloud on {note['host']}:{note['port']} (MQTT 3.1.1 and 5, mutual TLS), pid {note['pid']}",
        f"  CA           {directory / 'ca.pem'}",
        f"  core         {directory / 'core.cert.pem'}  {directory / 'core.key.pem'}",
    ]
    lines += [f"  thing        {directory / 'things' / name}.cert.pem  .key.pem" for name in things]
    lines.append("  served       QoS 0 and 1, sessions up to 1 h, retained messages, device shadows")
    lines.append("  not served   jobs, HTTP, lifecycle events, policies; rate limits are off")
    return "\n".join(lines)


def _prepare(directory: Path, host: str, things: Sequence[str]) -> ssl.SSLContext:
    now = dt.datetime.now(dt.UTC)
    authority = ThrowawayAuthority.load_or_create(directory, now)
    authority.client(CORE, CORE, now)
    for thing in things:
        authority.client(f"things/{thing}", thing, now)
    names = dict.fromkeys((host, "localhost", "127.0.0.1", "::1"))
    pair = authority.server("server", tuple(names), now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


async def _listen(
    host: str, port: int, tls: ssl.SSLContext, make: Callable[[], asyncio.Protocol]
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(make, host, port, ssl=tls, backlog=BACKLOG)
    except OSError as error:
        raise EdgecoreError(
            f"the simulated cloud cannot listen on {host}:{port} ({error.strerror or error}): "
            "choose another port, or 0 for any free one"
        ) from error


def _write_note(path: Path, host: str, port: int) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps({"host": host, "port": port, "pid": os.getpid()}) + "\n", "utf-8")
    fresh.replace(path)


async def _tick(broker: Broker, live: Live, connections: set[_Connection]) -> None:
    while True:
        await asyncio.sleep(TICK_SECONDS)
        now = time.monotonic()
        for connection in tuple(connections):
            connection.check(now)
        broker.tick(now)
        live.flush(now)


async def _keep(journal: Journal) -> None:
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        if journal.waiting:
            await asyncio.to_thread(journal.flush)


class _Connection(asyncio.Protocol):
    """Joins a TLS transport and a conversation."""

    def __init__(self, broker: Broker, live: Live, connections: set[_Connection]) -> None:
        self._broker = broker
        self._live = live
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without being of the class.
        self._transport = transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._conversation = Conversation(
            self._broker, self._live, transport.write, transport.close, _new_client_id, time.monotonic()
        )

    def data_received(self, data: bytes) -> None:
        self._conversation.data(data, Times(time.monotonic(), time.time()))
        self._report()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio calls it so
        self._connections.discard(self)
        self._conversation.lost(time.monotonic())
        self._live.flush(time.monotonic())

    def pause_writing(self) -> None:
        self._conversation.paused = True

    def resume_writing(self) -> None:
        self._conversation.paused = False
        self._conversation.flush(time.monotonic())

    def check(self, now: float) -> None:
        """Look at the keep alive."""
        self._conversation.check(now)
        self._report()

    def abort(self) -> None:
        """Drop the connection: the cloud ends."""
        self._transport.abort()

    def _report(self) -> None:
        for text in self._conversation.refusals:
            _log.warning("%s: %s", self._conversation.client_id or "a client", text)
        self._conversation.refusals.clear()


def _new_client_id() -> str:
    return f"auto-{uuid.uuid4()}"
