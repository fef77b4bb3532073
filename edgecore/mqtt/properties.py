"""MQTT 5 properties (5, 2.2.2): identifiers, types, where each may stand, and their bytes.

The table below is the whole knowledge; the functions only walk it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError
from edgecore.mqtt import wire
from edgecore.mqtt.reason_codes import ReasonCode

PAYLOAD_FORMAT_INDICATOR: Final = 0x01
MESSAGE_EXPIRY_INTERVAL: Final = 0x02
CONTENT_TYPE: Final = 0x03
RESPONSE_TOPIC: Final = 0x08
CORRELATION_DATA: Final = 0x09
SUBSCRIPTION_IDENTIFIER: Final = 0x0B
SESSION_EXPIRY_INTERVAL: Final = 0x11
ASSIGNED_CLIENT_IDENTIFIER: Final = 0x12
SERVER_KEEP_ALIVE: Final = 0x13
AUTHENTICATION_METHOD: Final = 0x15
AUTHENTICATION_DATA: Final = 0x16
REQUEST_PROBLEM_INFORMATION: Final = 0x17
WILL_DELAY_INTERVAL: Final = 0x18
REQUEST_RESPONSE_INFORMATION: Final = 0x19
RESPONSE_INFORMATION: Final = 0x1A
SERVER_REFERENCE: Final = 0x1C
REASON_STRING: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
MAXIMUM_QOS: Final = 0x24
RETAIN_AVAILABLE: Final = 0x25
USER_PROPERTY: Final = 0x26
MAXIMUM_PACKET_SIZE: Final = 0x27
WILDCARD_SUBSCRIPTION_AVAILABLE: Final = 0x28
SUBSCRIPTION_IDENTIFIER_AVAILABLE: Final = 0x29
SHARED_SUBSCRIPTION_AVAILABLE: Final = 0x2A

# Each user property is an object of its own: a cap keeps one packet from becoming ten thousand of
# them (facts: the 2.0.12 defect of a peer). AWS allows 8 kB of them in all.
MAX_USER_PROPERTIES: Final = 256
# And their bytes, which every queued copy of the message holds beside its payload and the bounds of the
# queues do not see: eight times AWS's limit.
MAX_USER_PROPERTY_BYTES: Final = 64 * 1024

UserProperties = list[tuple[str, str]]
Value = int | str | bytes | UserProperties | list[int]


class PropertyMap(dict[int, Value]):
    """Property identifier -> value. User properties are a list of pairs, in order, with repeats.

    Subscription identifiers are a list too: a PUBLISH may carry several.
    """

    __slots__ = ()

    def integer(self, identifier: int, default: int = 0) -> int:
        """The value of a numeric property."""
        value = self.get(identifier, default)
        assert isinstance(value, int)
        return value

    def text(self, identifier: int) -> str | None:
        """The value of a string property, or None."""
        value = self.get(identifier)
        assert value is None or isinstance(value, str)
        return value

    def binary(self, identifier: int) -> bytes | None:
        """The value of a binary property, or None."""
        value = self.get(identifier)
        assert value is None or isinstance(value, bytes)
        return value

    @property
    def user_properties(self) -> UserProperties:
        """The user properties, in order."""
        return self.get(USER_PROPERTY, [])  # type: ignore[return-value]  # the table types this key


# What a property may stand in: packet types (5, 2.1.2), with 0 for the will of a CONNECT.
_WILL: Final = 0
WILL_PROPERTIES: Final = _WILL
_CONNECT, _CONNACK, _PUBLISH, _SUBSCRIBE, _UNSUBSCRIBE, _DISCONNECT, _AUTH = 1, 2, 3, 8, 10, 14, 15
_ANSWERS: Final = (2, 4, 5, 6, 7, 9, 11, 14, 15)
_EVERYWHERE: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15)
_MESSAGE: Final = (_WILL, _PUBLISH)
# Properties whose value is a list, since they may stand more than once somewhere.
_LISTS: Final = (USER_PROPERTY, SUBSCRIPTION_IDENTIFIER)


def _read_pair(buffer: bytes, offset: int) -> tuple[tuple[str, str], int]:
    name, offset = wire.read_string(buffer, offset)
    value, offset = wire.read_string(buffer, offset)
    return (name, value), offset


def _write_byte(value: int) -> bytes:
    return bytes((value,))


def _write_pair(pair: tuple[str, str]) -> bytes:
    return wire.write_string(pair[0]) + wire.write_string(pair[1])


class _Kind(NamedTuple):
    """How the values of one type are read and written, and which are allowed."""

    read: Callable[[bytes, int], tuple[object, int]]
    write: Callable[..., bytes]
    lowest: int = 0
    highest: int = 0xFFFF_FFFF


_FLAG: Final = _Kind(wire.read_byte, _write_byte, highest=1)
_U16: Final = _Kind(wire.read_u16, wire.write_u16)
_U16_POSITIVE: Final = _Kind(wire.read_u16, wire.write_u16, lowest=1)
_U32: Final = _Kind(wire.read_u32, wire.write_u32)
_U32_POSITIVE: Final = _Kind(wire.read_u32, wire.write_u32, lowest=1)
_VARIABLE_POSITIVE: Final = _Kind(wire.read_variable, wire.write_variable, lowest=1)
_TEXT: Final = _Kind(wire.read_string, wire.write_string)
_BINARY: Final = _Kind(wire.read_binary, wire.write_binary)
_PAIR: Final = _Kind(_read_pair, _write_pair)


class _Rule(NamedTuple):
    """One row of table 2-4 of the specification."""

    name: str
    kind: _Kind
    packets: tuple[int, ...]


_RULES: Final[dict[int, _Rule]] = {
    PAYLOAD_FORMAT_INDICATOR: _Rule("Payload Format Indicator", _FLAG, _MESSAGE),
    MESSAGE_EXPIRY_INTERVAL: _Rule("Message Expiry Interval", _U32, _MESSAGE),
    CONTENT_TYPE: _Rule("Content Type", _TEXT, _MESSAGE),
    RESPONSE_TOPIC: _Rule("Response Topic", _TEXT, _MESSAGE),
    CORRELATION_DATA: _Rule("Correlation Data", _BINARY, _MESSAGE),
    SUBSCRIPTION_IDENTIFIER: _Rule("Subscription Identifier", _VARIABLE_POSITIVE, (_PUBLISH, _SUBSCRIBE)),
    SESSION_EXPIRY_INTERVAL: _Rule("Session Expiry Interval", _U32, (_CONNECT, _CONNACK, _DISCONNECT)),
    ASSIGNED_CLIENT_IDENTIFIER: _Rule("Assigned Client Identifier", _TEXT, (_CONNACK,)),
    SERVER_KEEP_ALIVE: _Rule("Server Keep Alive", _U16, (_CONNACK,)),
    AUTHENTICATION_METHOD: _Rule("Authentication Method", _TEXT, (_CONNECT, _CONNACK, _AUTH)),
    AUTHENTICATION_DATA: _Rule("Authentication Data", _BINARY, (_CONNECT, _CONNACK, _AUTH)),
    REQUEST_PROBLEM_INFORMATION: _Rule("Request Problem Information", _FLAG, (_CONNECT,)),
    WILL_DELAY_INTERVAL: _Rule("Will Delay Interval", _U32, (_WILL,)),
    REQUEST_RESPONSE_INFORMATION: _Rule("Request Response Information", _FLAG, (_CONNECT,)),
    RESPONSE_INFORMATION: _Rule("Response Information", _TEXT, (_CONNACK,)),
    SERVER_REFERENCE: _Rule("Server Reference", _TEXT, (_CONNACK, _DISCONNECT)),
    REASON_STRING: _Rule("Reason String", _TEXT, _ANSWERS),
    RECEIVE_MAXIMUM: _Rule("Receive Maximum", _U16_POSITIVE, (_CONNECT, _CONNACK)),
    TOPIC_ALIAS_MAXIMUM: _Rule("Topic Alias Maximum", _U16, (_CONNECT, _CONNACK)),
    TOPIC_ALIAS: _Rule("Topic Alias", _U16, (_PUBLISH,)),
    MAXIMUM_QOS: _Rule("Maximum QoS", _FLAG, (_CONNACK,)),
    RETAIN_AVAILABLE: _Rule("Retain Available", _FLAG, (_CONNACK,)),
    USER_PROPERTY: _Rule("User Property", _PAIR, _EVERYWHERE),
    MAXIMUM_PACKET_SIZE: _Rule("Maximum Packet Size", _U32_POSITIVE, (_CONNECT, _CONNACK)),
    WILDCARD_SUBSCRIPTION_AVAILABLE: _Rule("Wildcard Subscription Available", _FLAG, (_CONNACK,)),
    SUBSCRIPTION_IDENTIFIER_AVAILABLE: _Rule("Subscription Identifier Available", _FLAG, (_CONNACK,)),
    SHARED_SUBSCRIPTION_AVAILABLE: _Rule("Shared Subscription Available", _FLAG, (_CONNACK,)),
}


def _protocol_error(text: str) -> RemoteProtocolError:
    return RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, text)


def _too_many(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(ReasonCode.QUOTA_EXCEEDED, f"more than {what} in one packet")


def decode_properties(buffer: bytes, offset: int, packet_type: int) -> tuple[PropertyMap, int]:
    """The properties at `offset` of a packet of that type, and the offset behind them."""
    length, offset = wire.read_variable(buffer, offset)
    properties = PropertyMap()
    if length == 0:
        return properties, offset
    end = offset + length
    if end > len(buffer):
        raise wire.malformed(f"properties of {length} bytes are announced, {len(buffer) - offset} are there")
    user_bytes = 0
    while offset < end:
        identifier, begin = wire.read_variable(buffer, offset)
        rule = _rule(identifier, packet_type)
        value, offset = rule.kind.read(buffer, begin)
        if identifier == USER_PROPERTY:
            user_bytes += offset - begin
            if user_bytes > MAX_USER_PROPERTY_BYTES:
                raise _too_many(f"{MAX_USER_PROPERTY_BYTES} bytes of user properties")
        _check_value(rule, value)
        _store(properties, identifier, rule.name, value, packet_type)
    if offset != end:
        raise wire.malformed("the last property reaches beyond the announced length of the properties")
    return properties, offset


def _rule(identifier: int, packet_type: int) -> _Rule:
    rule = _RULES.get(identifier)
    if rule is None:
        raise wire.malformed(f"property identifier {identifier:#04x} is not defined")
    if packet_type not in rule.packets:
        raise wire.malformed(f"property {rule.name} may not stand in a packet of type {packet_type}")
    return rule


def _check_value(rule: _Rule, value: object) -> None:
    if isinstance(value, int) and not rule.kind.lowest <= value <= rule.kind.highest:
        raise _protocol_error(f"property {rule.name} has the value {value}, which is not allowed")


def _store(properties: PropertyMap, identifier: int, name: str, value: object, packet_type: int) -> None:
    """Keep a decoded value; only user properties may repeat, and a PUBLISH's subscription identifiers.

    5, 2.2.2.2 and 3.3.2.3.8; in SUBSCRIBE there is one at most (5, 3.8.2.1.2).
    """
    repeats = identifier in _LISTS and (identifier == USER_PROPERTY or packet_type == _PUBLISH)
    if identifier in properties and not repeats:
        raise _protocol_error(f"property {name} stands twice")
    if identifier in _LISTS:
        many: list[object] = properties.setdefault(identifier, [])  # type: ignore[assignment]  # the table's type
        if len(many) >= MAX_USER_PROPERTIES:
            raise _too_many(f"{MAX_USER_PROPERTIES} properties {name}")
        many.append(value)
    else:
        properties[identifier] = value  # type: ignore[assignment]  # the table types the value


def encode_properties(properties: PropertyMap | None) -> bytes:
    """The properties with their length in front, in the order of the map."""
    if not properties:
        return b"\0"
    body = b"".join(_encode_one(identifier, value) for identifier, value in properties.items())
    return wire.write_variable(len(body)) + body


def _encode_one(identifier: int, value: Value) -> bytes:
    rule = _RULES.get(identifier)
    if rule is None:
        raise LocalProtocolError(f"property identifier {identifier:#04x} is not defined")
    head = bytes((identifier,))
    if identifier in _LISTS:
        assert isinstance(value, list)
        return b"".join(head + rule.kind.write(one) for one in value)
    return head + rule.kind.write(value)
