"""One client's connection to the simulated cloud, from CONNECT to its end. Pure: bytes in, bytes out.

The transport feeds `data`, calls `check` now and then and `lost` once at the end; it gives a `write`
and a `close`. Sections are those of MQTT 5 unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311, Packet, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import V311_SUBSCRIBE_FAILURE, ReasonCode, v311_return_code
from edgecore.sim.cloud import rules
from edgecore.sim.cloud.broker import Broker, message_of
from edgecore.sim.cloud.sessions import Session

# A client that has not sent CONNECT by then is dropped (3.1.4: "a reasonable amount of time").
CONNECT_SECONDS: Final = 10.0


class Times:
    """The clocks that a conversation is told of: monotonic seconds and epoch seconds."""

    __slots__ = ("now", "wall")

    def __init__(self, now: float, wall: float) -> None:
        self.now = now
        self.wall = int(wall)


class Live:
    """The connections that stand, by client id, and those that have something to send."""

    def __init__(self) -> None:
        self._by_id: dict[str, Conversation] = {}
        self._woken: set[str] = set()

    def wake(self, client_id: str) -> None:
        """The session of `client_id` has something to send."""
        self._woken.add(client_id)

    def flush(self, now: float) -> None:
        """Let every woken connection send."""
        woken, self._woken = self._woken, set()
        for client_id in woken:
            conversation = self._by_id.get(client_id)
            if conversation is not None:
                conversation.flush(now)

    def take_over(self, client_id: str, conversation: Conversation, now: float) -> None:
        """Put a new connection in the place of an older one of the same client id (3.1.4)."""
        old = self._by_id.get(client_id)
        if old is not None:
            old.end(ReasonCode.SESSION_TAKEN_OVER, now)
        self._by_id[client_id] = conversation

    def left(self, client_id: str, conversation: Conversation) -> None:
        """A connection has ended."""
        if self._by_id.get(client_id) is conversation:
            del self._by_id[client_id]


class Conversation:
    """The server's half of one connection."""

    def __init__(
        self,
        broker: Broker,
        live: Live,
        write: Callable[[bytes], None],
        close: Callable[[], None],
        new_client_id: Callable[[], str],
        now: float,
    ) -> None:
        self._broker = broker
        self._live = live
        self._write = write
        self._close = close
        self._new_client_id = new_client_id
        self._framer = Framer(rules.MAX_PACKET_BYTES, only=p.CONNECT)
        self._out: list[bytes] = []
        self._version = 0
        self._session: Session | None = None
        self._ended = False
        self._will: Will | None = None
        self._expiry = 0
        self._max_packet = rules.MAX_PACKET_BYTES
        self._aliases: dict[int, str] = {}
        self._deadline = now + CONNECT_SECONDS
        self._patience = 0.0
        self.paused = False
        self.refusals: list[str] = []

    @property
    def client_id(self) -> str:
        """Who it is, "" before CONNECT."""
        return self._session.client_id if self._session else ""

    def data(self, data: bytes, times: Times) -> None:
        """Bytes from the client."""
        self._deadline = times.now + self._patience if self._patience else self._deadline
        try:
            for first_byte, body in self._framer.feed(data):
                if self._ended:
                    return
                self._packet(decode(first_byte, body, self._version), times)
        except RemoteProtocolError as error:
            self._refuse(error.reason_code, str(error), times.now)
        self._live.wake(self.client_id)
        self._live.flush(times.now)
        self._send_out()

    def check(self, now: float) -> None:
        """End the connection when the client was silent for too long (3.1.2.10)."""
        if now >= self._deadline and not self._ended:
            self._refuse(ReasonCode.KEEP_ALIVE_TIMEOUT, "nothing came within the keep alive", now)

    def lost(self, now: float) -> None:
        """The transport is gone."""
        if self._session is not None and not self._ended:
            self._leave(self._session, now)
        self._ended = True

    def flush(self, now: float) -> None:
        """Send what the session has, as far as the client's limits allow."""
        if self._session is None or self._ended or self.paused:
            return
        skipped = True
        while skipped:
            skipped = False
            for packet in self._session.take(now):
                data = encode(packet, self._version)
                if len(data) <= self._max_packet:
                    self._out.append(data)
                elif packet.qos:
                    # 3.1.2.11.4: too large for this client counts as delivered, and makes room.
                    skipped = self._session.acknowledge(packet.packet_id)
        self._send_out()

    def end(self, reason: ReasonCode, now: float) -> None:
        """Close from our side, with the reason in version 5."""
        if self._ended:
            return
        if self._version == V5 and self._session is not None:
            self._out.append(encode(p.Disconnect(reason), V5))
        if self._session is not None:
            self._leave(self._session, now)
        self._ended = True
        self._send_out()
        self._close()

    # -- the packets

    def _packet(self, packet: Packet, times: Times) -> None:
        if isinstance(packet, p.Connect):
            self._connect(packet, times.now)
        elif self._session is None:
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "the first packet must be CONNECT")
        elif isinstance(packet, p.Publish):
            self._publish(self._session, packet, times)
        elif isinstance(packet, p.PubAck):
            self._session.acknowledge(packet.packet_id)
        elif isinstance(packet, p.Subscribe):
            self._subscribe(self._session, packet, times.now)
        elif isinstance(packet, p.Unsubscribe):
            reasons = [self._broker.unsubscribe(self._session, one) for one in packet.filters]
            self._send(p.UnsubAck(packet.packet_id, reasons))
        elif isinstance(packet, p.PingReq):
            self._send(p.PingResp())
        elif isinstance(packet, p.Disconnect):
            self._disconnect(self._session, packet, times.now)
        else:
            # AWS: no QoS 2 packets and no AUTH; the rest only a server sends.
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, f"{type(packet).__name__} is not served")

    def _connect(self, packet: p.Connect, now: float) -> None:
        if self._session is not None:
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNECT (3.1.0-2)")
        self._version = packet.version
        refusal = rules.refuse_connect(packet)
        if refusal is not None:
            self._refuse_connect(refusal, now)
            return
        assigned = "" if packet.client_id else self._new_client_id()
        client_id = packet.client_id or assigned
        self._live.take_over(client_id, self, now)
        session, present = self._broker.open(client_id, packet.version, packet.clean_start, now)
        self._begin(session, packet, now)
        properties = rules.connack_properties(packet, assigned) if packet.version == V5 else PropertyMap()
        self._send(p.ConnAck(present, 0, properties))

    def _begin(self, session: Session, packet: p.Connect, now: float) -> None:
        asked = packet.properties.integer(ids.RECEIVE_MAXIMUM, rules.RECEIVE_MAXIMUM)
        session.attach(min(asked, rules.RECEIVE_MAXIMUM))
        self._session = session
        self._framer.only = None
        self._will = packet.will
        self._expiry = rules.session_expiry(packet)
        self._max_packet = packet.properties.integer(ids.MAXIMUM_PACKET_SIZE, rules.MAX_PACKET_BYTES)
        self._patience = 1.5 * rules.keep_alive(packet.keep_alive)
        self._deadline = now + self._patience

    def _refuse_connect(self, reason: ReasonCode, now: float) -> None:
        code = int(reason) if self._version == V5 else v311_return_code(reason)
        self.refusals.append(f"CONNECT refused: {reason.name}")
        self._send(p.ConnAck(reason_code=code))
        self.end(reason, now)

    def _publish(self, session: Session, packet: p.Publish, times: Times) -> None:
        properties = packet.properties or PropertyMap()
        topic = self._resolve(packet.topic, properties)
        if packet.qos == 2:
            if self._version == V5:
                self._refuse(ReasonCode.QOS_NOT_SUPPORTED, "QoS 2 is not supported", times.now)
            return  # AWS sends an MQTT 3 client no answer at all
        refusal = rules.refuse_publish(topic, len(packet.payload), packet.retain)
        if refusal is not None:
            self._refuse_publish(packet, topic, refusal, times.now)
            return
        message = message_of(
            topic, packet.payload, packet.qos, packet.retain, properties, times.now, session.client_id
        )
        self._broker.publish(message, times.wall)
        if packet.qos:
            self._send(p.PubAck(packet.packet_id))

    def _resolve(self, topic: str, properties: PropertyMap) -> str:
        """The topic behind an alias (3.3.2.3.4)."""
        alias = properties.integer(ids.TOPIC_ALIAS)
        if not alias:
            return topic
        if alias > rules.TOPIC_ALIAS_MAXIMUM or (not topic and alias not in self._aliases):
            raise RemoteProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias} is not known")
        return self._aliases.setdefault(alias, topic) if not topic else self._remember(alias, topic)

    def _remember(self, alias: int, topic: str) -> str:
        self._aliases[alias] = topic
        return topic

    def _refuse_publish(self, packet: p.Publish, topic: str, reason: ReasonCode, now: float) -> None:
        """AWS answers a PUBACK only at QoS 1 in version 5; else, and for size, it disconnects."""
        self.refusals.append(f"PUBLISH to {topic} refused: {reason.name}")
        if self._version == V5 and packet.qos and reason != ReasonCode.QUOTA_EXCEEDED:
            self._send(p.PubAck(packet.packet_id, reason))
        else:
            self.end(reason, now)

    def _subscribe(self, session: Session, packet: p.Subscribe, now: float) -> None:
        if ids.SUBSCRIPTION_IDENTIFIER in packet.properties:
            raise RemoteProtocolError(
                ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                "subscription identifiers are not served",
            )
        if any(one.qos == 2 for one in packet.filters):
            if self._version == V5:
                self._refuse(ReasonCode.QOS_NOT_SUPPORTED, "QoS 2 is not supported", now)
            return  # AWS sends an MQTT 3 client no answer at all
        if len(packet.filters) > rules.MAX_FILTERS_PER_SUBSCRIBE:
            reasons = [int(ReasonCode.QUOTA_EXCEEDED)] * len(packet.filters)
        else:
            reasons = [self._broker.subscribe(session, one, now) for one in packet.filters]
        refused = [(one.topic_filter, code) for one, code in zip(packet.filters, reasons, strict=True)]
        self.refusals += [f"SUBSCRIBE to {one} refused: {code:#04x}" for one, code in refused if code >= 0x80]
        if self._version == V311:
            reasons = [V311_SUBSCRIBE_FAILURE if code >= 0x80 else code for code in reasons]
        self._send(p.SubAck(packet.packet_id, reasons))

    def _disconnect(self, session: Session, packet: p.Disconnect, now: float) -> None:
        if packet.reason_code != ReasonCode.DISCONNECT_WITH_WILL_MESSAGE:
            self._will = None
        if ids.SESSION_EXPIRY_INTERVAL in packet.properties:
            asked = packet.properties.integer(ids.SESSION_EXPIRY_INTERVAL)
            if asked and not self._expiry:
                raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "session expiry was 0 (3.14.2.2.2)")
            self._expiry = min(asked, rules.MAX_SESSION_SECONDS)
        self._leave(session, now)
        self._ended = True
        self._close()

    # -- the end and the way out

    def _leave(self, session: Session, now: float) -> None:
        self._live.left(session.client_id, self)
        self._broker.lost(session, self._expiry, self._will, now)

    def _refuse(self, reason_code: int, text: str, now: float) -> None:
        self.refusals.append(text)
        if self._session is None and reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            # The version is not known: the answer that every version reads (3.1.1, 3.1.2.2).
            self._out.append(encode(p.ConnAck(reason_code=v311_return_code(reason_code)), V311))
        self.end(ReasonCode(reason_code), now)

    def _send(self, packet: Packet) -> None:
        self._out.append(encode(packet, self._version))

    def _send_out(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._write(b"".join(out))
