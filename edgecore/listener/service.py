"""The listener's life: the sockets, the sweep of what has taken too long, the end of all sessions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import CertificateError, UnavailableError
from edgecore.base.group import DeviceSpec
from edgecore.base.interfaces import Ready
from edgecore.listener.admission import Admission, CertificateBook
from edgecore.listener.crowd import Crowd
from edgecore.listener.door import Door
from edgecore.listener.entrances import Entrance, entrances
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.tls import TlsFiles
from edgecore.listener.transport import Connection
from edgecore.listener.turn import Turn
from edgecore.listener.unread import Unread
from edgecore.listener.verifier import PasswordBook, Verifier
from edgecore.router import Router

_log = logging.getLogger(__name__)

# Seconds between looks at deadlines. One sweep over all connections instead of a timer for each: keep
# alive is counted in seconds, and a timer per packet would cost more than the packet.
SWEEP: Final = 1.0
# A site's devices all come back at once after a power cut; the kernel holds those not accepted yet.
BACKLOG: Final = 1024
# Bytes in the kernel for each connection and direction (it takes twice that for its own use). Left to itself
# it gives one that does not read 4 MB, and a few hundred of those what all of the machine's TCP may have. A
# local network at 1 Gbit/s and 1 ms needs 125 KB.
SOCKET_BYTES: Final = 128 * 1024
# Seconds that clients have to take their DISCONNECT when the service stops.
DRAIN: Final = 0.5
# Seconds between looks at the server's certificate. Its last third is 275 days: an hour is soon enough
# for that, and for an address that the machine was given meanwhile.
RENEWAL: Final = 3600.0

# Passwords that are checked at a time, at 16 MB and one processor each: messages must flow meanwhile.
CHECKS_AT_ONCE: Final = max(1, min(2, (os.cpu_count() or 1) // 2))

# Remakes the server's certificate when it must be, and says whether it did. Raises CertificateError, OSError.
Renew = Callable[[], bool]


class ListenerService:
    """MQTT over TLS, for client devices: plain and over WebSocket, each on a port of its own."""

    def __init__(
        self,
        settings: ListenerSettings,
        bus: Router,
        registry: CertificateBook,
        admits: Callable[[str], DeviceSpec | None],
        tls: TlsFiles,
        clock: Clock,
        renew: Renew = lambda: False,
        sessions: Sessions | None = None,
        passwords: PasswordBook | None = None,
    ) -> None:
        self._settings = settings
        self._router = bus
        self._admission = Admission(registry, admits)
        self._tls = tls
        self._renew = renew
        self._passwords = passwords
        self._verifier: Verifier | None = None
        self._stale = False
        self._entrances: list[Entrance] = []
        self._clock = clock
        self._refusals = Refusals()
        self._sessions = Sessions() if sessions is None else sessions
        self._connections: set[Connection] = set()
        self._addresses = Crowd()
        self._unread = Unread(settings.max_unread)

    @property
    def ports(self) -> dict[str, int]:
        """The ports that it listens on, by the names that ports.json has; none while it does not run."""
        return {each.name: each.port for each in self._entrances}

    @property
    def port(self) -> int:
        """That of MQTT over TLS, 0 while it does not run."""
        return self.ports.get("mqtt", 0)

    async def run(self, ready: Ready) -> None:
        """Serve until cancelled. Raises CertificateError, UnavailableError when the port is taken."""
        renewal = asyncio.get_running_loop().time() + RENEWAL
        async with self._listening():
            ready()
            while True:
                await asyncio.sleep(SWEEP)
                self._sweep()
                if asyncio.get_running_loop().time() >= renewal:
                    await self._look_at_certificate()
                    self.recheck()  # the end of a device's certificate may have come
                    renewal = asyncio.get_running_loop().time() + RENEWAL

    def reload(self) -> None:
        """Read the TLS files anew: for handshakes from now on; connections stay as they are.

        Raises CertificateError when they cannot be used; the ones in use then stay in use.
        """
        contexts = [each.make_context() for each in self._entrances]
        for each, context in zip(self._entrances, contexts, strict=True):
            each.context = context

    async def trust_changed(self) -> None:
        """Go by the CA and the anchors as they are now; the server's certificate is remade if it must be.

        Drops nobody. What fails is logged and tried again with the next look at the server's certificate.
        """
        self._stale = True
        await self._look_at_certificate()

    def recheck(self) -> None:
        """End the sessions of devices that were revoked, whose time is over, or who left the group, now."""
        for connection in list(self._connections):
            if connection.session is not None and connection.session.live:
                connection.session.recheck()

    def status(self) -> dict[str, object]:
        """Where it listens, who is connected, what was refused and dropped."""
        live = [each.session for each in self._connections if each.session is not None and each.session.live]
        traffic = self._sessions.traffic
        return {
            "host": self._settings.host,
            "port": self.port,
            "other_ports": ", ".join(f"{each.name} {each.port}" for each in self._entrances[1:]),
            "connections": len(self._connections),
            "connections_by_port": self._by_port(),
            "sessions": len(self._sessions),
            "takeovers": self._sessions.takeovers,
            "passwords_waiting": self._verifier.waiting if self._verifier is not None else 0,
            "refused": dict(self._refusals.counts),
            "refused_connects": dict(self._refusals.connects),
            "connected": len(live),
            "most_connected": traffic.most_connected,
            "dropped": traffic.dropped + sum(session.dropped for session in live),
            "queued": sum(session.queued for session in live),
            "in_flight": sum(session.in_flight for session in live),
            "unread_bytes": self._unread.bytes,
            "traffic": traffic.status(),
            "acknowledged": traffic.acknowledged.status(),
            "devices": sorted({session.principal.name for session in live}),
            "kept": self._sessions.kept.status() if self._sessions.kept is not None else {},
        }

    def _by_port(self) -> dict[str, int]:
        """How many connections are open on each port, by its name."""
        open_ = Counter(each.entrance for each in self._connections)
        return {each.name: open_[each.name] for each in self._entrances}

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        turn = Turn(loop.call_soon, time.monotonic)
        door = Door(
            self._settings, self._router, self._sessions, self._refusals, turn, self._clock, self._unread
        )
        if self._passwords is not None:
            run, secret = partial(_in_thread, loop), secrets.token_bytes(32)
            self._verifier = Verifier(self._passwords, run, CHECKS_AT_ONCE, loop.time, secret)
        found = entrances(door, self._admission, self._tls, self._verifier)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self._drain)
            for each in found:
                server = await self._open(loop, turn, each)
                stack.callback(server.close)
                _log.info("%s on %s:%d", each.title, self._settings.host or "*", each.port)
            self._entrances = found
            stack.callback(self._entrances.clear)
            yield

    async def _open(self, loop: asyncio.AbstractEventLoop, turn: Turn, entrance: Entrance) -> asyncio.Server:
        listening = _listening_socket(self._settings.host, entrance)
        entrance.port = int(listening.getsockname()[1])
        make = partial(self._connection, loop, turn, entrance)
        return await loop.create_server(make, sock=listening, backlog=BACKLOG)

    def _connection(self, loop: asyncio.AbstractEventLoop, turn: Turn, entrance: Entrance) -> Connection:
        self._sessions.traffic.sockets += 1
        # The context is read at each connection: `reload` puts another one there.
        return Connection(
            entrance.context,
            self._settings,
            self._connections,
            self._refusals,
            entrance.open,
            loop,
            self._addresses,
            turn,
            entrance.name,
        )

    async def _look_at_certificate(self) -> None:
        """Renew the server's certificate when it is time. A failure leaves the present one in use."""
        try:
            # In a thread: it waits for the disk.
            self._stale = await asyncio.to_thread(self._renew) or self._stale
            if self._stale:
                self.reload()
                self._stale = False
                _log.info("TLS loaded anew, new handshakes use the present certificates")
        except (CertificateError, OSError) as error:
            _log.error("TLS not loaded anew, next try in %g s reason=%r", RENEWAL, str(error))

    def _sweep(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            connection.check(now)
        if self._sessions.kept is not None:
            self._sessions.kept.sweep()

    async def _drain(self) -> None:
        """Tell every client that the server goes; cut those that do not go by themselves.

        Wills are not published: the devices are not lost, the core is (5, 3.1.2.5 leaves it open).
        """
        for connection in list(self._connections):
            if connection.session is not None and connection.session.live:
                connection.session.shut_down()
            else:
                connection.abort()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                while self._connections:  # noqa: ASYNC110  a set has no event, and this runs once, at the end
                    await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()


def _in_thread(
    loop: asyncio.AbstractEventLoop, work: Callable[[], bool], done: Callable[[bool | None], None]
) -> None:
    """Do the work in a thread of the loop, then call `done` on the loop: verifier.Run."""

    def tell(future: asyncio.Future[bool]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            _log.error("password not checked reason=%r", error)
        done(None if future.cancelled() or error is not None else future.result())

    loop.run_in_executor(None, work).add_done_callback(tell)


def _listening_socket(host: str, entrance: Entrance) -> socket.socket:
    """A socket on `host` ("" for all addresses of both families).

    Made here and not by the loop, which would resolve the address with four threads of its own.
    """
    port, any_address = entrance.port, not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if any_address or ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=any_address)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host or '*'}:{port}: {error.strerror or error}. "
            f"Stop what holds the port, or set another listener.host or listener.{entrance.setting}"
        ) from error
    for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # handed down to each connection
        made.setsockopt(socket.SOL_SOCKET, buffer, SOCKET_BYTES)
    return made
