import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt.framer import Framer


def frames(framer, data):
    return list(framer.feed(data))


def test_packets_come_out_whole_and_in_order():
    assert frames(Framer(100), b"\xc0\0\x30\3abc\xe0\0") == [(0xC0, b""), (0x30, b"abc"), (0xE0, b"")]


def test_a_packet_may_come_byte_by_byte():
    framer = Framer(1000)
    data = b"\x30\x81\x01" + b"x" * 129
    out = []
    for index in range(len(data)):
        out += frames(framer, data[index : index + 1])
    assert out == [(0x30, b"x" * 129)]
    assert len(framer.unfinished) == 0


def test_any_buffer_is_taken():
    framer = Framer(100)
    assert frames(framer, memoryview(b"\xc0")) == []
    assert frames(framer, bytearray(b"\0")) == [(0xC0, b"")]
    assert frames(framer, memoryview(b"\xc0\0")) == [(0xC0, b"")]


def test_the_unfinished_rest_can_be_taken_back():
    framer = Framer(100)
    assert frames(framer, b"\xc0\0\x30\3a") == [(0xC0, b"")]
    assert len(framer.unfinished) == 3
    assert framer.take_back() == b"\x30\3a"
    assert len(framer.unfinished) == 0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x30\xff\xff\xff\xff", 0x81),
        (b"\x30\x80\0", 0x81),
        (b"\x30\x80\x80\0", 0x81),
        (b"\x30\x64", 0x95),
        (b"\x30\xff\xff\xff\x7f", 0x95),
    ],
)
def test_a_bad_length_is_refused_before_the_body(data, reason):
    framer = Framer(100)
    with pytest.raises(RemoteProtocolError) as caught:
        frames(framer, data)
    assert caught.value.reason_code == reason
    assert len(framer.unfinished) == 0


def test_the_largest_packet_is_taken():
    assert frames(Framer(100), b"\x30\x62" + b"x" * 98) == [(0x30, b"x" * 98)]


def test_packets_before_an_error_are_given():
    feed = Framer(10).feed(b"\xc0\0\x30\x7f")
    assert next(feed) == (0xC0, b"")
    with pytest.raises(RemoteProtocolError):
        next(feed)


def test_another_first_packet_is_refused_at_its_first_byte():
    framer = Framer(100, only=1)
    with pytest.raises(RemoteProtocolError) as caught:
        frames(framer, b"\x30")
    assert caught.value.reason_code == 0x82
    assert len(framer.unfinished) == 0
    framer.only = None
    assert frames(framer, b"\xc0\0") == [(0xC0, b"")]
