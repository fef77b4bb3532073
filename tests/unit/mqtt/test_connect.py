import pytest

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

WILL = p.Will("gone", b"bye", 1, True)
WILL_5 = p.Will("gone", b"bye", 2, False, PropertyMap({pr.WILL_DELAY_INTERVAL: 5, pr.RESPONSE_TOPIC: "r"}))


@pytest.mark.parametrize(
    "packet",
    [
        p.Connect("", V311, True, 0),
        p.Connect("c", V311, False, 60, "user", b"secret", WILL),
        p.Connect("c", V311, True, 60, "?SDK=PythonV2&Version=1"),
        p.Connect("c", V5, True, 10, None, b"only a password", WILL_5),
        p.Connect("c", V5, True, 10, properties=PropertyMap({pr.RECEIVE_MAXIMUM: 5})),
    ],
)
def test_connect_comes_back(packet):
    data = encode(packet, packet.version)
    assert decode(data[0], data[2:], 0) == packet


def test_connect_is_sent_in_its_own_version_only():
    with pytest.raises(LocalProtocolError):
        encode(p.Connect("c", V5), V311)
    with pytest.raises(LocalProtocolError):
        encode(p.Connect("c", 3), 3)


def body(flags, version=4, name=b"MQTT", rest=b"\0\0"):
    return len(name).to_bytes(2, "big") + name + bytes((version, flags)) + b"\0\x3c" + rest


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (body(2, name=b"MQIsdp", version=3), 0x84),
        (body(2, version=6), 0x84),
        (body(2, name=b"HTTP"), 0x84),
        (body(3), 0x81),  # reserved flag
        (body(0x1E), 0x81),  # will QoS 3
        (body(0x0A), 0x81),  # will QoS without a will
        (body(0x22), 0x81),  # will retain without a will
        (body(0x42, rest=b"\0\0\0\1x"), 0x81),  # a password without a user name
        (body(2, rest=b"\0\0x"), 0x81),  # one byte too many
        (body(2, rest=b"\0\5ab"), 0x81),
        (body(6, rest=b"\0\0\0\1+\0\0"), 0x90),  # a will on a wildcard
        (body(2, version=5, rest=b"\4\x16\0\1x\0\0"), 0x82),  # data without a method
    ],
)
def test_a_bad_connect_is_refused_with_its_reason(data, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(0x10, data, 0)
    assert caught.value.reason_code == reason


@pytest.mark.parametrize("data", [b"\2\0", b"\0", b"\0\0\0"])
def test_a_bad_connack_is_malformed(data):
    with pytest.raises(RemoteProtocolError):
        decode(0x20, data, V311)
