import pytest

from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V5, V311, ConnAck, SubAck
from tests.benchmarks.swarm import CONNACK, SUBACK, is_success


@pytest.mark.parametrize("version", [V311, V5])
def test_what_a_device_hopes_for(version):
    assert is_success(CONNACK, encode(ConnAck(), version))
    assert is_success(CONNACK, encode(ConnAck(session_present=True), version))
    assert is_success(SUBACK, encode(SubAck(1, [1]), version))


@pytest.mark.parametrize("version", [V311, V5])
def test_what_a_device_fails_at(version):
    assert not is_success(CONNACK, encode(ConnAck(reason_code=0x87 if version == V5 else 5), version))
    assert not is_success(SUBACK, encode(SubAck(1, [0x87 if version == V5 else 0x80]), version))
    assert not is_success(CONNACK, encode(SubAck(1, [1]), version))
    assert not is_success(SUBACK, encode(SubAck(1, [1]), version) + b"\x30")
