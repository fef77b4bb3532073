"""Control packets <-> bytes, for MQTT 3.1.1 and 5 (5, chapter 3). Pure: no state between packets.

`decode` accepts what the specification allows and nothing else: reserved bits, excess bytes and
values out of range raise RemoteProtocolError with the reason code to answer with. What depends on
the state of a session (is this packet allowed now, is this packet id free) is not known here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError, TopicError
from edgecore.base.topic import check_filter, check_topic
from edgecore.mqtt import packets as p
from edgecore.mqtt import wire
from edgecore.mqtt.connect import decode_connack, decode_connect, encode_connack, encode_connect
from edgecore.mqtt.packets import V5, V311, Packet
from edgecore.mqtt.properties import (
    RESPONSE_TOPIC,
    TOPIC_ALIAS,
    PropertyMap,
    decode_properties,
    encode_properties,
)
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.wire import malformed

# 5, table 2-2: the low four bits of the first byte are fixed for all but PUBLISH.
_FLAGS: Final = {p.PUBREL: 2, p.SUBSCRIBE: 2, p.UNSUBSCRIBE: 2}
# 5, 3.8.3.1: bits 6 and 7 of the subscription options are reserved; 3.1.1, 3.8.3: bits 2 to 7 are.
_RESERVED_OPTIONS: Final = {V311: 0xFC, V5: 0xC0}

# The reason codes that each packet may carry (5, 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.14.2.1, 3.15.2.1).
_ACK_REASONS: Final = frozenset((0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99))
_RELEASE_REASONS: Final = frozenset((0x00, 0x92))
_DISCONNECT_REASONS: Final = frozenset(
    (0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, *range(0x8F, 0xA3))
) - {0x91, 0x92}
_AUTH_REASONS: Final = frozenset((0x00, 0x18, 0x19))


def decode(first_byte: int, body: bytes | memoryview, version: int) -> Packet:
    """The packet with that first byte and body, read as `version` (any for CONNECT).

    Raises RemoteProtocolError with the reason code that MQTT 5 names for what is wrong.
    """
    packet_type = first_byte >> 4
    if packet_type == p.PUBLISH:
        return _decode_publish(first_byte, bytes(body), version)
    if first_byte & 0x0F != _FLAGS.get(packet_type, 0):
        raise malformed(f"{p.NAMES[packet_type]} has the flags {first_byte & 0x0F:#06b}, which are reserved")
    decoder = _DECODERS.get(packet_type)
    if decoder is None or (packet_type == p.AUTH and version != V5):
        raise malformed(f"packet type {packet_type} is not defined in this version")
    return decoder(bytes(body), version)


def encode(packet: Packet, version: int) -> bytes:
    """The bytes of `packet` in `version`. Raises LocalProtocolError for what cannot be sent."""
    first_byte, body = _ENCODERS[type(packet)](packet, version)
    return frame(first_byte, body)


def frame(first_byte: int, body: bytes) -> bytes:
    """A packet of its first byte and body: the fixed header (5, 2.1.1) put in front."""
    return bytes((first_byte,)) + wire.write_variable(len(body)) + body


def _end(body: bytes, offset: int, name: str) -> None:
    if offset != len(body):
        raise malformed(f"{name} has {len(body) - offset} bytes too many")


def _read_packet_id(body: bytes, offset: int) -> tuple[int, int]:
    packet_id, offset = wire.read_u16(body, offset)
    if packet_id == 0:
        raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "packet identifier is 0 (5, 2.2.1)")
    return packet_id, offset


def _write_packet_id(packet_id: int) -> bytes:
    if not 0 < packet_id <= 0xFFFF:
        raise LocalProtocolError(f"packet identifier {packet_id} is not within 1 to 65535")
    return packet_id.to_bytes(2, "big")


def _properties(body: bytes, offset: int, packet_type: int, version: int) -> tuple[PropertyMap, int]:
    if version != V5:
        return PropertyMap(), offset
    return decode_properties(body, offset, packet_type)


def _properties_bytes(properties: PropertyMap | None, version: int) -> bytes:
    return encode_properties(properties) if version == V5 else b""


# -- PUBLISH (3.3) ---------------------------------------------------------------------------------


def _decode_publish(first_byte: int, body: bytes, version: int) -> p.Publish:
    qos = (first_byte >> 1) & 3
    dup = bool(first_byte & 8)
    if qos == 3:
        raise malformed("PUBLISH has both QoS bits set (3.3.1.2)")
    if dup and qos == 0:
        raise malformed("PUBLISH has DUP set at QoS 0 (3.3.1.1)")
    topic, offset = wire.read_string(body, 0)
    packet_id = 0
    if qos:
        packet_id, offset = _read_packet_id(body, offset)
    properties = None
    if version == V5:
        properties, offset = decode_properties(body, offset, p.PUBLISH)
        _check_publish_properties(properties)
    if topic or properties is None or TOPIC_ALIAS not in properties:
        _check_topic(topic)
    return p.Publish(topic, body[offset:], qos, bool(first_byte & 1), dup, packet_id, properties or None)


def _check_publish_properties(properties: PropertyMap) -> None:
    if properties.get(TOPIC_ALIAS) == 0:
        raise RemoteProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, "topic alias is 0 (5, 3.3.2.3.4)")
    response_topic = properties.text(RESPONSE_TOPIC)
    if response_topic is not None:
        _check_topic(response_topic)


def _check_topic(topic: str) -> None:
    try:
        check_topic(topic)
    except TopicError as error:
        raise RemoteProtocolError(ReasonCode.TOPIC_NAME_INVALID, str(error)) from None


def _encode_publish(packet: p.Publish, version: int) -> tuple[int, bytes]:
    first_byte = p.PUBLISH << 4 | packet.dup << 3 | packet.qos << 1 | packet.retain
    packet_id = _write_packet_id(packet.packet_id) if packet.qos else b""
    properties = _properties_bytes(packet.properties, version)
    return first_byte, wire.write_string(packet.topic) + packet_id + properties + packet.payload


# -- PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7) ----------------------------------------------------

_Acknowledgement = type[p.PubAck] | type[p.PubRec] | type[p.PubRel] | type[p.PubComp]


def _acknowledgement(
    packet_type: int, record: _Acknowledgement, reasons: frozenset[int]
) -> Callable[[bytes, int], Packet]:
    name = p.NAMES[packet_type]

    def decode_it(body: bytes, version: int) -> Packet:
        packet_id, offset = _read_packet_id(body, 0)
        reason, properties, offset = _reason_and_properties(body, offset, packet_type, version, reasons)
        _end(body, offset, name)
        return record(packet_id, reason, properties)

    return decode_it


def _reason_and_properties(
    body: bytes, offset: int, packet_type: int, version: int, reasons: frozenset[int]
) -> tuple[int, PropertyMap, int]:
    """A reason code and properties, either of which may be left out at the end (5, 3.4.2.1)."""
    if version != V5 or offset == len(body):
        return 0, PropertyMap(), offset
    reason, offset = wire.read_byte(body, offset)
    if reason not in reasons:
        raise RemoteProtocolError(
            ReasonCode.PROTOCOL_ERROR,
            f"{p.NAMES[packet_type]} has reason code {reason:#04x}, which is not its own",
        )
    if offset == len(body):
        return reason, PropertyMap(), offset
    properties, offset = decode_properties(body, offset, packet_type)
    return reason, properties, offset


def _write_reason(reason: int, properties: PropertyMap, version: int) -> bytes:
    """Reason code and properties in the shortest form (5, 3.4.2.1)."""
    if version != V5 or (reason == 0 and not properties):
        return b""
    return bytes((reason,)) + (encode_properties(properties) if properties else b"")


def _encode_acknowledgement(
    packet: p.PubAck | p.PubRec | p.PubRel | p.PubComp, version: int
) -> tuple[int, bytes]:
    body = _write_packet_id(packet.packet_id)
    return _ACK_BYTES[type(packet)], body + _write_reason(packet.reason_code, packet.properties, version)


_ACK_BYTES: Final = {p.PubAck: 0x40, p.PubRec: 0x50, p.PubRel: 0x62, p.PubComp: 0x70}

# -- SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11) ------------------------------------------


def _decode_subscribe(body: bytes, version: int) -> p.Subscribe:
    packet_id, offset = _read_packet_id(body, 0)
    properties, offset = _properties(body, offset, p.SUBSCRIBE, version)
    filters = []
    while offset < len(body):
        topic_filter, offset = _read_filter(body, offset)
        options, offset = wire.read_byte(body, offset)
        filters.append(_subscription_options(topic_filter, options, version))
    if not filters:
        raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "SUBSCRIBE has no topic filter (3.8.3)")
    return p.Subscribe(packet_id, filters, properties)


def _subscription_options(topic_filter: str, options: int, version: int) -> p.SubscriptionOptions:
    qos, handling = options & 3, (options >> 4) & 3
    if options & _RESERVED_OPTIONS.get(version, 0xFC) or qos == 3:
        raise malformed(f"SUBSCRIBE has the options {options:#04x}, some of which are reserved (3.8.3)")
    if handling == 3:
        raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "SUBSCRIBE has Retain Handling 3 (5, 3.8.3.1)")
    no_local = bool(options & 4)
    if no_local and topic_filter.startswith("$share/"):
        raise RemoteProtocolError(
            ReasonCode.PROTOCOL_ERROR, "SUBSCRIBE has No Local on a shared subscription (5, 3.8.3.1)"
        )
    return p.SubscriptionOptions(topic_filter, qos, no_local, bool(options & 8), handling)


def _read_filter(body: bytes, offset: int) -> tuple[str, int]:
    topic_filter, offset = wire.read_string(body, offset)
    try:
        return check_filter(topic_filter), offset
    except TopicError as error:
        raise RemoteProtocolError(ReasonCode.TOPIC_FILTER_INVALID, str(error)) from None


def _encode_subscribe(packet: p.Subscribe, version: int) -> tuple[int, bytes]:
    parts = [_write_packet_id(packet.packet_id), _properties_bytes(packet.properties, version)]
    for one in packet.filters:
        options = one.qos
        if version == V5:
            options |= one.no_local << 2 | one.retain_as_published << 3 | one.retain_handling << 4
        parts.append(wire.write_string(one.topic_filter) + bytes((options,)))
    return 0x82, b"".join(parts)


def _decode_suback(body: bytes, version: int) -> p.SubAck:
    packet_id, offset = _read_packet_id(body, 0)
    properties, offset = _properties(body, offset, p.SUBACK, version)
    return p.SubAck(packet_id, list(body[offset:]), properties)


def _encode_suback(packet: p.SubAck, version: int) -> tuple[int, bytes]:
    properties = _properties_bytes(packet.properties, version)
    return 0x90, _write_packet_id(packet.packet_id) + properties + bytes(packet.reason_codes)


def _decode_unsubscribe(body: bytes, version: int) -> p.Unsubscribe:
    packet_id, offset = _read_packet_id(body, 0)
    properties, offset = _properties(body, offset, p.UNSUBSCRIBE, version)
    filters = []
    while offset < len(body):
        topic_filter, offset = _read_filter(body, offset)
        filters.append(topic_filter)
    if not filters:
        raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, "UNSUBSCRIBE has no topic filter (3.10.3)")
    return p.Unsubscribe(packet_id, filters, properties)


def _encode_unsubscribe(packet: p.Unsubscribe, version: int) -> tuple[int, bytes]:
    head = _write_packet_id(packet.packet_id) + _properties_bytes(packet.properties, version)
    return 0xA2, head + b"".join(wire.write_string(one) for one in packet.filters)


def _decode_unsuback(body: bytes, version: int) -> p.UnsubAck:
    packet_id, offset = _read_packet_id(body, 0)
    properties, offset = _properties(body, offset, p.UNSUBACK, version)
    if version != V5:
        _end(body, offset, "UNSUBACK")
    return p.UnsubAck(packet_id, list(body[offset:]), properties)


def _encode_unsuback(packet: p.UnsubAck, version: int) -> tuple[int, bytes]:
    reasons = bytes(packet.reason_codes) if version == V5 else b""
    properties = _properties_bytes(packet.properties, version)
    return 0xB0, _write_packet_id(packet.packet_id) + properties + reasons


# -- PINGREQ, PINGRESP, DISCONNECT, AUTH (3.12 to 3.15) ----------------------------------------------


def _decode_pingreq(body: bytes, _version: int) -> p.PingReq:
    _end(body, 0, "PINGREQ")
    return p.PingReq()


def _decode_pingresp(body: bytes, _version: int) -> p.PingResp:
    _end(body, 0, "PINGRESP")
    return p.PingResp()


def _decode_disconnect(body: bytes, version: int) -> p.Disconnect:
    reason, properties, offset = _reason_and_properties(body, 0, p.DISCONNECT, version, _DISCONNECT_REASONS)
    _end(body, offset, "DISCONNECT")
    return p.Disconnect(reason, properties)


def _decode_auth(body: bytes, version: int) -> p.Auth:
    reason, properties, offset = _reason_and_properties(body, 0, p.AUTH, version, _AUTH_REASONS)
    _end(body, offset, "AUTH")
    return p.Auth(reason, properties)


def _encode_disconnect(packet: p.Disconnect, version: int) -> tuple[int, bytes]:
    return 0xE0, _write_reason(packet.reason_code, packet.properties, version)


def _encode_auth(packet: p.Auth, version: int) -> tuple[int, bytes]:
    if version != V5:
        raise LocalProtocolError("AUTH exists only in MQTT 5")
    return 0xF0, _write_reason(packet.reason_code, packet.properties, version)


_DECODERS: Final[dict[int, Callable[[bytes, int], Packet]]] = {
    p.CONNECT: decode_connect,
    p.CONNACK: decode_connack,
    p.PUBACK: _acknowledgement(p.PUBACK, p.PubAck, _ACK_REASONS),
    p.PUBREC: _acknowledgement(p.PUBREC, p.PubRec, _ACK_REASONS),
    p.PUBREL: _acknowledgement(p.PUBREL, p.PubRel, _RELEASE_REASONS),
    p.PUBCOMP: _acknowledgement(p.PUBCOMP, p.PubComp, _RELEASE_REASONS),
    p.SUBSCRIBE: _decode_subscribe,
    p.SUBACK: _decode_suback,
    p.UNSUBSCRIBE: _decode_unsubscribe,
    p.UNSUBACK: _decode_unsuback,
    p.PINGREQ: _decode_pingreq,
    p.PINGRESP: _decode_pingresp,
    p.DISCONNECT: _decode_disconnect,
    p.AUTH: _decode_auth,
}

# Each encoder takes its own record, which the type system cannot say of a table keyed by type.
_ENCODERS: Final[dict[type, Callable[..., tuple[int, bytes]]]] = {
    p.Connect: encode_connect,
    p.ConnAck: encode_connack,
    p.Publish: _encode_publish,
    p.PubAck: _encode_acknowledgement,
    p.PubRec: _encode_acknowledgement,
    p.PubRel: _encode_acknowledgement,
    p.PubComp: _encode_acknowledgement,
    p.Subscribe: _encode_subscribe,
    p.SubAck: _encode_suback,
    p.Unsubscribe: _encode_unsubscribe,
    p.UnsubAck: _encode_unsuback,
    p.PingReq: lambda _packet, _version: (0xC0, b""),
    p.PingResp: lambda _packet, _version: (0xD0, b""),
    p.Disconnect: _encode_disconnect,
    p.Auth: _encode_auth,
}
