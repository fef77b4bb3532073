import pytest

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError
from edgecore.mqtt import properties as pr
from edgecore.mqtt.properties import PropertyMap, decode_properties, encode_properties

PUBLISH, CONNECT, SUBSCRIBE, WILL = 3, 1, 8, 0


def test_no_properties_are_one_zero_byte():
    assert encode_properties(None) == b"\0"
    assert decode_properties(b"\0rest", 0, PUBLISH) == (PropertyMap(), 1)


def test_user_properties_keep_order_and_repeats():
    given = PropertyMap({pr.USER_PROPERTY: [("b", "1"), ("a", "2"), ("b", "1")]})
    data = encode_properties(given)
    assert decode_properties(data, 0, PUBLISH) == (given, len(data))
    assert given.user_properties == [("b", "1"), ("a", "2"), ("b", "1")]


def test_every_type_comes_back():
    given = PropertyMap(
        {
            pr.PAYLOAD_FORMAT_INDICATOR: 1,
            pr.MESSAGE_EXPIRY_INTERVAL: 70_000,
            pr.CONTENT_TYPE: "text/plain",
            pr.CORRELATION_DATA: b"\0\xff",
            pr.SUBSCRIPTION_IDENTIFIER: [1, 268_435_455],
            pr.TOPIC_ALIAS: 9,
        }
    )
    data = encode_properties(given)
    found, _ = decode_properties(data, 0, PUBLISH)
    assert found == given
    assert found.integer(pr.TOPIC_ALIAS) == 9
    assert found.integer(pr.RECEIVE_MAXIMUM, 7) == 7
    assert found.text(pr.CONTENT_TYPE) == "text/plain"
    assert found.binary(pr.CORRELATION_DATA) == b"\0\xff"
    assert found.text(pr.RESPONSE_TOPIC) is None
    assert found.user_properties == []


@pytest.mark.parametrize(
    ("data", "packet_type", "reason"),
    [
        ("0200", PUBLISH, 0x81),  # announces more than is there
        ("017f", PUBLISH, 0x81),  # no such identifier
        ("022101", CONNECT, 0x81),  # cut short
        ("032101ff00", PUBLISH, 0x81),  # Receive Maximum in a PUBLISH
        ("03210000", CONNECT, 0x82),  # Receive Maximum 0
        ("020102", PUBLISH, 0x82),  # Payload Format Indicator 2
        ("0401000101", PUBLISH, 0x82),  # twice
        ("040b010b02", SUBSCRIBE, 0x82),  # two Subscription Identifiers, which only PUBLISH may have
        ("020b00", SUBSCRIBE, 0x82),  # Subscription Identifier 0
        ("052700000000", CONNECT, 0x82),  # Maximum Packet Size 0
        ("0109000141", PUBLISH, 0x81),  # a value that reaches beyond the announced length
        ("05180000000a", PUBLISH, 0x81),  # Will Delay Interval outside a will
    ],
)
def test_what_may_not_stand_there_is_refused_with_its_reason(data, packet_type, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        decode_properties(bytes.fromhex(data), 0, packet_type)
    assert caught.value.reason_code == reason


def test_a_will_delay_stands_in_a_will():
    assert decode_properties(bytes.fromhex("05180000000a"), 0, WILL)[0] == {pr.WILL_DELAY_INTERVAL: 10}


def test_the_number_of_user_properties_is_bounded():
    data = encode_properties(PropertyMap({pr.USER_PROPERTY: [("", "")] * (pr.MAX_USER_PROPERTIES + 1)}))
    with pytest.raises(RemoteProtocolError) as caught:
        decode_properties(data, 0, PUBLISH)
    assert caught.value.reason_code == 0x97


def test_an_unknown_property_cannot_be_sent():
    with pytest.raises(LocalProtocolError):
        encode_properties(PropertyMap({0x7F: 1}))
