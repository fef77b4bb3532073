import pytest

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode, frame
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap


def roundtrip(packet, version):
    data = encode(packet, version)
    assert data[1] < 0x80
    assert data[1] == len(data) - 2
    return decode(data[0], memoryview(data)[2:], version)


BOTH = [
    p.ConnAck(True, 0),
    p.Publish("a/b", b"payload"),
    p.Publish("a/b", b"", 1, True, True, 7),
    p.Publish("a/b", b"x", 2, False, False, 65_535),
    p.PubAck(1),
    p.PubRec(2),
    p.PubRel(3),
    p.PubComp(4),
    p.Subscribe(5, [p.SubscriptionOptions("a/#", 1), p.SubscriptionOptions("+", 2)]),
    p.SubAck(5, [1, 0x80]),
    p.Unsubscribe(6, ["a/#", "+"]),
    p.PingReq(),
    p.PingResp(),
    p.Disconnect(),
]
ONLY_5 = [
    p.ConnAck(False, 0x87, PropertyMap({pr.REASON_STRING: "no"})),
    p.Publish("t", b"x", properties=PropertyMap({pr.CONTENT_TYPE: "text/plain"})),
    p.Publish("", b"x", properties=PropertyMap({pr.TOPIC_ALIAS: 3})),
    p.PubAck(1, 0x10),
    p.PubRec(1, 0x97, PropertyMap({pr.REASON_STRING: "full"})),
    p.PubRel(1, 0x92),
    p.PubComp(1, 0x92),
    p.Subscribe(
        1, [p.SubscriptionOptions("a", 1, True, True, 2)], PropertyMap({pr.SUBSCRIPTION_IDENTIFIER: [7]})
    ),
    p.UnsubAck(1, [0, 0x11]),
    p.Disconnect(0x8E, PropertyMap({pr.REASON_STRING: "again"})),
    p.Auth(0x18, PropertyMap({pr.AUTHENTICATION_METHOD: "x"})),
]


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("packet", BOTH, ids=lambda each: type(each).__name__)
def test_packets_of_both_versions_come_back(packet, version):
    assert roundtrip(packet, version) == packet


@pytest.mark.parametrize("packet", ONLY_5, ids=lambda each: type(each).__name__)
def test_packets_of_5_come_back(packet):
    assert roundtrip(packet, V5) == packet


def test_3_1_1_carries_no_reason_and_no_properties():
    assert encode(p.PubAck(1, 0x87), V311) == b"\x40\x02\0\1"
    assert encode(p.Disconnect(0x8E), V311) == b"\xe0\0"
    assert encode(p.UnsubAck(1, [0]), V311) == b"\xb0\x02\0\1"
    assert decode(0xB0, b"\0\1", V311) == p.UnsubAck(1)


def test_success_is_sent_in_its_shortest_form():
    assert encode(p.PubAck(1), V5) == b"\x40\x02\0\1"
    assert encode(p.Disconnect(), V5) == b"\xe0\0"


def test_long_packets_get_a_long_length():
    assert frame(0x30, b"x" * 200)[:3] == b"\x30\xc8\x01"


@pytest.mark.parametrize(
    ("packet", "version"),
    [
        (p.PubAck(0), V5),
        (p.Publish("a", b"", 1, packet_id=0), V5),
        (p.Publish("a", b"", 1, packet_id=65_536), V5),
        (p.Auth(), V311),
    ],
)
def test_what_we_may_not_send_is_our_own_error(packet, version):
    with pytest.raises(LocalProtocolError):
        encode(packet, version)


def test_a_topic_that_breaks_the_rules_names_the_topic():
    for first, body in ((0x30, b"\0\1+"), (0x30, b"\0\0"), (0x30, b"\0\3a/#")):
        with pytest.raises(RemoteProtocolError) as caught:
            decode(first, body, V311)
        assert caught.value.reason_code == 0x90


@pytest.mark.parametrize(
    ("data", "version", "reason"),
    [
        ("f000", V311, 0x81),  # AUTH is no packet of 3.1.1
        ("0000", V5, 0x81),
        ("360500017400 01", V311, 0x81),  # QoS 3
        ("3803000174", V311, 0x81),  # DUP at QoS 0
        ("32050001740000", V311, 0x82),  # packet id 0
        ("4003000100", V311, 0x81),  # a byte too many
        ("40030001 8e", V5, 0x82),  # no reason of PUBACK
        ("82020001", V311, 0x82),
        ("a2020001", V311, 0x82),
        ("82060001000161 04", V311, 0x81),
        ("82070001000001 61 30", V5, 0x82),
        ("8211000100000a2473686172652f672f7404", V5, 0x82),
        ("82060001000161 03", V311, 0x81),
        ("8208000100032b2b6100", V311, 0x8F),
        ("b003000100", V311, 0x81),
        ("e001ff", V5, 0x82),
    ],
)
def test_what_the_specification_forbids_is_refused_with_its_reason(data, version, reason):
    raw = bytes.fromhex(data)
    with pytest.raises(RemoteProtocolError) as caught:
        decode(raw[0], raw[2:], version)
    assert caught.value.reason_code == reason
