"""What goes where between the routes and the cloud's topics, and what the cloud would never take. Pure.

Limits are those of AWS IoT Core ("AWS IoT Core endpoints and quotas") unless the broker is another; a message
that breaks one of them would end the connection each time it is sent, and so must never be sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.base import topic
from edgecore.base.group import Row
from edgecore.base.message import Message
from edgecore.base.topic import bind
from edgecore.uplink.settings import UplinkSettings

CLOUD_TARGET: Final = "cloud"
# AWS's, of topic, levels, payload and properties.
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
class Limits:
    """What a broker takes. `rules`: whether `$aws/rules/` topics mean something there."""

    topic_bytes: int
    slashes: int
    payload_bytes: int
    content_type_bytes: int
    correlation_bytes: int
    user_properties_bytes: int
    rules: bool


AWS: Final = Limits(
    MAX_TOPIC_BYTES,
    MAX_SLASHES,
    MAX_PAYLOAD_BYTES,
    MAX_CONTENT_TYPE_BYTES,
    MAX_CORRELATION_BYTES,
    MAX_USER_PROPERTIES_BYTES,
    rules=True,
)
# Of any other broker nothing is known: what this core itself takes from a device.
ANY: Final = Limits(
    topic.MAX_TOPIC_BYTES,
    topic.MAX_TOPIC_LEVELS - 1,
    payload_bytes=256 * 1024,
    content_type_bytes=65_535,
    correlation_bytes=65_535,
    user_properties_bytes=64 * 1024,
    rules=False,
)


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


def map_rows(rows: Iterable[Row], limits: Limits = AWS) -> CloudMapping:
    """The subscriptions for all rows from the cloud: `${thing}` is any thing, overlaps are one."""
    wanted: dict[str, int] = {}
    refused: dict[str, str] = {}
    for topic_filter, qos in _filters(rows):
        reason = refuse_filter(topic_filter, limits)
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


def is_shadow_topic(name: str) -> bool:
    """Whether the topic belongs to shadow sync and to nobody else."""
    return _SHADOW.match(name) is not None


def limits_of(settings: UplinkSettings) -> Limits:
    """What the broker takes that `settings` name."""
    return AWS if settings.broker == "aws" else ANY


def refuse_filter(topic_filter: str, limits: Limits = AWS) -> str:
    """Why the broker would not take this filter from a row, or ""."""
    if is_shadow_topic(topic_filter):
        return "shadow topics of the cloud are for shadow sync only"
    return _refuse_length(topic_filter, limits)


def refuse_message(message: Message, limits: Limits = AWS) -> str:
    """Why the broker would never take this message, or ""."""
    name = message.topic
    if name.startswith("$") and not (limits.rules and _RULES_PREFIX.match(name)):
        allowed = ": of those only $aws/rules/ may be sent" if limits.rules else ""
        return f"reserved topic{allowed}"
    if len(message.payload) > limits.payload_bytes:
        return f"payload above {limits.payload_bytes} bytes"
    return _refuse_length(name, limits) or _refuse_properties(message, limits)


def _refuse_length(name: str, limits: Limits) -> str:
    match = _RULES_PREFIX.match(name) if limits.rules else None
    counted = name[match.end() :] if match else name
    if len(counted.encode()) > limits.topic_bytes:
        return f"topic above {limits.topic_bytes} bytes"
    if counted.count("/") > limits.slashes:
        return f"topic with more than {limits.slashes} slashes"
    return ""


def _refuse_properties(message: Message, limits: Limits) -> str:
    properties = message.properties
    if properties is None:
        return ""
    if len((properties.content_type or "").encode()) > limits.content_type_bytes:
        return f"content type above {limits.content_type_bytes} bytes"
    if len(properties.correlation_data or b"") > limits.correlation_bytes:
        return f"correlation data above {limits.correlation_bytes} bytes"
    size = sum(len(name.encode()) + len(value.encode()) for name, value in properties.user_properties)
    if size > limits.user_properties_bytes:
        return f"user properties above {limits.user_properties_bytes} bytes"
    return _refuse_length(properties.response_topic or "", limits)
