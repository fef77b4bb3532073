"""What goes where between the routes and the cloud's topics, and what the cloud would never take. Pure.

Limits are those of AWS IoT Core ("AWS IoT Core endpoints and quotas"); a message that breaks one of
them would end the connection each time it is sent, and so must never be sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.base.group import Row
from edgecore.base.message import Message
from edgecore.base.topic import bind

CLOUD_TARGET: Final = "cloud"
MAX_TOPIC_BYTES: Final = 256
MAX_SLASHES: Final = 7
MAX_PAYLOAD_BYTES: Final = 128 * 1024
MAX_CONTENT_TYPE_BYTES: Final = 256
MAX_CORRELATION_BYTES: Final = 8 * 1024
MAX_USER_PROPERTIES_BYTES: Final = 8 * 1024

# Basic ingest: the rule's prefix counts neither towards the length nor towards the levels.
_RULES_PREFIX: Final = re.compile(r"\$aws/rules/[^/]+/")
_SHADOW: Final = re.compile(r"\$aws/things/[^/]+/shadow(/|$)")


@dataclass(frozen=True, slots=True)
class CloudSubscription:
    """A filter to subscribe to in the cloud, with the highest QoS that a row asks for."""

    topic_filter: str
    qos: int


@dataclass(frozen=True, slots=True)
class CloudMapping:
    """The subscriptions that the rows need. `refused`: filters that AWS would not take, with why."""

    subscriptions: tuple[CloudSubscription, ...]
    refused: Mapping[str, str]


def map_rows(rows: Iterable[Row]) -> CloudMapping:
    """The subscriptions for all rows from the cloud: `${thing}` is any thing, overlaps are one."""
    wanted: dict[str, int] = {}
    refused: dict[str, str] = {}
    for topic_filter, qos in _filters(rows):
        reason = refuse_filter(topic_filter)
        if reason:
            refused[topic_filter] = reason
        else:
            wanted[topic_filter] = max(qos, wanted.get(topic_filter, 0))
    kept = [one for one in wanted if not any(covers(other, one) for other in wanted if other != one)]
    return CloudMapping(tuple(CloudSubscription(one, _best_qos(one, wanted)) for one in kept), refused)


def _filters(rows: Iterable[Row]) -> Iterable[tuple[str, int]]:
    for row in rows:
        if CLOUD_TARGET in row.sources:
            for pattern in row.topics:
                yield bind(pattern), min(row.qos, 1)


def _best_qos(topic_filter: str, wanted: Mapping[str, int]) -> int:
    return max(qos for one, qos in wanted.items() if one == topic_filter or covers(topic_filter, one))


def covers(wide: str, narrow: str) -> bool:
    """Whether AWS delivers for filter `wide` whatever it delivers for `narrow`.

    There `a/#` does not match `a`, unlike in the MQTT specification.
    """
    first, second = wide.split("/"), narrow.split("/")
    if narrow.startswith("$") and first[0] in ("+", "#"):
        return False
    for index, level in enumerate(first):
        if index >= len(second):
            return False
        if level == "#":
            return True
        if second[index] == "#" or level not in ("+", second[index]):
            return False
    return len(first) == len(second)


def is_shadow_topic(topic: str) -> bool:
    """Whether the topic belongs to shadow sync and to nobody else."""
    return _SHADOW.match(topic) is not None


def refuse_filter(topic_filter: str) -> str:
    """Why AWS would not take this filter from a row, or ""."""
    if is_shadow_topic(topic_filter):
        return "shadow topics of the cloud are for shadow sync only"
    return _refuse_length(topic_filter)


def refuse_message(message: Message) -> str:
    """Why AWS would never take this message, or ""."""
    topic = message.topic
    if topic.startswith("$") and _RULES_PREFIX.match(topic) is None:
        return "reserved topic: of those only $aws/rules/ may be sent"
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        return f"payload above {MAX_PAYLOAD_BYTES} bytes"
    return _refuse_length(topic) or _refuse_properties(message)


def _refuse_length(topic: str) -> str:
    match = _RULES_PREFIX.match(topic)
    counted = topic[match.end() :] if match else topic
    if len(counted.encode()) > MAX_TOPIC_BYTES:
        return f"topic above {MAX_TOPIC_BYTES} bytes"
    if counted.count("/") > MAX_SLASHES:
        return f"topic with more than {MAX_SLASHES} slashes"
    return ""


def _refuse_properties(message: Message) -> str:
    properties = message.properties
    if properties is None:
        return ""
    if len((properties.content_type or "").encode()) > MAX_CONTENT_TYPE_BYTES:
        return f"content type above {MAX_CONTENT_TYPE_BYTES} bytes"
    if len(properties.correlation_data or b"") > MAX_CORRELATION_BYTES:
        return f"correlation data above {MAX_CORRELATION_BYTES} bytes"
    size = sum(len(name.encode()) + len(value.encode()) for name, value in properties.user_properties)
    if size > MAX_USER_PROPERTIES_BYTES:
        return f"user properties above {MAX_USER_PROPERTIES_BYTES} bytes"
    return _refuse_length(properties.response_topic or "")
