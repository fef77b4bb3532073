"""The bytes of a Message as a PUBLISH, made once for each (version, QoS, RETAIN) and shared by receivers.

At QoS 1 and 2 only the packet identifier differs between receivers, so an image comes in two parts
with room for it in between. Where the remaining life must be sent (5, 3.3.2.3.3) it is made anew.
"""

from __future__ import annotations

from edgecore.base.message import Message, Properties
from edgecore.mqtt import wire
from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import PUBLISH, V5, Publish
from edgecore.mqtt.properties import (
    CONTENT_TYPE,
    CORRELATION_DATA,
    MESSAGE_EXPIRY_INTERVAL,
    PAYLOAD_FORMAT_INDICATOR,
    RESPONSE_TOPIC,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    USER_PROPERTY,
    PropertyMap,
    encode_properties,
)

# Between the parts of one image in the cache there is nothing that ends it, so its length is kept.
_PACKET_ID_BYTES = 2


def frame_of(message: Message, version: int, retain: bool, now: float) -> bytes:
    """The whole packet at QoS 0. `now` is wall time, used only when the message expires."""
    if version == V5 and message.expires_at is not None:
        return b"".join(_parts(message, version, 0, retain, now))
    key = version << 3 | retain
    images = message.images
    if images is None:
        images = message.images = {}
    frame = images.get(key)
    if frame is None:
        frame = images[key] = b"".join(_parts(message, version, 0, retain, now))
    return frame


def parts_of(message: Message, version: int, qos: int, retain: bool, now: float) -> tuple[bytes, bytes]:
    """What stands before and after the packet identifier at QoS 1 and 2."""
    if version == V5 and message.expires_at is not None:
        return _parts(message, version, qos, retain, now)
    key = version << 3 | qos << 1 | retain
    images = message.images
    if images is None:
        images = message.images = {}
    head = images.get(key)
    if head is None:
        head, tail = _parts(message, version, qos, retain, now)
        images[key], images[-key] = head, tail
        return head, tail
    return head, images[-key]


def _parts(message: Message, version: int, qos: int, retain: bool, now: float) -> tuple[bytes, bytes]:
    topic = wire.write_string(message.topic)
    tail = message.payload
    if version == V5:
        tail = encode_properties(properties_of(message, now)) + tail
    length = len(topic) + len(tail) + (_PACKET_ID_BYTES if qos else 0)
    return bytes((PUBLISH << 4 | qos << 1 | retain,)) + wire.write_variable(length) + topic, tail


def special_frame(
    message: Message,
    version: int,
    qos: int,
    retain: bool,
    now: float,
    packet_id: int = 0,
    dup: bool = False,
    identifiers: tuple[int, ...] = (),
    alias: int = 0,
    topic: str = "",
) -> bytes:
    """The whole packet for one receiver alone: with its subscription identifiers, its topic alias, or DUP.

    `topic` stands for the message's, and is "" where the receiver knows the alias (5, 3.3.2.3.4).
    """
    properties = properties_of(message, now) if version == V5 else None
    if version == V5 and (identifiers or alias):
        properties = PropertyMap() if properties is None else properties
        if identifiers:
            properties[SUBSCRIPTION_IDENTIFIER] = list(identifiers)
        if alias:
            properties[TOPIC_ALIAS] = alias
    return encode(Publish(topic, message.payload, qos, retain, dup, packet_id, properties), version)


def properties_of(message: Message, now: float) -> PropertyMap | None:
    """The properties of the PUBLISH that carries `message` at wall time `now`; None when it has none."""
    if message.properties is None and message.expires_at is None:
        return None
    found = PropertyMap()
    if message.expires_at is not None:
        found[MESSAGE_EXPIRY_INTERVAL] = max(0, int(message.expires_at - now))
    if message.properties is not None:
        _add(found, message.properties)
    return found


def _add(found: PropertyMap, properties: Properties) -> None:
    if properties.payload_format is not None:
        found[PAYLOAD_FORMAT_INDICATOR] = properties.payload_format
    if properties.content_type is not None:
        found[CONTENT_TYPE] = properties.content_type
    if properties.response_topic is not None:
        found[RESPONSE_TOPIC] = properties.response_topic
    if properties.correlation_data is not None:
        found[CORRELATION_DATA] = properties.correlation_data
    if properties.user_properties:
        found[USER_PROPERTY] = list(properties.user_properties)


def message_properties(properties: PropertyMap | None) -> Properties | None:
    """What of a received PUBLISH's or will's properties travels on with the message (5, 3.3.2.3)."""
    if not properties:
        return None
    payload_format = properties.get(PAYLOAD_FORMAT_INDICATOR)
    assert payload_format is None or isinstance(payload_format, int)
    travels = Properties(
        payload_format,
        properties.text(CONTENT_TYPE),
        properties.text(RESPONSE_TOPIC),
        properties.binary(CORRELATION_DATA),
        tuple(properties.user_properties),
    )
    return travels if travels != Properties() else None
