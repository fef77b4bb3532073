"""The server half of one MQTT session over one connection, for 3.1.1 and 5. Sans-IO.

It decides what a packet means in the state the session is in, keeps the packet identifiers, windows and
acknowledgements, and collects the bytes to send in `outgoing`. It does not know sockets, clocks, TLS,
who the peer is, or who may do what: `receive` hands back each packet that needs such a decision, and
the driver answers with accept, refuse, acknowledge, hold and settle, release, complete, suback, unsuback.

Where the session outlives the connection, the driver brings what outlives it: an Inbound and a Sending.

The driver owes it: packets in order, a look at `next_deadline()`, the sending of `take()`, the
closing of the connection once `state` is OVER, and then the publishing of `will` if there is one.

    WAITING --accept--> LIVE --DISCONNECT, fail, goodbye--> OVER
       `-----refuse, fail----------------------------------->'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.mqtt.acceptance import Kept, SessionLimits, announcement, granted_keep_alive, window_of
from edgecore.mqtt.aliases import ReceivedAliases, SentAliases
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.images import frame_of, parts_of, special_frame
from edgecore.mqtt.inbound import Inbound, Known, Pending, receive_maximum_exceeded
from edgecore.mqtt.outbound import Outbound, Release, Sending
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import (
    MAXIMUM_PACKET_SIZE,
    REASON_STRING,
    REQUEST_PROBLEM_INFORMATION,
    SESSION_EXPIRY_INTERVAL,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    TOPIC_ALIAS_MAXIMUM,
    PropertyMap,
)
from edgecore.mqtt.reason_codes import ReasonCode, v311_return_code
from edgecore.mqtt.runs import AckedRun, pubacks_of

WAITING: Final = "waiting"
LIVE: Final = "live"
OVER: Final = "over"

# 5, 3.1.2.10: the server closes after one and a half times the keep alive.
KEEP_ALIVE_GRACE: Final = 1.5
# A reason string is for people; it must not make a packet larger than a small client takes.
MAX_REASON_BYTES: Final = 200

_PUBACK: Final = b"\x40\x02"
_PUBREC: Final = b"\x50\x02"


class ServerSession:
    """One session. `unsent` counts the bytes in `outgoing`; `last_heard` is the driver's to set.

    `publishes`: the PUBLISH packets in `outgoing`; `joined`: its packets beyond one per entry.
    """

    __slots__ = (
        "_inbound",
        "_keep_alive",
        "_limits",
        "_peer_max_packet",
        "_problem_information",
        "_received_aliases",
        "_sent_aliases",
        "_stored",
        "client_id",
        "dropped",
        "expiry",
        "joined",
        "last_heard",
        "outbound",
        "outgoing",
        "publishes",
        "state",
        "unsent",
        "version",
        "will",
    )

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._inbound = Inbound(limits.receive_maximum)
        self._keep_alive = 0
        self._peer_max_packet = 0  # 0: the client named none
        self._problem_information = True
        self._stored = False
        self._received_aliases = ReceivedAliases(limits.topic_aliases)
        self._sent_aliases = SentAliases(0)
        self.client_id = ""
        self.expiry = 0
        self.version = 0
        self.state = WAITING
        self.will: p.Will | None = None
        self.outbound: Sending = Outbound(limits.max_in_flight, limits.max_queued, limits.max_queued_bytes)
        self.outgoing: list[bytes] = []
        self.unsent = 0
        self.publishes = 0
        self.joined = 0
        self.dropped = 0
        self.last_heard = 0.0

    # Packets in ---------------------------------------------------------------------------------

    def receive(self, first_byte: int, body: bytes) -> p.Packet | None:
        """Take one packet; gives it back when the driver must decide, None when nothing is left to do.

        Handed back are CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE and DISCONNECT, and PUBREL where the
        session outlives the connection. Raises RemoteProtocolError; the driver then calls `fail` with it.
        """
        if self.state == LIVE and first_byte >> 4 == p.CONNECT:
            # Not decoded: what is wrong inside it, such as its version, has no place in a DISCONNECT.
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNECT came (5, 3.1.0-2)")
        packet = decode(first_byte, body, self.version)
        act = self._ACTIONS[self.state].get(type(packet))
        if act is None:
            name = p.NAMES[first_byte >> 4]
            raise RemoteProtocolError(
                ReasonCode.PROTOCOL_ERROR,
                f"{name} is not for a client to send in a session that is {self.state}",
            )
        return act(self, packet)

    def fail(self, error: RemoteProtocolError) -> None:
        """End the session because the peer broke the protocol: say why, where the version can."""
        if self.state == WAITING:
            self.refuse(error.reason_code, str(error))
        else:
            self.goodbye(error.reason_code, str(error))

    def _connect(self, packet: p.Connect) -> p.Packet:
        properties = packet.properties
        self.version = packet.version
        self._problem_information = bool(properties.integer(REQUEST_PROBLEM_INFORMATION, 1))
        self._peer_max_packet = properties.integer(MAXIMUM_PACKET_SIZE)
        return packet

    def _publish(self, packet: p.Publish) -> p.Packet | None:
        if packet.properties is not None:
            _check_publish_properties(packet.properties)
            if TOPIC_ALIAS in packet.properties:
                alias = packet.properties.integer(TOPIC_ALIAS)
                packet.topic = self._received_aliases.resolve(packet.topic, alias)
        if packet.qos == 0:
            return packet
        if packet.qos == 2:
            known = self._inbound.begin(packet.packet_id)
            if known is not Known.NEW:
                if known is not Known.TAKING:
                    self._send(_PUBREC + packet.packet_id.to_bytes(2, "big"))
                return None
        elif self.version == V5 and self._inbound.full:
            raise receive_maximum_exceeded(self._limits.receive_maximum)
        return packet

    def _puback(self, packet: p.PubAck) -> None:
        self.outbound.finished(packet.packet_id, p.PUBACK)

    def _pubrec(self, packet: p.PubRec) -> None:
        failed = packet.reason_code >= ReasonCode.UNSPECIFIED_ERROR
        due = self.outbound.received(packet.packet_id, failed)
        if due is Release.NOW:
            self.release(packet.packet_id)
        elif due is Release.UNKNOWN and not failed:
            answer = p.PubRel(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)
            self._send(encode(answer, self.version))

    def _pubcomp(self, packet: p.PubComp) -> None:
        self.outbound.finished(packet.packet_id, p.PUBCOMP)

    def _pubrel(self, packet: p.PubRel) -> p.Packet | None:
        known = self._inbound.release(packet.packet_id)
        if known is Known.TAKEN and self._stored:
            return packet
        if known is Known.LETTING_GO:
            return None  # its PUBCOMP is on the way
        self.complete(packet.packet_id, found=known is Known.TAKEN)
        return None

    def _subscribe(self, packet: p.Subscribe) -> p.Packet:
        return packet

    def _unsubscribe(self, packet: p.Unsubscribe) -> p.Packet:
        return packet

    def _pingreq(self, _packet: p.PingReq) -> None:
        self._send(b"\xd0\0")

    def _disconnect(self, packet: p.Disconnect) -> p.Packet:
        if SESSION_EXPIRY_INTERVAL in packet.properties:
            wanted = packet.properties.integer(SESSION_EXPIRY_INTERVAL)
            if wanted and not self.expiry:
                # What is 0 may not be set now (5, 3.14.2.2.2).
                raise RemoteProtocolError(
                    ReasonCode.PROTOCOL_ERROR, "DISCONNECT sets a session expiry interval"
                )
            self.expiry = min(wanted, self._limits.max_session_expiry)
        if packet.reason_code == ReasonCode.NORMAL_DISCONNECTION:
            self.will = None  # any other reason leaves it due (5, 3.14.2.1)
        self.state = OVER
        return packet

    # What a packet does in each state; what is not here is a protocol error (5, 4.13).
    _ACTIONS: ClassVar[dict[str, dict[type, Callable[..., p.Packet | None]]]] = {
        WAITING: {p.Connect: _connect},
        LIVE: {
            p.Publish: _publish,
            p.PubAck: _puback,
            p.PubRec: _pubrec,
            p.PubRel: _pubrel,
            p.PubComp: _pubcomp,
            p.Subscribe: _subscribe,
            p.Unsubscribe: _unsubscribe,
            p.PingReq: _pingreq,
            p.Disconnect: _disconnect,
        },
        OVER: {},
    }

    # The driver's answers -----------------------------------------------------------------------

    def accept(self, connect: p.Connect, client_id: str, kept: Kept | None = None) -> None:
        """Answer CONNECT with success. `client_id`: the client's own, or the one assigned (5, 3.2.2.3.7).

        `kept`: what a session that outlives its connection brings; None for one that ends with it.
        """
        limits = self._limits
        self.client_id = client_id
        self.will = connect.will
        self._keep_alive = granted_keep_alive(connect, limits.max_keep_alive)
        aliases = min(connect.properties.integer(TOPIC_ALIAS_MAXIMUM), limits.topic_aliases)
        self._sent_aliases = SentAliases(aliases)
        if kept is None:
            self.outbound = Outbound(window_of(connect, limits), limits.max_queued, limits.max_queued_bytes)
        else:
            self._stored = True
            self.expiry, self.outbound, self._inbound = kept.expiry, kept.outbound, kept.inbound
        self.state = LIVE
        announced = announcement(connect, limits, self._keep_alive, client_id, self.expiry)
        present = kept is not None and kept.present
        self._answer(encode(p.ConnAck(present, 0, announced), self.version))

    def refuse(self, reason_code: int, text: str) -> None:
        """Answer CONNECT with a failure, or end before it came."""
        if self.version == V5:
            refusal = p.ConnAck(reason_code=reason_code, properties=self._explanation(text))
            if self._too_large(len(encode(refusal, V5))):
                refusal.properties.clear()  # the maximum holds for reason strings too (5, 3.2.2.3.9)
            self._send(encode(refusal, V5))
        elif self.version == V311 or reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            # Nothing is known of the peer but that it speaks another version: 3.1.1 says 0x01.
            self._send(encode(p.ConnAck(reason_code=v311_return_code(reason_code)), V311))
        self.state = OVER

    def acknowledge(self, packet_id: int, qos: int, reason_code: int = 0) -> None:
        """Answer a PUBLISH at QoS 1 or 2, in line behind those that are held."""
        if self._inbound.waiting:
            self._inbound.owe(packet_id, qos, reason_code)
        elif qos == 1 and reason_code == 0:
            self.outgoing.append(_PUBACK + packet_id.to_bytes(2, "big"))
            self.unsent += 4
        else:
            self._send_acknowledgement(packet_id, qos, reason_code)

    def hold(self, packet_id: int, qos: int) -> Pending:
        """Put off the answer to a PUBLISH until `settle`."""
        return self._inbound.owe(packet_id, qos)

    def hold_run(self, run: AckedRun) -> Pending:
        """Put off the answers to a run of QoS 1 packets until `settle`."""
        return self._inbound.owe_run(run)

    def settle(self, pending: Pending, reason_code: int = 0) -> None:
        """Answer what was held, and those that waited behind it."""
        pending.reason_code = reason_code
        for each in self._inbound.due():
            assert each.reason_code is not None
            if each.run is None:
                self._send_acknowledgement(each.packet_id, each.qos, each.reason_code)
            elif each.reason_code == ReasonCode.SUCCESS:
                self.acknowledge_run(each.run)
            else:
                for packet_id in each.run.ids:
                    self._send_acknowledgement(packet_id, 1, each.reason_code)

    def release(self, packet_id: int) -> None:
        """Send PUBREL: the client has the message, and that is as durable as it must be."""
        self._send(encode(p.PubRel(packet_id), self.version))

    def complete(self, packet_id: int, found: bool = True) -> None:
        """Answer a PUBREL: the identifier is free, and that is as durable as it must be."""
        self._inbound.released(packet_id)
        reason = ReasonCode.SUCCESS if found else ReasonCode.PACKET_IDENTIFIER_NOT_FOUND
        self._send(encode(p.PubComp(packet_id, reason), self.version))

    def taken(self, packet_id: int, failed: bool) -> None:
        """Note what became of a QoS 2 PUBLISH whose connection is gone: its PUBREC is for the next one."""
        self._inbound.sent(packet_id, failed)

    def suback(self, packet_id: int, reason_codes: list[int]) -> None:
        """Answer a SUBSCRIBE; 3.1.1 knows only one failure (3.1.1, 3.9.3)."""
        if self.version == V311:
            reason_codes = [min(code, ReasonCode.UNSPECIFIED_ERROR) for code in reason_codes]
        self._answer(encode(p.SubAck(packet_id, reason_codes), self.version))

    def unsuback(self, packet_id: int, reason_codes: list[int]) -> None:
        """Answer an UNSUBSCRIBE."""
        self._answer(encode(p.UnsubAck(packet_id, reason_codes), self.version))

    def goodbye(self, reason_code: int, text: str = "") -> None:
        """End a live session from our side; 5 hears why, 3.1.1 has no word for it."""
        if self.state == LIVE and self.version == V5:
            said = encode(p.Disconnect(reason_code, self._explanation(text)), V5)
            # The client's maximum packet size holds for reason strings too (5, 3.14.2.2.3).
            self._send(encode(p.Disconnect(reason_code), V5) if self._too_large(len(said)) else said)
        self.state = OVER

    def taken_over(self) -> None:
        """End the session because its client connected anew (5, 3.1.4)."""
        self.goodbye(ReasonCode.SESSION_TAKEN_OVER, "the client connected anew")

    # Messages out -------------------------------------------------------------------------------

    def deliver(
        self,
        message: Message,
        qos: int,
        retain: bool,
        now: float,
        identifiers: tuple[int, ...] = (),
        share: str = "",
    ) -> None:
        """Send a message, or queue it, or drop it by the rules of SessionLimits. `now`: wall time.

        Above QoS 0 only where the session ends with its connection: else the driver queues and pumps.
        """
        if qos == 0:
            self._deliver_once(message, retain, now, identifiers)
            return
        outbound = self.outbound
        assert isinstance(outbound, Outbound)
        if outbound.waiting or not self._may_send():
            outbound.push(message, qos, retain, identifiers, share)
            return
        packet_id = outbound.begin(qos)
        if share:
            outbound.remember_share(packet_id, share, message, qos)
        self._deliver_acknowledged(packet_id, message, qos, retain, now, identifiers)

    def forward(self, frames: bytes, count: int) -> int:
        """Send `count` whole QoS 0 packets of one size as they are. Gives how many were taken.

        Only for a session of the publisher's version with `takes_frames`.
        """
        room = self._limits.max_unsent - self.unsent
        size = len(frames)
        if size > room:
            fits = max(0, room) // (size // count)
            self.dropped += count - fits
            frames, count = frames[: size // count * fits], fits
        if count:
            self.outgoing.append(frames)
            self.unsent += len(frames)
            self.publishes += count
            self.joined += count - 1
        return count

    def forward_acked(self, frames: bytes, run: AckedRun) -> None:
        """Send a run of QoS 1 packets of another session under identifiers of our own, or queue them.

        Only for a session of the publisher's version with `takes_frames` that ends with its connection.
        """
        outbound = self.outbound
        assert type(outbound) is Outbound
        if run.number == 1 and not outbound.waiting and self._may_send():
            packet_id = outbound.begin(1).to_bytes(2, "big")
            self.outgoing.append(frames[: run.id_offset] + packet_id + frames[run.id_offset + 2 :])
            self.unsent += run.size
            self.publishes += 1
            return
        outbound.push_run(run, frames)
        while self._may_send():
            found = outbound.next_frames(self.version, 0.0, self._limits.max_unsent - self.unsent)
            if found is None:
                break
            self.forward(*found)
        outbound.keep_bounds()  # not before: a run may be longer than the queue and fit in the window

    def acknowledge_run(self, run: AckedRun) -> None:
        """Answer a run of QoS 1 packets. Only while nothing that came before is held."""
        self.outgoing.append(pubacks_of(run.highs, run.lows))
        self.unsent += 4 * run.number
        self.joined += run.number - 1

    @property
    def holding(self) -> bool:
        """Whether acknowledgements wait for a commit: others must not overtake them."""
        return self._inbound.waiting

    def finish_run(self, ids: Sequence[int]) -> bool:
        """Take plain PUBACKs at once; False: one by one."""
        return self.outbound.finish_run(ids)

    @property
    def receive_room(self) -> int:
        """How many more messages at QoS 1 and 2 the client may have unacknowledged."""
        return self._inbound.room

    @property
    def takes_frames(self) -> bool:
        """Whether another session's packets may be forwarded here unchanged: by a client without wishes."""
        return self.state == LIVE and not self._peer_max_packet and not self._sent_aliases.maximum

    def pump(self, now: float) -> bool:
        """Send what waited for a place in flight. `now`: wall time. True when only bytes hold back more."""
        outbound = self.outbound
        in_pieces = self.takes_frames
        while self._may_send():
            if in_pieces:
                found = outbound.next_frames(self.version, now, self._limits.max_unsent - self.unsent)
                if found is not None:
                    self.forward(*found)
                    continue
            item = outbound.next(now)
            if item is None:
                return False
            packet_id, message, qos, retain, dup, identifiers = item
            if message is None:
                self.release(packet_id)
            else:
                self._deliver_acknowledged(packet_id, message, qos, retain, now, identifiers, dup)
        return self.state == LIVE and outbound.open

    def _may_send(self) -> bool:
        return self.outbound.open and self.unsent < self._limits.max_unsent and self.state == LIVE

    def _deliver_once(
        self, message: Message, retain: bool, now: float, identifiers: tuple[int, ...] = ()
    ) -> None:
        if identifiers or self._sent_aliases.maximum:
            frame = self._special(0, message, 0, retain, now, identifiers, dup=False)
        else:
            frame = frame_of(message, self.version, retain, now)
        size = len(frame)
        if self._too_large(size) or self.unsent + size > self._limits.max_unsent:
            self.dropped += 1
            return
        self.outgoing.append(frame)
        self.unsent += size
        self.publishes += 1
        if self._sent_aliases.maximum:
            self._sent_aliases.sent(message.topic)

    def _deliver_acknowledged(
        self,
        packet_id: int,
        message: Message,
        qos: int,
        retain: bool,
        now: float,
        identifiers: tuple[int, ...] = (),
        dup: bool = False,
    ) -> None:
        """Send what has a place in flight."""
        if identifiers or dup or self._sent_aliases.maximum:
            frame = self._special(packet_id, message, qos, retain, now, identifiers, dup)
        else:
            head, tail = parts_of(message, self.version, qos, retain, now)
            frame = b"".join((head, packet_id.to_bytes(2, "big"), tail))
        if self._too_large(len(frame)):
            self.outbound.give_up(packet_id)
            return
        self.publishes += 1
        self._send(frame)
        if self._sent_aliases.maximum:
            self._sent_aliases.sent(message.topic)

    def _special(
        self,
        packet_id: int,
        message: Message,
        qos: int,
        retain: bool,
        now: float,
        identifiers: tuple[int, ...],
        dup: bool,
    ) -> bytes:
        """A PUBLISH for this client alone."""
        alias, topic = self._sent_aliases.offer(message.topic)
        return special_frame(
            message, self.version, qos, retain, now, packet_id, dup, identifiers, alias, topic
        )

    def _too_large(self, size: int) -> bool:
        """Whether the client said that it does not take packets of this size (5, 3.1.2.11.4)."""
        return 0 < self._peer_max_packet < size

    # Bytes and time -----------------------------------------------------------------------------

    def take(self) -> bytes:
        """The bytes to send now, all in one; they are no longer counted as unsent."""
        outgoing = self.outgoing
        data = outgoing[0] if len(outgoing) == 1 else b"".join(outgoing)
        outgoing.clear()
        self.unsent = self.publishes = self.joined = 0
        return data

    @property
    def congested(self) -> bool:
        """Whether the driver should stop reading until commits are done."""
        return self._inbound.waiting and self._inbound.full

    def next_deadline(self) -> float | None:
        """When the client counts as lost unless it is heard, on the clock of `last_heard`; None: never."""
        if self.state != LIVE or not self._keep_alive:
            return None
        return self.last_heard + KEEP_ALIVE_GRACE * self._keep_alive

    def _answer(self, data: bytes) -> None:
        """Send what cannot be left out; a client that does not take it is one that cannot be served."""
        if self._too_large(len(data)):
            self.goodbye(ReasonCode.PACKET_TOO_LARGE)
        else:
            self._send(data)

    def _send(self, data: bytes) -> None:
        self.outgoing.append(data)
        self.unsent += len(data)

    def _send_acknowledgement(self, packet_id: int, qos: int, reason_code: int) -> None:
        if qos == 1:
            self._send(encode(p.PubAck(packet_id, reason_code), self.version))
            return
        self._inbound.sent(packet_id, reason_code >= ReasonCode.UNSPECIFIED_ERROR)
        self._send(encode(p.PubRec(packet_id, reason_code), self.version))

    def _explanation(self, text: str) -> PropertyMap:
        """The text as a reason string, unless the client wants none (5, 3.1.2.11.7)."""
        if not text or not self._problem_information:
            return PropertyMap()
        return PropertyMap({REASON_STRING: text.encode()[:MAX_REASON_BYTES].decode(errors="ignore")})


def _check_publish_properties(properties: PropertyMap) -> None:
    if SUBSCRIPTION_IDENTIFIER in properties:
        raise RemoteProtocolError(
            ReasonCode.PROTOCOL_ERROR, "PUBLISH from a client has a subscription identifier (5, 3.3.4)"
        )
