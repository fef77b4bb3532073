import pytest

from edgecore.mqtt.runs import MAX_PLAIN_PACKET, plain_run

ONE = b"\x30\x06\0\3a/bx"
OTHER = b"\x30\x06\0\3a/cy"


def test_a_run_counts_what_differs_only_in_its_payload():
    data = ONE + ONE[:-1] + b"z" + ONE + OTHER
    assert plain_run(data, 0, False) == (b"\0\3a/b", 24, 3)
    assert plain_run(data, 24, False) == (b"\0\3a/c", 32, 1)


def test_an_unfinished_packet_ends_a_run_and_begins_none():
    assert plain_run(ONE + ONE[:-1], 0, False) == (b"\0\3a/b", 8, 1)
    for size in range(1, len(ONE)):
        assert plain_run(ONE[:size], 0, False) is None


def test_longer_lengths_are_read():
    data = b"\x30\x80\x01\0\1a" + b"x" * 125
    assert plain_run(data * 2, 0, False) == (b"\0\1a", 262, 2)
    assert plain_run(data * 2, 131, False) == (b"\0\1a", 262, 1)
    assert len(data) < MAX_PLAIN_PACKET


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x80\x80\x01\0\1a" + b"x" * 16_381,  # three bytes of length
        b"\x30\x80\0\0\1a",  # not the shortest form
        b"\x30\x02\0\1a",  # a topic that reaches beyond the packet
        b"\x30\x00\x30\x00\x30\x00",
    ],
)
def test_what_is_not_plain_is_left_to_the_general_path(data):
    assert plain_run(data, 0, False) is None


def test_in_5_only_packets_without_properties_are_plain():
    plain = b"\x30\x05\0\1a\0x"
    assert plain_run(plain + plain, 0, True) == (b"\0\1a", 14, 2)
    assert plain_run(b"\x30\x07\0\1a\2\1\1x", 0, True) is None
    assert plain_run(b"\x30\x03\0\1a\0", 0, True) is None
