"""AWS IoT Core's own rules on top of MQTT: limits, filters, reserved topics, negotiation. Pure.

Numbers are those of "AWS IoT Core endpoints and quotas" and of "AWS IoT differences from MQTT
specifications"; what CONNACK says is what AWS's own client tests record against the service.
"""

from __future__ import annotations

import re
from typing import Final

from edgecore.base.topic import matches, split_share
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, Connect, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud.jobs import parse_topic as parse_job_topic
from edgecore.sim.cloud.shadows import parse_topic

MAX_PACKET_BYTES: Final = 149_504  # 146 KiB, as CONNACK announces it
MAX_PAYLOAD_BYTES: Final = 128 * 1024
MAX_TOPIC_BYTES: Final = 256
MAX_SLASHES: Final = 7
MAX_CLIENT_ID_BYTES: Final = 128
MAX_FILTERS_PER_SUBSCRIBE: Final = 8
MAX_SUBSCRIPTIONS: Final = 50  # per connection; AWS raises it on request
RECEIVE_MAXIMUM: Final = 100  # also the most that is unacknowledged towards a client
TOPIC_ALIAS_MAXIMUM: Final = 8
MIN_CLIENT_PACKET_BYTES: Final = 512
MIN_KEEP_ALIVE: Final = 30
MAX_KEEP_ALIVE: Final = 1200
MAX_SESSION_SECONDS: Final = 3600
MIN_MESSAGE_EXPIRY: Final = 1
MAX_MESSAGE_EXPIRY: Final = 604_800
MAX_SHARE_NAME: Final = 128  # characters
MAX_SHARE_GROUPS: Final = 100  # per account
MAX_SHARE_MEMBERS: Final = 100  # per group
MAX_USER_PROPERTY_BYTES: Final = 8 * 1024
MAX_CORRELATION_BYTES: Final = 8 * 1024
MAX_CONTENT_TYPE_BYTES: Final = 256
# What goes through unchanged from publisher to receiver (5, 3.3.2.3); the expiry is written anew.
FORWARDED: Final = (
    ids.PAYLOAD_FORMAT_INDICATOR,
    ids.CONTENT_TYPE,
    ids.RESPONSE_TOPIC,
    ids.CORRELATION_DATA,
    ids.USER_PROPERTY,
)

_RULES_PREFIX: Final = re.compile(r"\$aws/rules/[^/]+/")
_SHARE_PREFIX: Final = re.compile(r"\$share/[^/]+/")
# The reserved topics that clients may subscribe to: shadows, jobs, lifecycle events.
_RESERVED_FILTER: Final = re.compile(
    r"\$aws/(things/[^/]+/(shadow|jobs)/.+|events/(presence|subscriptions)/.+|events/#)"
)

# The reason codes that AWS names for each packet; it sends no others ("MQTT 5 reason codes").
LISTED: Final = {
    "CONNACK": frozenset((0x00, 0x80, 0x84, 0x85, 0x86, 0x87, 0x90, 0x97, 0x9B)),
    "PUBACK": frozenset((0x00, 0x80, 0x87, 0x90, 0x91, 0x97)),
    "SUBACK": frozenset((0x00, 0x01, 0x80, 0x87, 0x8F, 0x91, 0x97)),
    "UNSUBACK": frozenset((0x00, 0x80, 0x8F, 0x91)),
    "DISCONNECT": frozenset(
        (0x81, 0x82, 0x87, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x97, 0x98, 0x9B, 0xA1)
    ),
}


def keep_alive(asked: int) -> int:
    """Seconds that the server imposes: 0 and too long become 1200, too short becomes 30."""
    if asked == 0:
        return MAX_KEEP_ALIVE
    return min(max(asked, MIN_KEEP_ALIVE), MAX_KEEP_ALIVE)


def session_expiry(connect: Connect) -> int:
    """Seconds that the session outlives its connection."""
    if connect.version != V5:
        return 0 if connect.clean_start else MAX_SESSION_SECONDS
    return min(connect.properties.integer(ids.SESSION_EXPIRY_INTERVAL), MAX_SESSION_SECONDS)


def refuse_connect(connect: Connect) -> ReasonCode | None:
    """Why this CONNECT may not be, or None."""
    client_id = connect.client_id
    if len(client_id.encode()) > MAX_CLIENT_ID_BYTES or client_id.startswith("$"):
        return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    if not client_id and connect.version != V5 and not connect.clean_start:
        return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID  # 3.1.1, 3.1.3.1
    if connect.properties.integer(ids.MAXIMUM_PACKET_SIZE, MAX_PACKET_BYTES) < MIN_CLIENT_PACKET_BYTES:
        return ReasonCode.UNSPECIFIED_ERROR
    if ids.AUTHENTICATION_METHOD in connect.properties:
        return ReasonCode.UNSPECIFIED_ERROR  # 0x8C is not among AWS's reason codes
    return None if connect.will is None else _refuse_will(connect.will)


def _refuse_will(will: Will) -> ReasonCode | None:
    if will.qos == 2:
        return ReasonCode.QOS_NOT_SUPPORTED
    if refuse_publish(will.topic, len(will.payload), will.retain) is not None:
        return ReasonCode.TOPIC_NAME_INVALID
    return None


def connack_properties(connect: Connect, assigned: str) -> PropertyMap:
    """What the simulated AWS tells an MQTT 5 client. `assigned` is the client id it made, or ""."""
    answer = PropertyMap()
    answer[ids.SESSION_EXPIRY_INTERVAL] = session_expiry(connect)
    answer[ids.RECEIVE_MAXIMUM] = RECEIVE_MAXIMUM
    answer[ids.MAXIMUM_QOS] = 1
    answer[ids.RETAIN_AVAILABLE] = 1
    answer[ids.MAXIMUM_PACKET_SIZE] = MAX_PACKET_BYTES
    answer[ids.TOPIC_ALIAS_MAXIMUM] = TOPIC_ALIAS_MAXIMUM
    answer[ids.WILDCARD_SUBSCRIPTION_AVAILABLE] = 1
    answer[ids.SUBSCRIPTION_IDENTIFIER_AVAILABLE] = 0
    answer[ids.SHARED_SUBSCRIPTION_AVAILABLE] = 1
    answer[ids.SERVER_KEEP_ALIVE] = keep_alive(connect.keep_alive)
    if assigned:
        answer[ids.ASSIGNED_CLIENT_IDENTIFIER] = assigned
    return answer


def is_rule(topic: str) -> bool:
    """Whether the topic is basic ingest: past the broker, straight to a rule."""
    return _RULES_PREFIX.match(topic) is not None


def refuse_publish(topic: str, size: int, retain: bool) -> ReasonCode | None:
    """Why a client may not publish this, or None."""
    if size > MAX_PAYLOAD_BYTES:
        return ReasonCode.QUOTA_EXCEEDED
    if not _fits(topic, _RULES_PREFIX):
        return ReasonCode.TOPIC_NAME_INVALID
    if not topic.startswith("$"):
        return None
    if retain:
        return ReasonCode.UNSPECIFIED_ERROR  # no retained messages on reserved topics
    # Provisioning, streams and the rest of $aws are not simulated: refused, not swallowed.
    served = is_rule(topic) or parse_topic(topic) is not None or parse_job_topic(topic) is not None
    return None if served else ReasonCode.NOT_AUTHORIZED


def refuse_properties(properties: PropertyMap) -> ReasonCode | None:
    """Why a PUBLISH may not carry these properties, or None."""
    user = sum(len(name.encode()) + len(value.encode()) for name, value in properties.user_properties)
    correlation = properties.binary(ids.CORRELATION_DATA) or b""
    content_type = properties.text(ids.CONTENT_TYPE) or ""
    too_much = (
        user > MAX_USER_PROPERTY_BYTES
        or len(correlation) > MAX_CORRELATION_BYTES
        or len(content_type.encode()) > MAX_CONTENT_TYPE_BYTES
    )
    return ReasonCode.QUOTA_EXCEEDED if too_much else None


def refuse_filter(topic_filter: str) -> ReasonCode | None:
    """Why a client may not subscribe to this filter (with its $share prefix), or None."""
    share, below = split_share(topic_filter)
    if len(share) > MAX_SHARE_NAME or not _fits(below, _SHARE_PREFIX):
        return ReasonCode.TOPIC_FILTER_INVALID
    if below.startswith("$") and _RESERVED_FILTER.fullmatch(below) is None:
        return ReasonCode.NOT_AUTHORIZED
    return None


def listed_disconnect(reason: ReasonCode) -> ReasonCode:
    """The reason of a DISCONNECT as AWS would give it: what its list lacks is a quota exceeded."""
    return reason if reason in LISTED["DISCONNECT"] else ReasonCode.QUOTA_EXCEEDED


def _fits(text: str, free: re.Pattern[str]) -> bool:
    """Whether length and levels are within AWS's limits; the prefix that `free` matches is not counted."""
    counted = text[match.end() :] if (match := free.match(text)) else text
    return len(counted.encode()) <= MAX_TOPIC_BYTES and counted.count("/") <= MAX_SLASHES


def receives(topic_filter: str, topic: str) -> bool:
    """Whether AWS delivers `topic` for `topic_filter`: `sensor/#` does not match `sensor` there."""
    if topic_filter.endswith("/#") and topic.count("/") < topic_filter.count("/"):
        return False
    return matches(topic_filter, topic)


def message_expiry(properties: PropertyMap) -> int | None:
    """Seconds that a message lives in a queue, within AWS's bounds, or None for no end."""
    if ids.MESSAGE_EXPIRY_INTERVAL not in properties:
        return None
    asked = properties.integer(ids.MESSAGE_EXPIRY_INTERVAL)
    return min(max(asked, MIN_MESSAGE_EXPIRY), MAX_MESSAGE_EXPIRY)
