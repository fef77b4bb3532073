"""One TCP connection of the listener: TLS in between, a DeviceSession behind it.

    HANDSHAKE ------established-------> OPEN --finish--> CLOSING --peer gone, or time up--> gone
        `-------------failed-----------------------------^

The only protocol class of this room. It knows no MQTT; times come from the loop's clock.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, Protocol, cast

from edgecore.listener.crowd import Crowd
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.refusals import Refusals
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.tls import TlsChannel
from edgecore.listener.turn import Turn
from edgecore.listener.wire import HIGH_WATER

HANDSHAKE: Final = "handshake"
OPEN: Final = "open"
CLOSING: Final = "closing"

# Seconds that a peer has to take our last words and hang up. Closing at once with unread input would
# reset the connection, and the reason would be lost (facts: mqtt-clients.md).
LINGER: Final = 2.0
# Seconds of one turn of the loop that a connection's bytes may take before it stands in line behind the
# others: a read of 256 KB holds 130,000 PINGREQ, which take a fifth of a second.
SHARE: Final = 0.001
# Bytes that a session gets at first: a hundred small packets. What goes fast gets four times as much next,
# so that a whole read of packets that are forwarded as they are takes five parts.
FIRST_PART: Final = 1024
GROWTH: Final = 4
# Bytes of one read after which others have their turn first. libuv reads 256 KB at a time and one socket up
# to 32 times in a row while it fills them: 8 MB of one flooding publisher, 18 to 32 ms of everyone's time.
MUCH: Final = 64 * 1024


class Above(Protocol):
    """What stands on TLS: the session itself, or a WebSocket with the session on top."""

    def data(self, data: bytes, now: float) -> None:
        """Take what was decrypted, never empty. `now`: monotonic seconds."""
        ...

    def writable(self) -> None:
        """Go on after the connection was blocked."""
        ...

    def lost(self) -> None:
        """Note that the connection is gone; may be said more than once."""
        ...


# Called once TLS is established, with the peer's address. Gives what takes the bytes, and the session
# behind it. Raises ssl.SSLError when the peer does not show what it must.
Open = Callable[["Connection", TlsChannel, str], tuple[Above, DeviceSession]]


class Connection(asyncio.Protocol):
    """A client's connection. `blocked`: the peer reads too slowly, send nothing now.

    `entrance`: the port that it came in by, as ports.json calls it.
    """

    __slots__ = (
        "_above",
        "_addresses",
        "_channel",
        "_connections",
        "_deadline",
        "_held",
        "_open",
        "_peer",
        "_reading",
        "_refusals",
        "_rest",
        "_settings",
        "_time",
        "_transport",
        "_turn",
        "_waiting",
        "blocked",
        "entrance",
        "phase",
        "session",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        settings: ListenerSettings,
        connections: set[Connection],
        refusals: Refusals,
        open_: Open,
        loop: asyncio.AbstractEventLoop,
        addresses: Crowd,
        turn: Turn,
        entrance: str = "",
    ) -> None:
        self._channel = TlsChannel(context)
        self._settings = settings
        self._connections = connections
        self._addresses = addresses
        self._refusals = refusals
        self._open = open_
        self._time = loop.time
        self._transport: asyncio.Transport | None = None
        self._turn = turn
        self._peer = ""
        self._deadline = 0.0
        self._rest = b""  # decrypted, and not passed on yet
        self._held = False  # the session wants nothing now
        self._waiting = False  # for its turn in line
        self._reading = True
        self.entrance = entrance
        self.blocked = False
        self.phase = HANDSHAKE
        self.session: DeviceSession | None = None
        self._above: Above | None = None

    # From the event loop --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, unless the house is full."""
        transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._transport = transport
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if address else "unknown"
        now = self._time()
        if len(self._connections) >= self._settings.max_connections:
            text = f"{len(self._connections)} connections are open: listener.max_connections is reached"
            self._refusals.note("full house", self._peer, text, now)
            transport.abort()
            return
        if self._addresses.count(self._peer) >= self._settings.max_connections_per_address:
            text = "listener.max_connections_per_address is reached"
            self._refusals.note("full address", self._peer, text, now)
            transport.abort()
            return
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._deadline = now + self._settings.handshake_timeout
        self._connections.add(self)
        self._addresses.enter(self._peer)

    def data_received(self, data: bytes) -> None:
        """Decrypt and pass on."""
        if self.phase is OPEN:
            try:
                plain = self._channel.decrypt(data)
            except ssl.SSLError as error:
                self._broken(error)
                return
            if plain:
                above = self._above
                if len(plain) > FIRST_PART or self._rest or self._held or above is None:
                    self._pass_on(self._rest + plain)
                else:  # what most reads hold takes no share worth a look at the clock
                    turn = self._turn
                    alone = turn.begin()
                    try:
                        above.data(plain, self._time())
                    finally:
                        if alone:
                            turn.end()
            if len(data) >= MUCH:
                self._stand_in_line()
            if self._channel.closed:
                self._look_for_end()
        elif self.phase is HANDSHAKE:
            self._shake_hands(data)

    def eof_received(self) -> None:
        """Let the loop close; a peer that is gone needs no close_notify."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature; why it ended is the same to us
        """Tell the session."""
        if self in self._connections:  # not when it was turned away at once
            self._connections.discard(self)
            self._addresses.leave(self._peer)
        self._transport = None
        if self._rest and self.phase is OPEN:
            rest, self._rest = self._rest, b""
            self._above.data(rest, self._time())  # type: ignore[union-attr]  # it came before the end
        self.phase = CLOSING
        self._lost()

    def pause_writing(self) -> None:
        """Send nothing more: the peer does not read."""
        self.blocked = True

    def resume_writing(self) -> None:
        """Go on sending."""
        self.blocked = False
        if self._above is not None:
            self._above.writable()

    # From the session -----------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Encrypt and send; never raises."""
        transport = self._transport
        if self.phase is not OPEN or transport is None:
            return
        try:
            transport.write(self._channel.encrypt(data))
        except ssl.SSLError as error:
            self._broken(error)

    def finish(self) -> None:
        """End our half, wait a little for the peer's, discarding what still comes."""
        transport = self._transport
        if self.phase is CLOSING or transport is None:
            return
        last = self._channel.close() if self.phase is OPEN else self._channel.take()
        self.phase = CLOSING
        self._rest = b""
        self._deadline = self._time() + LINGER
        if transport.is_closing():
            return
        transport.resume_reading()
        if last:
            transport.write(last)
        transport.write_eof()

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading: nothing is passed on before the next turn."""
        self._held = hold
        if self._rest and not hold:
            self._stand_in_line()
        self._set_reading()

    # From the service -----------------------------------------------------------------------------

    def check(self, now: float) -> None:
        """End what has taken too long. `now`: the loop's clock."""
        if self.phase is OPEN and self.session is not None and self.session.live:
            self.session.check(now)
        elif now >= self._deadline:
            self._too_late(now)

    def _too_late(self, now: float) -> None:
        if self.phase is HANDSHAKE:
            seconds = self._settings.handshake_timeout
            self._refusals.note("handshake", self._peer, f"TLS handshake not done after {seconds:g} s", now)
        elif self.phase is OPEN:
            seconds = self._settings.connect_timeout
            self._refusals.note("connect", self._peer, f"no CONNECT within {seconds:g} s", now)
        self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.abort()

    # Inside ---------------------------------------------------------------------------------------

    def _pass_on(self, plain: bytes) -> None:
        """Give the session what came, part by part, while it wants it and its share of the turn lasts."""
        above = self._above
        assert above is not None  # OPEN has it
        began = now = self._time()
        self._rest = b""
        offset, size = 0, FIRST_PART
        while offset < len(plain) and self.phase is OPEN:
            if self._held or now >= began + SHARE:
                self._rest = plain[offset:]
                self._stand_in_line()
                return
            above.data(plain[offset : offset + size], now)
            offset += size
            size *= GROWTH
            now = self._time()

    def _stand_in_line(self) -> None:
        """Go on in a turn to come; until then nothing is read."""
        if not self._waiting and not self._held and self.phase is OPEN:
            self._waiting = True
            self._turn.in_line(self._go_on)
        self._set_reading()

    def _go_on(self) -> None:
        self._waiting = False
        if self.phase is not OPEN or self._held:
            return
        if self._rest:
            self._pass_on(self._rest)
        self._set_reading()
        self._look_for_end()

    def _set_reading(self) -> None:
        reading = not (self._held or self._waiting or self._rest)
        transport = self._transport
        if reading is self._reading or self.phase is not OPEN or transport is None or transport.is_closing():
            return
        self._reading = reading
        if reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def _look_for_end(self) -> None:
        """Hang up when the peer has ended TLS and all that came before was passed on."""
        if self._channel.closed and not self._rest and self.phase is OPEN:
            self.finish()
            self._lost()

    def _shake_hands(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            answer = self._channel.handshake(data)
            if answer:
                self._transport.write(answer)
            if not self._channel.established:
                return
            above, session = self._open(self, self._channel, self._peer)
        except ssl.SSLError as error:
            self._refusals.note("handshake", self._peer, _reason(error), self._time())
            self.finish()
            return
        self.phase = OPEN
        self._deadline = self._time() + self._settings.connect_timeout
        self._above, self.session = above, session
        if self._channel.has_input:
            self.data_received(b"")  # what came along with the end of the handshake

    def _broken(self, error: ssl.SSLError) -> None:
        self._refusals.note("tls", self._peer, _reason(error), self._time())
        self.phase = HANDSHAKE  # nothing can be said over TLS any more but its own alert
        self.finish()
        self._lost()

    def _lost(self) -> None:
        if self._above is not None:
            self._above.lost()


def _reason(error: ssl.SSLError) -> str:
    """What OpenSSL says, without its file names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return error.reason or str(error)
