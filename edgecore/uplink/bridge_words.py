"""What the bridge says and hears, between paho's forms and ours. Pure: no connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from edgecore.base.errors import CloudError, PermanentCloudError, TransientCloudError
from edgecore.base.message import Message, Properties
from edgecore.uplink.client import Incoming

# PUBACK reasons that the same message will always meet (MQTT 5, 3.4.2.1); quota and the like pass.
PERMANENT_REASONS: Final = frozenset((0x87, 0x90, 0x99))


def values_of(codes: Any) -> list[int]:  # noqa: ANN401  paho gives a list, or one code for an UNSUBACK
    """The numbers of an answer's reason codes."""
    return [code.value for code in (codes if isinstance(codes, list) else [codes])] or [0]


def name_of(code: int) -> str:
    """For a person."""
    return f"reason {code:#04x}"


def refusal_of(code: int) -> CloudError:
    """What a PUBACK with a failure means."""
    text = f"the broker refused the message with {code:#04x}"
    return PermanentCloudError(text) if code in PERMANENT_REASONS else TransientCloudError(text)


def properties_to_send(message: Message, now: float) -> PahoProperties | None:
    """The properties of a PUBLISH; `now` is wall time, for the expiry that remains."""
    given, expires_at = message.properties, message.expires_at
    if given is None and expires_at is None:
        return None
    properties = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho's
    if expires_at is not None:
        properties.MessageExpiryInterval = max(1, round(expires_at - now))
    if given is not None:
        named = {
            "PayloadFormatIndicator": given.payload_format,
            "ContentType": given.content_type,
            "ResponseTopic": given.response_topic,
            "CorrelationData": given.correlation_data,
            "UserProperty": list(given.user_properties) or None,
        }
        for name, value in named.items():
            if value is not None:
                setattr(properties, name, value)
    return properties


def incoming_of(message: MQTTMessage, acknowledge: Callable[[], None]) -> Incoming:
    """A message that came."""
    given = message.properties
    properties = Properties(
        getattr(given, "PayloadFormatIndicator", None),
        getattr(given, "ContentType", None),
        getattr(given, "ResponseTopic", None),
        getattr(given, "CorrelationData", None),
        tuple(getattr(given, "UserProperty", ())),
    )
    return Incoming(
        message.topic,
        bytes(message.payload),
        message.qos,
        None if properties == Properties() else properties,
        getattr(given, "MessageExpiryInterval", None),
        acknowledge,
    )
