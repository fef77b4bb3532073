import pytest

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError
from edgecore.mqtt import wire


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "8001"),
        (16_383, "ff7f"),
        (16_384, "808001"),
        (2_097_151, "ffff7f"),
        (2_097_152, "80808001"),
        (268_435_455, "ffffff7f"),
    ],
)
def test_a_variable_byte_integer_has_the_lengths_of_table_1_1(value, data):
    assert wire.write_variable(value).hex() == data
    assert wire.read_variable(bytes.fromhex(data), 0) == (value, len(data) // 2)


@pytest.mark.parametrize("data", ["", "80", "8080", "8000", "808000", "8080808001", "ffffffff"])
def test_other_variable_byte_integers_are_malformed(data):
    with pytest.raises(RemoteProtocolError) as caught:
        wire.read_variable(bytes.fromhex(data), 0)
    assert caught.value.reason_code == 0x81


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (wire.read_byte, b""),
        (wire.read_u16, b"\0"),
        (wire.read_u32, b"\0\0\0"),
        (wire.read_binary, b"\0\2a"),
        (wire.read_string, b"\0\2a"),
        (wire.read_string, b"\0\2\xc3\x28"),
        (wire.read_string, b"\0\3\xed\xa0\x80"),
        (wire.read_string, b"\0\1\0"),
    ],
)
def test_what_does_not_fit_or_is_not_utf8_is_malformed(read, data):
    with pytest.raises(RemoteProtocolError) as caught:
        read(data, 0)
    assert caught.value.reason_code == 0x81


def test_integers_and_strings_come_back():
    assert wire.read_u16(wire.write_u16(0xABCD), 0) == (0xABCD, 2)
    assert wire.read_u32(wire.write_u32(0xDEADBEEF), 0) == (0xDEADBEEF, 4)
    assert wire.read_string(wire.write_string("Zürich"), 0) == ("Zürich", 9)


@pytest.mark.parametrize(
    ("write", "value"),
    [
        (wire.write_u16, 65_536),
        (wire.write_u32, -1),
        (wire.write_variable, 268_435_456),
        (wire.write_variable, -1),
        (wire.write_binary, b"x" * 65_536),
        (wire.write_string, "a\0"),
        (wire.write_string, "\ud800"),
    ],
)
def test_what_we_may_not_send_is_our_own_error(write, value):
    with pytest.raises(LocalProtocolError):
        write(value)
