"""One listening port of the simulated cloud: TCP, then TLS, then a protocol. Faults may bar it.

It accepts by itself and not through asyncio's server, so that a connection can be left half-open:
accepted, and no TLS handshake answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from typing import Final

from edgecore.base.errors import EdgecoreError
from edgecore.sim.cloud.faults import Faults

# A core on the same machine may be held up by tests; a fleet may connect at once.
BACKLOG: Final = 1024
# SO_LINGER on with a time of zero: close() sends RST, so that the peer notices at once.
RESET: Final = struct.pack("ii", 1, 0)
# Seconds for the client's part of the handshake.
HANDSHAKE_SECONDS: Final = 20.0
# Seconds to wait after a connection could not be accepted.
ACCEPT_PAUSE: Final = 0.1

_log = logging.getLogger("edgecore.sim.cloud")

Make = Callable[[], asyncio.Protocol]


class Door:
    """Connections on `sock`; `changed()` is called when faults were put on or off."""

    def __init__(self, sock: socket.socket, tls: ssl.SSLContext, make: Make, faults: Faults) -> None:
        self._socket = sock
        self._tls = tls
        self._make = make
        self._faults = faults
        self._healthy = asyncio.Event()
        self.changed()

    @property
    def port(self) -> int:
        """The port in use."""
        port: int = self._socket.getsockname()[1]
        return port

    def changed(self) -> None:
        """Faults are others now."""
        if self._faults.state.half_open:
            self._healthy.clear()
        else:
            self._healthy.set()

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    arrived, _ = await loop.sock_accept(self._socket)
                except OSError as error:
                    # Out of descriptors, or a client that left in the queue: neither ends the cloud.
                    _log.warning("a connection was not accepted: %s", error)
                    await asyncio.sleep(ACCEPT_PAUSE)
                    continue
                group.create_task(self._admit(arrived), name="cloud handshake")

    async def _admit(self, arrived: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(arrived)
            await self._healthy.wait()
            if self._faults.state.cut:
                arrived.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return
            arrived.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Who gives up in the middle of a handshake, or has no certificate, is nobody's fault here.
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().connect_accepted_socket(
                    self._make, arrived, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_SECONDS
                )
                stack.pop_all()  # the transport closes it from here on


@contextlib.asynccontextmanager
async def listening(host: str, port: int) -> AsyncIterator[socket.socket]:
    """A listening socket. Raises EdgecoreError when the port is taken."""
    try:
        family = (await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM))[0][0]
        sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise EdgecoreError(
            f"the simulated cloud cannot listen on {host}:{port} ({error.strerror or error}): "
            "choose another port, or 0 for any free one"
        ) from error
    with sock:
        sock.setblocking(False)  # noqa: FBT003  the socket's own word
        yield sock
