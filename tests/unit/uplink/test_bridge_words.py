from types import SimpleNamespace

import pytest
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.identity import device
from edgecore.base.message import Message, Properties
from edgecore.uplink.bridge_words import (
    incoming_of,
    name_of,
    properties_to_send,
    refusal_of,
    values_of,
)


def message(**more):
    return Message("a", b"x", 1, device("d"), **more)


def test_nothing_to_say_is_no_property():
    assert properties_to_send(message(), 0.0) is None


def test_what_remains_of_the_expiry_is_sent():
    assert properties_to_send(message(expires_at=60.4), 10.0).MessageExpiryInterval == 50
    assert properties_to_send(message(expires_at=5.0), 10.0).MessageExpiryInterval == 1


def test_only_what_was_given_is_sent():
    sent = properties_to_send(message(properties=Properties(None, "text/plain", None, None, ())), 0.0)
    assert sent.ContentType == "text/plain"
    assert not any(hasattr(sent, name) for name in ("ResponseTopic", "CorrelationData", "UserProperty"))


def test_what_came_without_properties():
    came = MQTTMessage(mid=7, topic=b"a/b")
    came.qos, came.payload = 1, b"x"
    taken = incoming_of(came, lambda: None)
    assert (taken.topic, taken.payload, taken.qos, taken.properties, taken.expires_in) == (
        "a/b",
        b"x",
        1,
        None,
        None,
    )


@pytest.mark.parametrize(("code", "kind"), [(0x87, PermanentCloudError), (0x97, TransientCloudError)])
def test_what_a_refusal_means(code, kind):
    assert isinstance(refusal_of(code), kind)
    assert name_of(code) in f"reason {code:#04x}"


def test_reason_codes_as_numbers():
    code = ReasonCode(PacketTypes.SUBACK, identifier=1)
    assert values_of([code, SimpleNamespace(value=0x87)]) == [1, 0x87]
    assert values_of(code) == [1]
    assert values_of([]) == [0]  # an UNSUBACK without a reason
