"""The control packets of MQTT 3.1.1 and 5 as plain records, in the words of the specification.

One record serves both versions: what a version lacks is left at its default and not sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from edgecore.mqtt.properties import PropertyMap

# The protocol level byte of CONNECT (3.1.1, 3.1.2.2; 5, 3.1.2.2).
V311: Final = 4
V5: Final = 5

# Packet types: the high four bits of the first byte (5, 2.1.2).
CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15

NAMES: Final = (
    "RESERVED",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
)


@dataclass(slots=True)
class Will:
    """The message that the server publishes when the client is lost (5, 3.1.2.5)."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class Connect:
    """The client asks for a connection. `keep_alive` in seconds, 0 for none."""

    client_id: str
    version: int = V5
    clean_start: bool = True
    keep_alive: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class ConnAck:
    """The answer to CONNECT. `reason_code` is a return code of 3.2.2.3 in 3.1.1."""

    session_present: bool = False
    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class Publish:
    """A message on its way. `packet_id` is 0 at QoS 0. `topic` may be "" in 5, with an alias."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: PropertyMap | None = None


@dataclass(slots=True)
class PubAck:
    """QoS 1: the message is accepted."""

    packet_id: int
    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class PubRec:
    """QoS 2, part 1: the message is received."""

    packet_id: int
    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class PubRel:
    """QoS 2, part 2: the sender has let go."""

    packet_id: int
    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class PubComp:
    """QoS 2, part 3: the packet id is free again."""

    packet_id: int
    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class SubscriptionOptions:
    """One topic filter of a SUBSCRIBE with its options (5, 3.8.3.1)."""

    topic_filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


@dataclass(slots=True)
class Subscribe:
    """The client asks for messages."""

    packet_id: int
    filters: list[SubscriptionOptions]
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class SubAck:
    """One reason code for each filter, in order."""

    packet_id: int
    reason_codes: list[int]
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class Unsubscribe:
    """The client takes subscriptions back."""

    packet_id: int
    filters: list[str]
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class UnsubAck:
    """One reason code for each filter in 5; none in 3.1.1."""

    packet_id: int
    reason_codes: list[int] = field(default_factory=list)
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class PingReq:
    """The client asks whether the server is there."""


@dataclass(slots=True)
class PingResp:
    """The server is there."""


@dataclass(slots=True)
class Disconnect:
    """The last packet of a connection. Only the client sends it in 3.1.1."""

    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


@dataclass(slots=True)
class Auth:
    """Enhanced authentication, MQTT 5 only (5, 3.15)."""

    reason_code: int = 0
    properties: PropertyMap = field(default_factory=PropertyMap)


Packet = (
    Connect
    | ConnAck
    | Publish
    | PubAck
    | PubRec
    | PubRel
    | PubComp
    | Subscribe
    | SubAck
    | Unsubscribe
    | UnsubAck
    | PingReq
    | PingResp
    | Disconnect
    | Auth
)
