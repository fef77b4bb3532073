"""A client that is connected: what becomes of its PUBLISH, SUBSCRIBE and UNSUBSCRIBE. Pure.

Each gives an Outcome: packets to send, and a reason to end the connection. Sections are those of
MQTT 5; what AWS does otherwise is in "AWS IoT differences from MQTT specifications".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311, Packet
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import V311_SUBSCRIBE_FAILURE, ReasonCode
from edgecore.sim.cloud import rules
from edgecore.sim.cloud.access import Access
from edgecore.sim.cloud.broker import Broker, message_of
from edgecore.sim.cloud.limits import Bucket
from edgecore.sim.cloud.presence import Visit
from edgecore.sim.cloud.sessions import Session

_NO_PROPERTIES: Final = PropertyMap()


@dataclass(slots=True)
class Outcome:
    """What a packet leads to. `refusals` are for the simulator's log."""

    send: list[Packet] = field(default_factory=list)
    end: ReasonCode | None = None
    refusals: list[str] = field(default_factory=list)


class Client:
    """The state of one connection behind CONNACK."""

    def __init__(self, broker: Broker, session: Session, access: Access, visit: Visit) -> None:
        self.session = session
        self.access = access
        self.visit = visit
        self._broker = broker
        self._version = session.version
        self._aliases: dict[int, str] = {}
        self._messages = Bucket(broker.limits.publishes)

    def may_pass(self, now: float) -> bool:
        """Whether one more message is within the rate, in or out; the excess is discarded."""
        if self._broker.unlimited:
            return True
        if self._messages.rate != self._broker.limits.publishes:
            self._messages = Bucket(self._broker.limits.publishes)
        passes = self._messages.take(now)
        self._broker.throttled += not passes
        return passes

    # -- PUBLISH

    def publish(self, packet: p.Publish, now: float) -> Outcome | None:
        """3.3, as far as AWS goes: QoS 0 and 1. None when it was taken and is to be acknowledged."""
        properties = packet.properties or _NO_PROPERTIES
        topic = self._resolve(packet.topic, properties) if properties else packet.topic
        if packet.qos == 2:
            return self._unsupported_qos()
        refusal = self._refuse(topic, packet, properties)
        if refusal is not None:
            return self._refused(packet, topic, refusal)
        if not self._within_rates(topic, packet, now):
            return self._discarded(packet, topic)
        origin = self.session.client_id
        self._broker.publish(
            message_of(topic, packet.payload, packet.qos, packet.retain, properties, now, origin), now
        )
        return None

    def _refuse(self, topic: str, packet: p.Publish, properties: PropertyMap) -> ReasonCode | None:
        refusal = rules.refuse_publish(topic, len(packet.payload), packet.retain)
        if refusal is None and properties:
            refusal = rules.refuse_properties(properties)
        if refusal is None and self.access.restricted and not self.access.may_publish(topic, packet.retain):
            return ReasonCode.NOT_AUTHORIZED
        return refusal

    def _within_rates(self, topic: str, packet: p.Publish, now: float) -> bool:
        if not self.may_pass(now):
            return False
        return not packet.retain or self._broker.retains.take(topic, now)

    def _refused(self, packet: p.Publish, topic: str, reason: ReasonCode) -> Outcome:
        """A PUBACK says so only at QoS 1 in version 5; else, and for size, AWS disconnects.

        For what is not authorized AWS documents both, a PUBACK and a DISCONNECT: a fault chooses.
        """
        refusals = [f"PUBLISH to {topic} refused: {reason.name}"]
        hangs_up = self._broker.faults.state.hang_up and reason == ReasonCode.NOT_AUTHORIZED
        told = self._version == V5 and packet.qos and reason != ReasonCode.QUOTA_EXCEEDED
        if told and not hangs_up:
            return Outcome([p.PubAck(packet.packet_id, reason)], refusals=refusals)
        return Outcome(end=reason, refusals=refusals)

    def _discarded(self, packet: p.Publish, topic: str) -> Outcome:
        told = self._broker.limits.answers and self._version == V5 and packet.qos
        answers: list[Packet] = [p.PubAck(packet.packet_id, ReasonCode.QUOTA_EXCEEDED)] if told else []
        return Outcome(answers, refusals=[f"PUBLISH to {topic} discarded: too many a second"])

    def _unsupported_qos(self) -> Outcome:
        """AWS disconnects a version 5 client, and sends a version 3 client no answer at all."""
        if self._version != V5:
            return Outcome()
        return Outcome(end=ReasonCode.QOS_NOT_SUPPORTED, refusals=["QoS 2 is not supported"])

    def _resolve(self, topic: str, properties: PropertyMap) -> str:
        """The topic behind an alias (3.3.2.3.4)."""
        alias = properties.integer(ids.TOPIC_ALIAS)
        if not alias:
            return topic
        if alias > rules.TOPIC_ALIAS_MAXIMUM or (not topic and alias not in self._aliases):
            raise RemoteProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, f"topic alias {alias} is not known")
        if topic:
            self._aliases[alias] = topic
        return self._aliases[alias]

    # -- SUBSCRIBE and UNSUBSCRIBE

    def subscribe(self, packet: p.Subscribe, now: float) -> Outcome:
        """3.8; filters are granted or refused one by one."""
        if ids.SUBSCRIPTION_IDENTIFIER in packet.properties:
            raise RemoteProtocolError(
                ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED, "subscription identifiers are not served"
            )
        if any(one.qos == 2 for one in packet.filters):
            return self._unsupported_qos()
        reasons = self._reasons(packet, now)
        answered = [(one.topic_filter, code) for one, code in zip(packet.filters, reasons, strict=True)]
        refusals = [f"SUBSCRIBE to {one} refused: {code:#04x}" for one, code in answered if code >= 0x80]
        if self._version == V311:
            if ReasonCode.NOT_AUTHORIZED in reasons:
                return Outcome(end=ReasonCode.NOT_AUTHORIZED, refusals=refusals)
            reasons = [V311_SUBSCRIBE_FAILURE if code >= 0x80 else code for code in reasons]
        granted = [one for one, code in answered if code < 0x80]
        self._broker.tell(self._broker.presence.subscribed(self.visit, granted, self._wall(now)), now)
        self._broker.hand_out(now)
        return Outcome([p.SubAck(packet.packet_id, reasons)], refusals=refusals)

    def _reasons(self, packet: p.Subscribe, now: float) -> list[int]:
        if len(packet.filters) > rules.MAX_FILTERS_PER_SUBSCRIBE:
            return [int(ReasonCode.QUOTA_EXCEEDED)] * len(packet.filters)
        return [
            self._broker.subscribe(self.session, one, now)
            if self.access.may_subscribe(one.topic_filter)
            else int(ReasonCode.NOT_AUTHORIZED)
            for one in packet.filters
        ]

    def unsubscribe(self, packet: p.Unsubscribe, now: float) -> Outcome:
        """3.10. AWS's list of reason codes has none for a filter that was not there: success."""
        gone = [one for one in packet.filters if self._broker.unsubscribe(self.session, one)]
        self._broker.tell(self._broker.presence.unsubscribed(self.visit, gone, self._wall(now)), now)
        return Outcome([p.UnsubAck(packet.packet_id, [int(ReasonCode.SUCCESS)] * len(packet.filters))])

    def _wall(self, now: float) -> float:
        return self._broker.wall(now)
