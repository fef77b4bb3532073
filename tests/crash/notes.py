"""What an MQTT client must remember over its connections, on each side. Pure: packets in, packets out.

A publisher keeps the packet identifiers of what is not acknowledged and at QoS 2 whether PUBREC came; a
subscriber keeps the identifiers for which it owes nothing but has not seen PUBREL (5, 4.1, 4.3, 4.4).
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecore.mqtt import packets as p

# 5, 2.4: codes from here say that it failed.
FAILURE = 0x80
LAST_PACKET_ID = 0xFFFF


@dataclass(slots=True)
class Flight:
    """A message that is on its way."""

    packet_id: int
    stream: object
    number: int
    payload: bytes
    retain: bool = False


@dataclass(slots=True)
class Outcome:
    """What an acknowledgement means: `flight` was accepted, or refused with `reason`; `answer` it.

    `over`: the message whose handshake has ended well: only now must a server have passed it on (5, 4.3.3
    lets it do so at PUBLISH or at PUBREL).
    """

    flight: Flight | None = None
    reason: int = 0
    answer: p.Packet | None = None
    over: Flight | None = None


class SenderNotes:
    """A publisher's half of its session."""

    def __init__(self):
        self._waiting = {}  # packet id -> Flight without PUBACK or PUBREC, in the order of sending
        self._released = {}  # packet id -> Flight with PUBREC and without PUBCOMP, in the order of PUBREC

    @property
    def in_flight(self):
        """Packet identifiers in use."""
        return len(self._waiting) + len(self._released)

    def begin(self, stream, number, payload, retain=False):
        """The PUBLISH of a new message."""
        flight = Flight(self._free_id(), stream, number, payload, retain)
        self._waiting[flight.packet_id] = flight
        return publish(flight)

    def resend(self):
        """What to send first on a connection that continues the session, in order (5, 4.4)."""
        again = [p.PubRel(packet_id) for packet_id in self._released]
        return again + [publish(flight, dup=True) for flight in self._waiting.values()]

    @property
    def waiting(self):
        """What is sent again by `resend` as PUBLISH."""
        return list(self._waiting.values())

    def forget(self):
        """The server has no session: nothing of it is known any more (5, 3.2.2.1.1)."""
        self._waiting.clear()
        self._released.clear()

    def take(self, packet):
        """What a PUBACK, PUBREC or PUBCOMP means."""
        failed = packet.reason_code >= FAILURE
        if isinstance(packet, p.PubComp):
            return Outcome(over=self._released.pop(packet.packet_id, None))
        flight = self._waiting.pop(packet.packet_id, None)
        if isinstance(packet, p.PubAck) or failed:
            return Outcome(flight, packet.reason_code, over=None if failed else flight)
        if flight is not None:
            self._released[packet.packet_id] = flight
        return Outcome(flight, packet.reason_code, p.PubRel(packet.packet_id))

    def _free_id(self):
        """The lowest that is free: a broker that did not forget one in time is soon found out."""
        used = self._waiting.keys() | self._released.keys()
        return next(n for n in range(1, LAST_PACKET_ID + 1) if n not in used)


def publish(flight, dup=False):
    """The PUBLISH packet of a flight."""
    return p.Publish(
        flight.stream.topic, flight.payload, flight.stream.qos, flight.retain, dup, flight.packet_id
    )


class ReceiverNotes:
    """A subscriber's half of its session."""

    def __init__(self):
        self._unreleased = {}  # packet id -> (topic, payload) of the QoS 2 message that it stands for

    @property
    def unreleased(self):
        """Packet identifiers at QoS 2 that the server has not let go."""
        return len(self._unreleased)

    def forget(self):
        """The server has no session."""
        self._unreleased.clear()

    def take(self, packet):
        """(is it a new arrival, the answer to send or None, what is wrong or "") for a PUBLISH or PUBREL."""
        if isinstance(packet, p.PubRel):
            self._unreleased.pop(packet.packet_id, None)
            return False, p.PubComp(packet.packet_id), ""
        if packet.qos < 2:
            return True, p.PubAck(packet.packet_id) if packet.qos else None, ""
        what = (packet.topic, packet.payload)
        known = self._unreleased.setdefault(packet.packet_id, what)
        wrong = "" if known == what else f"packet id {packet.packet_id} of {known[0]} was not free"
        # Whoever keeps the notes takes no second message under an identifier that is not released.
        return known is what, p.PubRec(packet.packet_id), wrong
