"""The listener's life: the socket, the sweep of what has taken too long, the end of all sessions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import CertificateError, UnavailableError
from edgecore.base.group import DeviceSpec
from edgecore.base.interfaces import Ready
from edgecore.listener.admission import Admission, CertificateBook
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.crowd import Crowd
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.tls import TlsFiles, server_context
from edgecore.listener.transport import Connection
from edgecore.listener.turn import Turn
from edgecore.router import Router

_log = logging.getLogger(__name__)

# Seconds between looks at deadlines. One sweep over all connections instead of a timer for each: keep
# alive is counted in seconds, and a timer per packet would cost more than the packet.
SWEEP: Final = 1.0
# A site's devices all come back at once after a power cut; the kernel holds those not accepted yet.
BACKLOG: Final = 1024
# Seconds that clients have to take their DISCONNECT when the service stops.
DRAIN: Final = 0.5
# Seconds between looks at the server's certificate. Its last third is 275 days: an hour is soon enough
# for that, and for an address that the machine was given meanwhile.
RENEWAL: Final = 3600.0

# Remakes the server's certificate when it must be, and says whether it did. Raises CertificateError, OSError.
Renew = Callable[[], bool]


class ListenerService:
    """MQTT over mutually authenticated TLS, for client devices."""

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
    ) -> None:
        self._settings = settings
        self._router = bus
        self._admission = Admission(registry, admits)
        self._tls = tls
        self._renew = renew
        self._stale = False
        self._context: ssl.SSLContext | None = None
        self._clock = clock
        self._refusals = Refusals()
        self._sessions = Sessions() if sessions is None else sessions
        self._connections: set[Connection] = set()
        self._addresses = Crowd()
        self.port = 0

    async def run(self, ready: Ready) -> None:
        """Serve until cancelled. Raises CertificateError, UnavailableError when the port is taken."""
        self._context = server_context(self._tls)
        renewal = asyncio.get_running_loop().time() + RENEWAL
        async with self._listening():
            _log.info("MQTT over TLS on %s:%d", self._settings.host or "*", self.port)
            ready()
            while True:
                await asyncio.sleep(SWEEP)
                self._sweep()
                if asyncio.get_running_loop().time() >= renewal:
                    await self._look_at_certificate()
                    renewal = asyncio.get_running_loop().time() + RENEWAL

    def reload(self) -> None:
        """Read the TLS files anew: for handshakes from now on; connections stay as they are.

        Raises CertificateError when they cannot be used; the ones in use then stay in use.
        """
        self._context = server_context(self._tls)

    def recheck(self) -> None:
        """End the sessions of devices that were revoked or have left the group, now."""
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
            "connections": len(self._connections),
            "sessions": len(self._sessions),
            "takeovers": self._sessions.takeovers,
            "refused": dict(self._refusals.counts),
            "connected": len(live),
            "most_connected": traffic.most_connected,
            "dropped": traffic.dropped + sum(session.dropped for session in live),
            "queued": sum(session.queued for session in live),
            "in_flight": sum(session.in_flight for session in live),
            "traffic": traffic.status(),
            "acknowledged": traffic.acknowledged.status(),
            "devices": sorted({session.principal.name for session in live}),
            "kept": self._sessions.kept.status() if self._sessions.kept is not None else {},
        }

    @contextlib.asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        turn = Turn(loop.call_soon)
        door = Door(self._settings, self._router, self._sessions, self._refusals, turn, self._clock)

        def make_session(connection: Connection, fingerprint: str, peer: str) -> DeviceSession:
            return DeviceSession(connection, CertificateCredential(self._admission, fingerprint), peer, door)

        def make_connection() -> Connection:
            # Read at each connection: `reload` puts another one here.
            assert self._context is not None
            return Connection(
                self._context,
                self._settings,
                self._connections,
                self._refusals,
                make_session,
                loop,
                self._addresses,
            )

        server = await self._open(loop, make_connection)
        try:
            yield
        finally:
            server.close()
            await self._drain()
            self.port = 0

    async def _open(
        self, loop: asyncio.AbstractEventLoop, make_connection: Callable[[], Connection]
    ) -> asyncio.Server:
        listening = _listening_socket(self._settings.host, self._settings.port)
        self.port = int(listening.getsockname()[1])
        return await loop.create_server(make_connection, sock=listening, backlog=BACKLOG)

    async def _look_at_certificate(self) -> None:
        """Renew the server's certificate when it is time. A failure leaves the present one in use."""
        try:
            # In a thread: it waits for the disk.
            self._stale = await asyncio.to_thread(self._renew) or self._stale
            if self._stale:
                self.reload()
                self._stale = False
                _log.info("server certificate renewed, new handshakes use it")
        except (CertificateError, OSError) as error:
            _log.error("server certificate not renewed, next try in %g s reason=%r", RENEWAL, str(error))

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


def _listening_socket(host: str, port: int) -> socket.socket:
    """A socket on `host` ("" for all addresses of both families).

    Made here and not by the loop, which would resolve the address with four threads of its own.
    """
    any_address = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if any_address or ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=any_address)
    except OSError as error:
        raise UnavailableError(
            f"cannot listen on {host or '*'}:{port}: {error.strerror or error}. "
            "Stop what holds the port, or set another listener.host or listener.port"
        ) from error
