"""MQTT over WebSocket (3.1.1 and 5, section 6): between TLS and the session, and to the session its wire.

Packets need not align with frames: what binary frames carry is one stream of bytes. Frames are the
library's (websockets); what may be too much of them, and when it is over, is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import OPEN, Event, Protocol

from edgecore.listener.device_session import MAX_CONNECT_BYTES, DeviceSession
from edgecore.listener.refusals import Refusals
from edgecore.listener.upgrade import Upgrade
from edgecore.listener.wire import Wire

# A client may put several packets in a frame (MQTT.js all that it has queued), and a frame is only passed
# on when it is whole. As much as the event loop reads from a socket at once, so that a frame full of small
# packets holds the others up no longer than a read does.
MAX_FRAME: Final = 256 * 1024
# The longest header of a frame: two bytes, eight of length, four of mask (RFC 6455, 5.2).
_MAX_FRAME_HEADER: Final = 14


class WebSocket:
    """One client's WebSocket, from its HTTP request on."""

    __slots__ = ("_peer", "_pong", "_protocol", "_refusals", "_unread", "_upgrade", "_wire", "session")

    def __init__(
        self,
        wire: Wire,
        peer: str,
        origins: Sequence[str],
        max_packet_size: int,
        refusals: Refusals,
        make_session: Callable[[Wire], DeviceSession],
    ) -> None:
        self._wire = wire
        self._peer = peer
        self._refusals = refusals
        self._upgrade: Upgrade | None = Upgrade(origins, max(MAX_FRAME, max_packet_size))
        self._protocol: Protocol = self._upgrade.protocol
        self._unread = 0  # bytes of a frame that is not whole yet
        self._pong = b""  # an answer to a ping that the peer does not read yet
        self.session = make_session(self)

    # From the connection --------------------------------------------------------------------------

    def data(self, data: bytes, now: float) -> None:
        """Take what was decrypted."""
        if self._upgrade is not None:
            self._ask(self._upgrade, data, now)
            return
        protocol = self._protocol
        protocol.receive_data(data)
        self._unread += len(data)
        payload, reason = self._payload(protocol.events_received())
        if not self.session.live and self._unread > MAX_CONNECT_BYTES + _MAX_FRAME_HEADER:
            reason = f"a frame of more than {MAX_CONNECT_BYTES} bytes before CONNECT was answered"
            protocol.fail(CloseCode.MESSAGE_TOO_BIG, reason)
        over = protocol.state is not OPEN
        control = protocol.data_to_send()
        if payload:
            self.session.data(payload, now)
        if over:
            self._end(b"".join(control), reason or str(protocol.parser_exc or ""), now)
        elif control:
            self._answer(control[-1])

    def writable(self) -> None:
        """Go on after the connection was blocked."""
        if self._pong:
            pong, self._pong = self._pong, b""
            self._answer(pong)
        self.session.writable()

    def lost(self) -> None:
        """Note that the connection is gone."""
        self.session.lost()

    # From the session (device_session.Wire) ---------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether the peer reads too slowly."""
        return self._wire.blocked

    def send(self, data: bytes) -> None:
        """Send bytes, as one binary frame."""
        if self._protocol.state is OPEN:
            self._protocol.send_binary(data)
            self._wire.send(b"".join(self._protocol.data_to_send()))

    def finish(self) -> None:
        """Say goodbye, and close once what was sent is out."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._wire.send(b"".join(self._protocol.data_to_send()))
        self._wire.finish()

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading."""
        self._wire.hold_reading(hold)

    # Inside ---------------------------------------------------------------------------------------

    def _ask(self, upgrade: Upgrade, data: bytes, now: float) -> None:
        answer = upgrade.feed(data)
        if upgrade.accepted:
            self._upgrade = None
            self._wire.send(answer)
        elif upgrade.reason:
            self._end(answer, upgrade.reason, now)

    def _payload(self, frames: Sequence[Event]) -> tuple[bytes, str]:
        """What the binary frames carry, and why there must be no more, or ""."""
        parts: list[bytes] = []
        for frame in frames:
            assert isinstance(frame, Frame)
            self._unread = 0
            if frame.opcode is Opcode.TEXT:
                # [MQTT-6.0.0-1]. What continues a text is never reached.
                reason = "a text frame: MQTT is sent in binary frames"
                self._protocol.fail(CloseCode.UNSUPPORTED_DATA, reason)
                return b"".join(parts), reason
            if frame.opcode in (Opcode.BINARY, Opcode.CONT):
                parts.append(bytes(frame.data))
        return b"".join(parts), ""

    def _answer(self, pong: bytes) -> None:
        """Answer the last of the pings that came (RFC 6455, 5.5.3, allows it): a flood costs nothing."""
        if self._wire.blocked:
            self._pong = pong
        else:
            self._wire.send(pong)

    def _end(self, last: bytes, reason: str, now: float) -> None:
        """Hang up. `reason`: why, when it was the peer's fault."""
        if reason:
            self._refusals.note("websocket", self._peer, reason, now)
        if last:
            self._wire.send(last)
        self._wire.finish()
        self.session.lost()
