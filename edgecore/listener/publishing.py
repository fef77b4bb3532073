"""What a client publishes, as a Message: from a PUBLISH and from a will. Pure."""

from __future__ import annotations

from edgecore.base.identity import Principal
from edgecore.base.message import Message
from edgecore.listener.records import WillRecord
from edgecore.mqtt.images import message_properties
from edgecore.mqtt.packets import Publish, Will
from edgecore.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    MESSAGE_EXPIRY_INTERVAL,
    PAYLOAD_FORMAT_INDICATOR,
    RESPONSE_TOPIC,
    WILL_DELAY_INTERVAL,
)


def message_of(packet: Publish, sender: Principal, now: float) -> Message:
    """The message of a PUBLISH that came at wall time `now`."""
    properties = packet.properties
    if properties is None:
        return Message(packet.topic, packet.payload, packet.qos, sender, packet.retain)
    expires_at = None
    if MESSAGE_EXPIRY_INTERVAL in properties:
        expires_at = now + properties.integer(MESSAGE_EXPIRY_INTERVAL)
    return Message(
        packet.topic,
        packet.payload,
        packet.qos,
        sender,
        packet.retain,
        expires_at,
        message_properties(properties),
    )


def will_of(will: Will | None) -> WillRecord | None:
    """A CONNECT's will as it is kept. Its delay is not sent on (5, 3.1.3.2.2)."""
    if will is None:
        return None
    properties = will.properties
    has_format = PAYLOAD_FORMAT_INDICATOR in properties
    has_expiry = MESSAGE_EXPIRY_INTERVAL in properties
    return WillRecord(
        will.topic,
        will.payload,
        will.qos,
        will.retain,
        properties.integer(WILL_DELAY_INTERVAL),
        properties.integer(MESSAGE_EXPIRY_INTERVAL) if has_expiry else None,
        properties.integer(PAYLOAD_FORMAT_INDICATOR) if has_format else None,
        properties.text(CONTENT_TYPE),
        properties.text(RESPONSE_TOPIC),
        properties.binary(CORRELATION_DATA),
        tuple(properties.user_properties),
    )
