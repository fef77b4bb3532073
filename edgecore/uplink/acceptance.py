"""What is taken from the cloud: its broker may be anybody's, once the account or the endpoint is. Pure.

Sizes are what AWS IoT Core allows a publisher, so that nothing real is refused. Texts are judged as those of
devices are where they come in: what MQTT forbids could not be sent on to a device, and would fail there.
"""

from __future__ import annotations

from typing import Final

from edgecore.base.errors import TopicError
from edgecore.base.message import Properties
from edgecore.base.topic import check_topic
from edgecore.uplink.client import Incoming
from edgecore.uplink.mapping import (
    MAX_CONTENT_TYPE_BYTES,
    MAX_CORRELATION_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_USER_PROPERTIES_BYTES,
)

# AWS counts bytes, of which an empty pair has none; as many as the listener takes from a device.
MAX_USER_PROPERTIES: Final = 256
# What the whole packet may take: AWS's payload, properties and topic with room to spare. Said in CONNECT.
MAX_PACKET_BYTES: Final = 256 * 1024


def refuse_incoming(incoming: Incoming) -> str:
    """Why this message is dropped, whoever it is for; "" when it is taken. The reasons are few and fixed."""
    if incoming.qos not in (0, 1):
        return "QoS that was not asked for"
    if not _is_topic(incoming.topic):
        return "topic that is not allowed here"
    if len(incoming.payload) > MAX_PAYLOAD_BYTES:
        return f"payload above {MAX_PAYLOAD_BYTES} bytes"
    properties = incoming.properties
    return "" if properties is None else _refuse_sizes(properties) or _refuse_texts(properties)


def _refuse_sizes(properties: Properties) -> str:
    pairs = properties.user_properties
    if len(pairs) > MAX_USER_PROPERTIES:
        return f"more than {MAX_USER_PROPERTIES} user properties"
    if sum(len(text.encode()) for pair in pairs for text in pair) > MAX_USER_PROPERTIES_BYTES:
        return f"user properties above {MAX_USER_PROPERTIES_BYTES} bytes"
    if len((properties.content_type or "").encode()) > MAX_CONTENT_TYPE_BYTES:
        return f"content type above {MAX_CONTENT_TYPE_BYTES} bytes"
    if len(properties.correlation_data or b"") > MAX_CORRELATION_BYTES:
        return f"correlation data above {MAX_CORRELATION_BYTES} bytes"
    return ""


def _refuse_texts(properties: Properties) -> str:
    texts = [text for pair in properties.user_properties for text in pair]
    if any("\0" in text for text in (*texts, properties.content_type or "")):
        return "property that holds U+0000"
    if properties.response_topic is not None and not _is_topic(properties.response_topic):
        return "response topic that is not allowed here"
    return ""


def _is_topic(topic: str) -> bool:
    try:
        check_topic(topic)
    except TopicError:
        return False
    return True
