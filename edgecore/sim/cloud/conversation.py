"""One client's connection to the simulated cloud, from CONNECT to its end. Pure: bytes in, bytes out.

The transport feeds `data`, calls `check` now and then and `lost` once at the end; it gives a `write`,
a `close`, and a `later` that calls `resume` after some seconds. Sections are those of MQTT 5 unless
they say otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311, Packet, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode, v311_return_code
from edgecore.sim.cloud import presence, rules
from edgecore.sim.cloud.access import ANYBODY, Access, Certificate
from edgecore.sim.cloud.broker import Broker
from edgecore.sim.cloud.client import Client, Outcome
from edgecore.sim.cloud.limits import Bucket
from edgecore.sim.cloud.live import Live
from edgecore.sim.cloud.presence import Visit

# A client that has not sent CONNECT by then is dropped (3.1.4: "a reasonable amount of time").
CONNECT_SECONDS: Final = 10.0
# A PUBACK of success without its packet id, the same in both versions (3.4.2.1).
PUBACK: Final = b"\x40\x02"


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is at the door: the certificate of the handshake and the address."""

    certificate: Certificate = ANYBODY
    address: str = ""


NOBODY: Final = Guest()


class Conversation:
    """The server's half of one connection."""

    def __init__(
        self,
        broker: Broker,
        live: Live,
        write: Callable[[bytes], None],
        close: Callable[[], None],
        new_id: Callable[[], str],
        now: float,
        guest: Guest = NOBODY,
        later: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._broker = broker
        self._live = live
        self._write = write
        self._close = close
        self._new_id = new_id
        self._guest = guest
        self._later = later
        self._framer = Framer(rules.MAX_PACKET_BYTES, only=p.CONNECT)
        self._out: list[bytes] = []
        self._version = 0
        self._client: Client | None = None
        self._ended = False
        self._will: Will | None = None
        self._expiry = 0
        self._max_packet = rules.MAX_PACKET_BYTES
        self._deadline = now + CONNECT_SECONDS
        self._patience = 0.0
        self._bytes = Bucket(broker.limits.bytes)
        self.paused = False
        self.refusals: list[str] = []

    @property
    def client_id(self) -> str:
        """Who it is, "" before CONNECT."""
        return self._client.session.client_id if self._client else ""

    def data(self, data: bytes, now: float) -> None:
        """Bytes from the client."""
        self._deadline = now + self._patience if self._patience else self._deadline
        self._bytes.spend(now, len(data))
        try:
            for first_byte, body in self._framer.feed(data):
                if self._ended:
                    return
                self._packet(decode(first_byte, body, self._version), now)
        except RemoteProtocolError as error:
            self._refuse(error.reason_code, str(error), now)
        self._live.wake(self.client_id)
        self._live.flush(now)
        self._send_out()

    def wait(self, now: float) -> float:
        """For how many seconds nothing more may be read: the throughput limit."""
        return 0.0 if self._ended else self._bytes.wait(now)

    def check(self, now: float) -> None:
        """End the connection when the client was silent for too long (3.1.2.10)."""
        if now >= self._deadline and not self._ended:
            self._refuse(ReasonCode.KEEP_ALIVE_TIMEOUT, "nothing came within the keep alive", now)

    def forgive(self, now: float) -> None:
        """Start the keep alive anew, after a time in which the cloud did not listen."""
        self._deadline = max(self._deadline, now + self._patience)

    def lost(self, now: float) -> None:
        """The transport is gone."""
        if self._client is not None and not self._ended:
            self._leave(self._client, presence.CONNECTION_LOST, now)
        self._ended = True

    def flush(self, now: float) -> None:
        """Send what the session has, as far as the client's limits and AWS's allow."""
        if self._client is None or self._ended or self.paused:
            return
        skipped = True
        while skipped and not self._held_up(now):
            skipped = False
            for packet in self._client.session.take(now):
                skipped |= not self._deliver(self._client, packet, now)
                if self._held_up(now):
                    break
        self._send_out()

    def _held_up(self, now: float) -> bool:
        """Whether the throughput limit makes deliveries wait; the transport is asked to come back."""
        wait = self._bytes.wait(now)
        if wait:
            self._later(wait)
        return bool(wait)

    def _deliver(self, client: Client, packet: p.Publish, now: float) -> bool:
        """Send one delivery; False when it was dropped and another may take its place."""
        data = encode(packet, self._version)
        if self._broker.faults.lose():
            return True  # at QoS 1 it stays in flight and comes again
        # 3.1.2.11.4: too large for this client counts as delivered.
        if len(data) > self._max_packet or not client.may_pass(now):
            return not (packet.qos and client.session.acknowledge(packet.packet_id))
        self._bytes.spend(now, len(data))
        self._out.append(data)
        return True

    def end(self, reason: ReasonCode, now: float, *, will: bool = True) -> None:
        """Close from our side, with the reason in version 5."""
        if self._ended:
            return
        if self._version == V5 and self._client is not None:
            self._out.append(encode(p.Disconnect(rules.listed_disconnect(reason)), V5))
        if self._client is not None:
            self._will = self._will if will else None
            self._leave(self._client, presence.reason_of(reason), now)
        self._ended = True
        self._send_out()
        self._close()

    # -- the packets

    def _packet(self, packet: Packet, now: float) -> None:
        client = self._client
        if isinstance(packet, p.Connect):
            self._connect(packet, now)
        elif client is None:
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "the first packet must be CONNECT")
        elif isinstance(packet, p.Publish):
            self._publish(client, packet, now)
        elif isinstance(packet, p.PubAck):
            client.session.acknowledge(packet.packet_id)
        elif isinstance(packet, p.Subscribe):
            self._do(client.subscribe(packet, now), now)
        elif isinstance(packet, p.Unsubscribe):
            self._do(client.unsubscribe(packet, now), now)
        elif isinstance(packet, p.PingReq):
            self._send(p.PingResp())
        elif isinstance(packet, p.Disconnect):
            self._disconnect(client, packet, now)
        else:
            # AWS: no QoS 2 packets and no AUTH; the rest only a server sends.
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, f"{type(packet).__name__} is not served")

    def _publish(self, client: Client, packet: p.Publish, now: float) -> None:
        if self._broker.faults.lose():
            return
        outcome = client.publish(packet, now)
        if outcome is not None:
            self._do(outcome, now)
        elif packet.qos:
            self._out.append(PUBACK + packet.packet_id.to_bytes(2, "big"))

    def _do(self, outcome: Outcome, now: float) -> None:
        self.refusals += outcome.refusals
        for packet in outcome.send:
            self._send(packet)
        if outcome.end is not None:
            self.end(outcome.end, now)

    # -- CONNECT

    def _connect(self, packet: p.Connect, now: float) -> None:
        if self._client is not None:
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "a second CONNECT (3.1.0-2)")
        self._version = packet.version
        assigned = "" if packet.client_id else self._new_id()
        client_id = packet.client_id or assigned
        refusal = rules.refuse_connect(packet)
        if refusal is None and not self._broker.connects.take(client_id, now):
            refusal = ReasonCode.QUOTA_EXCEEDED
        if refusal is not None:
            self._refuse_connect(refusal, now)
            return
        access = self._broker.account.connect(self._guest.certificate, client_id, self._guest.address)
        if not access.may_connect(packet, client_id):
            self._forbid(client_id, now)
            return
        self._live.take_over(client_id, self, now)
        present = self._begin(client_id, packet, access, now)
        properties = rules.connack_properties(packet, assigned) if packet.version == V5 else PropertyMap()
        self._send(p.ConnAck(present, 0, properties))

    def _begin(self, client_id: str, packet: p.Connect, access: Access, now: float) -> bool:
        """Take the session over; gives whether there was one."""
        session, present = self._broker.open(client_id, packet.version, packet.clean_start, now)
        asked = packet.properties.integer(ids.RECEIVE_MAXIMUM, rules.RECEIVE_MAXIMUM)
        session.attach(min(asked, rules.RECEIVE_MAXIMUM), access, self._broker.limits.replay)
        wall = self._broker.wall(now)
        visit = self._broker.presence.arrive(self._visit(client_id), wall)
        self._client = Client(self._broker, session, access, visit)
        self._framer.only = None
        self._will = packet.will
        self._expiry = rules.session_expiry(packet)
        self._max_packet = packet.properties.integer(ids.MAXIMUM_PACKET_SIZE, rules.MAX_PACKET_BYTES)
        self._patience = 1.5 * rules.keep_alive(packet.keep_alive)
        self._deadline = now + self._patience
        self._broker.tell(self._broker.presence.connected(visit, wall), now)
        self._broker.hand_out(now)
        return present

    def _visit(self, client_id: str) -> Visit:
        return Visit(client_id, self._new_id(), self._guest.certificate.id, self._guest.address)

    def _refuse_connect(self, reason: ReasonCode, now: float) -> None:
        code = int(reason) if self._version == V5 else v311_return_code(reason)
        self.refusals.append(f"CONNECT refused: {reason.name}")
        self._send(p.ConnAck(reason_code=code))
        self.end(reason, now)

    def _forbid(self, client_id: str, now: float) -> None:
        """No policy allows it: version 5 is told, a version 3 connection is closed."""
        events = self._broker.presence.failed(self._visit(client_id), self._broker.wall(now))
        self._broker.tell(events, now)
        if self._version == V5:
            self._refuse_connect(ReasonCode.NOT_AUTHORIZED, now)
        else:
            self._refuse(ReasonCode.NOT_AUTHORIZED, "CONNECT refused: NOT_AUTHORIZED", now)

    # -- the end and the way out

    def _disconnect(self, client: Client, packet: p.Disconnect, now: float) -> None:
        if packet.reason_code != ReasonCode.DISCONNECT_WITH_WILL_MESSAGE:
            self._will = None
        if ids.SESSION_EXPIRY_INTERVAL in packet.properties:
            asked = packet.properties.integer(ids.SESSION_EXPIRY_INTERVAL)
            if asked and not self._expiry:
                raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "session expiry was 0 (3.14.2.2.2)")
            self._expiry = min(asked, rules.MAX_SESSION_SECONDS)
        self._leave(client, presence.CLIENT_INITIATED, now)
        self._ended = True
        self._send_out()
        self._close()

    def _leave(self, client: Client, why: str, now: float) -> None:
        self._live.left(client.session.client_id, self)
        will = self._will
        if will is not None and not client.access.may_publish(will.topic, will.retain):
            will = None
        self._broker.lost(client.session, self._expiry, will, now)
        wall = self._broker.wall(now)
        self._broker.tell(self._broker.presence.disconnected(client.visit, why, wall), now)

    def _refuse(self, reason_code: int, text: str, now: float) -> None:
        self.refusals.append(text)
        if self._client is None and reason_code == ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            # The version is not known: the answer that every version reads (3.1.1, 3.1.2.2).
            self._out.append(encode(p.ConnAck(reason_code=v311_return_code(reason_code)), V311))
        self.end(ReasonCode(reason_code), now)

    def _send(self, packet: Packet) -> None:
        self._out.append(encode(packet, self._version))

    def _send_out(self) -> None:
        if self._out:
            out, self._out = self._out, []
            self._write(b"".join(out))
