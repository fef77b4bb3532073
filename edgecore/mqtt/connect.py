"""CONNECT and CONNACK <-> bytes (5, 3.1 and 3.2; 3.1.1, 3.1 and 3.2). Part of the codec.

CONNECT says its own version: nothing is known of the peer before it.
"""

from __future__ import annotations

from typing import Final

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError, TopicError
from edgecore.base.topic import check_topic
from edgecore.mqtt import packets as p
from edgecore.mqtt import wire
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import (
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    RESPONSE_TOPIC,
    WILL_PROPERTIES,
    PropertyMap,
    decode_properties,
    encode_properties,
)
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.wire import malformed

PROTOCOL_NAME: Final = "MQTT"

_CLEAN_START: Final = 0x02
_WILL: Final = 0x04
_WILL_QOS_SHIFT: Final = 3
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USERNAME: Final = 0x80
_WILL_DETAILS: Final = 0x38


def decode_connect(body: bytes, _version: int) -> p.Connect:
    """Read a CONNECT. Raises 0x84 for a protocol or version that is not served (5, 3.1.2.2)."""
    version, offset = _read_version(body)
    flags, offset = wire.read_byte(body, offset)
    _check_flags(flags, version)
    keep_alive, offset = wire.read_u16(body, offset)
    properties = PropertyMap()
    if version == V5:
        properties, offset = decode_properties(body, offset, p.CONNECT)
        if AUTHENTICATION_DATA in properties and AUTHENTICATION_METHOD not in properties:
            raise RemoteProtocolError(
                ReasonCode.PROTOCOL_ERROR, "CONNECT has authentication data without a method (5, 3.1.2.11.10)"
            )
    client_id, offset = wire.read_string(body, offset)
    will = None
    if flags & _WILL:
        will, offset = _read_will(body, offset, flags, version)
    username: str | None = None
    password: bytes | None = None
    if flags & _USERNAME:
        username, offset = wire.read_string(body, offset)
    if flags & _PASSWORD:
        password, offset = wire.read_binary(body, offset)
    if offset != len(body):
        raise malformed(f"CONNECT has {len(body) - offset} bytes too many")
    clean_start = bool(flags & _CLEAN_START)
    return p.Connect(client_id, version, clean_start, keep_alive, username, password, will, properties)


def _read_version(body: bytes) -> tuple[int, int]:
    name, offset = wire.read_binary(body, 0)
    version, offset = wire.read_byte(body, offset)
    if name != PROTOCOL_NAME.encode() or version not in (V311, V5):
        raise RemoteProtocolError(
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
            f"CONNECT asks for {name[:16]!r} level {version}; served are MQTT 3.1.1 (level 4) and 5",
        )
    return version, offset


def _check_flags(flags: int, version: int) -> None:
    if flags & 1:
        raise malformed("CONNECT has the reserved flag set (3.1.2.3)")
    if flags >> _WILL_QOS_SHIFT & 3 == 3:
        raise malformed("CONNECT has will QoS 3 (3.1.2.6)")
    if not flags & _WILL and flags & _WILL_DETAILS:
        raise malformed("CONNECT has will QoS or will retain without a will (3.1.2.6)")
    if version == V311 and flags & _PASSWORD and not flags & _USERNAME:
        raise malformed("CONNECT has a password without a user name (3.1.1, 3.1.2.9)")


def _read_will(body: bytes, offset: int, flags: int, version: int) -> tuple[p.Will, int]:
    properties = PropertyMap()
    if version == V5:
        properties, offset = decode_properties(body, offset, WILL_PROPERTIES)
    topic, offset = wire.read_string(body, offset)
    payload, offset = wire.read_binary(body, offset)
    for one in (topic, properties.text(RESPONSE_TOPIC)):
        if one is not None:
            _check_will_topic(one)
    qos = flags >> _WILL_QOS_SHIFT & 3
    return p.Will(topic, payload, qos, bool(flags & _WILL_RETAIN), properties), offset


def _check_will_topic(topic: str) -> None:
    try:
        check_topic(topic)
    except TopicError as error:
        raise RemoteProtocolError(ReasonCode.TOPIC_NAME_INVALID, f"will: {error}") from None


def encode_connect(packet: p.Connect, version: int) -> tuple[int, bytes]:
    """First byte and body of a CONNECT; `version` must be the packet's own or 0."""
    if packet.version not in (V311, V5) or version not in (0, packet.version):
        raise LocalProtocolError(f"CONNECT of version {packet.version} cannot be sent as version {version}")
    version = packet.version
    parts = [wire.write_string(PROTOCOL_NAME), bytes((version, _flags(packet)))]
    parts.append(wire.write_u16(packet.keep_alive))
    if version == V5:
        parts.append(encode_properties(packet.properties))
    parts.append(wire.write_string(packet.client_id))
    if packet.will is not None:
        parts.append(_write_will(packet.will, version))
    if packet.username is not None:
        parts.append(wire.write_string(packet.username))
    if packet.password is not None:
        parts.append(wire.write_binary(packet.password))
    return p.CONNECT << 4, b"".join(parts)


def _flags(packet: p.Connect) -> int:
    flags = _CLEAN_START if packet.clean_start else 0
    if packet.will is not None:
        flags |= _WILL | packet.will.qos << _WILL_QOS_SHIFT
        flags |= _WILL_RETAIN if packet.will.retain else 0
    if packet.username is not None:
        flags |= _USERNAME
    if packet.password is not None:
        flags |= _PASSWORD
    return flags


def _write_will(will: p.Will, version: int) -> bytes:
    properties = encode_properties(will.properties) if version == V5 else b""
    return properties + wire.write_string(will.topic) + wire.write_binary(will.payload)


def decode_connack(body: bytes, version: int) -> p.ConnAck:
    """Read a CONNACK as `version`."""
    flags, offset = wire.read_byte(body, 0)
    if flags & 0xFE:
        raise malformed(f"CONNACK has the flags {flags:#04x}, some of which are reserved (3.2.2.1)")
    reason, offset = wire.read_byte(body, offset)
    properties = PropertyMap()
    if version == V5:
        properties, offset = decode_properties(body, offset, p.CONNACK)
    if offset != len(body):
        raise malformed(f"CONNACK has {len(body) - offset} bytes too many")
    return p.ConnAck(bool(flags & 1), reason, properties)


def encode_connack(packet: p.ConnAck, version: int) -> tuple[int, bytes]:
    """First byte and body of a CONNACK in `version`."""
    head = bytes((packet.session_present, packet.reason_code))
    return p.CONNACK << 4, head + (encode_properties(packet.properties) if version == V5 else b"")
