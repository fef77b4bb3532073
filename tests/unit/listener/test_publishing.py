import pytest

from edgecore.base import identity
from edgecore.base.message import Properties
from edgecore.listener.publishing import message_of, will_of
from edgecore.listener.records import WillRecord
from edgecore.mqtt import properties as pr
from edgecore.mqtt.packets import Publish, Will
from edgecore.mqtt.properties import PropertyMap

ONE = identity.device("one")
TRAVELS = {
    pr.PAYLOAD_FORMAT_INDICATOR: 1,
    pr.CONTENT_TYPE: "text/plain",
    pr.RESPONSE_TOPIC: "r",
    pr.CORRELATION_DATA: b"c",
    pr.USER_PROPERTY: [("a", "1"), ("a", "2")],
}


def test_a_plain_publish_is_a_message_of_its_sender():
    message = message_of(Publish("t", b"x", 2, True, packet_id=7), ONE, 0.0)
    assert (message.topic, message.payload, message.qos, message.retain) == ("t", b"x", 2, True)
    assert (message.sender, message.expires_at, message.properties) == (ONE, None, None)


def test_its_life_is_counted_from_its_arrival():
    packet = Publish("t", properties=PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: 60}))
    message = message_of(packet, ONE, 1000.0)
    assert (message.expires_at, message.properties) == (1060.0, None)
    ends_now = Publish("t", properties=PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: 0}))
    assert message_of(ends_now, ONE, 1000.0).expires_at == 1000.0


def test_what_travels_travels_and_the_alias_does_not():
    packet = Publish("t", properties=PropertyMap({**TRAVELS, pr.TOPIC_ALIAS: 3}))
    message = message_of(packet, ONE, 0.0)
    assert message.properties == Properties(1, "text/plain", "r", b"c", (("a", "1"), ("a", "2")))
    alias_only = Publish("t", properties=PropertyMap({pr.TOPIC_ALIAS: 3}))
    assert message_of(alias_only, ONE, 0.0).properties is None


def test_no_will_is_none():
    assert will_of(None) is None


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_plain_will(qos):
    assert will_of(Will("w", b"x", qos, retain=True)) == WillRecord("w", b"x", qos, True)


def test_a_will_with_everything():
    properties = PropertyMap({**TRAVELS, pr.WILL_DELAY_INTERVAL: 5, pr.MESSAGE_EXPIRY_INTERVAL: 60})
    assert will_of(Will("w", b"x", 1, properties=properties)) == WillRecord(
        "w", b"x", 1, False, 5, 60, 1, "text/plain", "r", b"c", (("a", "1"), ("a", "2"))
    )


def test_what_a_will_has_as_zero_is_not_what_it_lacks():
    properties = PropertyMap({pr.PAYLOAD_FORMAT_INDICATOR: 0, pr.MESSAGE_EXPIRY_INTERVAL: 0})
    found = will_of(Will("w", b"", properties=properties))
    assert (found.payload_format, found.expiry) == (0, 0)
    without = will_of(Will("w", b""))
    assert (without.payload_format, without.expiry) == (None, None)
