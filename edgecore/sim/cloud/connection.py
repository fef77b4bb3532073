"""Joins a TLS transport and a conversation: clocks, back pressure, throughput, and faults of the link."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import cast

from edgecore.sim.cloud.access import ANYBODY
from edgecore.sim.cloud.broker import Broker
from edgecore.sim.cloud.certificates import read_certificate
from edgecore.sim.cloud.conversation import Conversation, Guest
from edgecore.sim.cloud.live import Live

_log = logging.getLogger("edgecore.sim.cloud")


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, broker: Broker, live: Live, connections: set[Connection]) -> None:
        self._broker = broker
        self._live = live
        self._connections = connections
        self._frozen = False
        self._full = False
        self._resumes: asyncio.TimerHandle | None = None
        # What the link holds back while it is slow or half-open. None in `_outward` closes.
        self._inward: deque[bytes] = deque()
        self._outward: deque[bytes | None] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done."""
        # uvloop's transports have the interface without being of the class.
        self._transport = transport = cast("asyncio.Transport", transport)
        self._loop = asyncio.get_running_loop()
        self._connections.add(self)
        self._conversation = Conversation(
            self._broker,
            self._live,
            self._write,
            self._close,
            new_id,
            time.monotonic(),
            guest_of(transport),
            self._resume_later,
        )

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._holds_back(self._inward):
            self._inward.append(data)
            self._hold(self._next_in)
        else:
            self._feed(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio calls it so
        """The connection is gone."""
        self._connections.discard(self)
        if self._resumes is not None:
            self._resumes.cancel()
        self._conversation.lost(time.monotonic())
        self._live.flush(time.monotonic())

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._full = True
        self._conversation.paused = True

    def resume_writing(self) -> None:
        """It has read."""
        self._full = False
        self._resume()

    def check(self, now: float) -> None:
        """Look at the keep alive."""
        if not self._frozen:
            self._conversation.check(now)
            self._report()

    def abort(self) -> None:
        """Drop the connection with a reset: the cloud ends, or the link is cut."""
        self._transport.abort()

    def freeze(self, frozen: bool) -> None:
        """Half-open: neither read nor write, and go on where it stopped."""
        if frozen == self._frozen:
            return
        self._frozen = frozen
        if not frozen:
            self._conversation.forgive(time.monotonic())
            while self._inward:
                self._next_in()
            while self._outward:
                self._next_out()
        self._resume()

    def _feed(self, data: bytes) -> None:
        now = time.monotonic()
        self._conversation.data(data, now)
        self._report()
        wait = self._conversation.wait(now)
        if wait:
            self._resume_later(wait)
            self._transport.pause_reading()

    # -- the throughput limit

    def _resume_later(self, seconds: float) -> None:
        if self._resumes is None:
            self._resumes = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._resumes is not None:
            self._resumes.cancel()
        self._resumes = None
        self._conversation.paused = self._full or self._frozen
        if self._frozen:
            self._transport.pause_reading()
            return
        self._transport.resume_reading()
        self._conversation.flush(time.monotonic())

    # -- a link that is slow or half-open

    def _holds_back(self, waiting: deque[bytes] | deque[bytes | None]) -> bool:
        return self._frozen or bool(self._broker.faults.state.slow) or bool(waiting)

    def _hold(self, release: Callable[[], None]) -> None:
        """Release what was just held back when its time has come; if frozen, the thaw does."""
        if not self._frozen:
            self._loop.call_later(self._broker.faults.state.slow, release)

    def _write(self, data: bytes) -> None:
        if self._holds_back(self._outward):
            self._outward.append(data)
            self._hold(self._next_out)
        else:
            self._transport.write(data)

    def _close(self) -> None:
        if self._holds_back(self._outward):
            self._outward.append(None)
            self._hold(self._next_out)
        else:
            self._transport.close()

    def _next_in(self) -> None:
        if self._inward and not self._frozen:
            self._feed(self._inward.popleft())

    def _next_out(self) -> None:
        if not self._outward or self._frozen:
            return
        data = self._outward.popleft()
        if data is None:
            self._transport.close()
        else:
            self._transport.write(data)

    def _report(self) -> None:
        for text in self._conversation.refusals:
            _log.warning("%s: %s", self._conversation.client_id or "a client", text)
        self._conversation.refusals.clear()


def guest_of(transport: asyncio.BaseTransport) -> Guest:
    """Certificate and address of a connection whose handshake is done."""
    tls = transport.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls is not None else None
    peer = transport.get_extra_info("peername")
    return Guest(read_certificate(der) if der else ANYBODY, str(peer[0]) if peer else "")


def new_id() -> str:
    """An id that nothing else has."""
    return str(uuid.uuid4())
