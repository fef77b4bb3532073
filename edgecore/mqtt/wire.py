"""MQTT's data representations (5, 1.5): integers, strings, binary data. Reads check every length.

Readers take (buffer, offset) and give (value, next offset); what does not fit or is not allowed
raises RemoteProtocolError 0x81. Writers raise LocalProtocolError: what we send is our own doing.
"""

from __future__ import annotations

from typing import Final

from edgecore.base.errors import LocalProtocolError, RemoteProtocolError
from edgecore.mqtt.reason_codes import ReasonCode

# 5, 1.5.5: a Variable Byte Integer has at most four bytes.
MAX_VARIABLE_INTEGER: Final = 268_435_455
MAX_VARIABLE_BYTES: Final = 4
# 5, 1.5.4 and 1.5.6: strings and binary data have a two-byte length.
MAX_STRING_BYTES: Final = 65_535


def malformed(text: str) -> RemoteProtocolError:
    """The error for bytes that cannot be parsed according to the specification (5, 4.13.1)."""
    return RemoteProtocolError(ReasonCode.MALFORMED_PACKET, text)


def read_byte(buffer: bytes, offset: int) -> tuple[int, int]:
    """One byte."""
    if offset >= len(buffer):
        raise malformed(f"packet ends at byte {offset} where one more byte is expected")
    return buffer[offset], offset + 1


def read_u16(buffer: bytes, offset: int) -> tuple[int, int]:
    """A Two Byte Integer (5, 1.5.2)."""
    end = offset + 2
    if end > len(buffer):
        raise malformed(f"packet ends at byte {len(buffer)} inside a two byte integer")
    return (buffer[offset] << 8) | buffer[offset + 1], end


def read_u32(buffer: bytes, offset: int) -> tuple[int, int]:
    """A Four Byte Integer (5, 1.5.3)."""
    end = offset + 4
    if end > len(buffer):
        raise malformed(f"packet ends at byte {len(buffer)} inside a four byte integer")
    return int.from_bytes(buffer[offset:end], "big"), end


def read_variable(buffer: bytes, offset: int) -> tuple[int, int]:
    """A Variable Byte Integer in its shortest form (5, 1.5.5)."""
    value = 0
    for index in range(MAX_VARIABLE_BYTES):
        byte, offset = read_byte(buffer, offset)
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if byte == 0 and index:
                raise malformed("variable byte integer is not in its shortest form")
            return value, offset
    raise malformed("variable byte integer is longer than four bytes")


def read_binary(buffer: bytes, offset: int) -> tuple[bytes, int]:
    """Binary Data (5, 1.5.6)."""
    length, offset = read_u16(buffer, offset)
    end = offset + length
    if end > len(buffer):
        raise malformed(f"{length} bytes are announced and {len(buffer) - offset} are there")
    return bytes(buffer[offset:end]), end


def read_string(buffer: bytes, offset: int) -> tuple[str, int]:
    """A UTF-8 Encoded String: well formed, no surrogates, no U+0000 (5, 1.5.4)."""
    raw, end = read_binary(buffer, offset)
    return text_of(raw), end


def text_of(raw: bytes) -> str:
    """The text of a string's bytes, checked as 5, 1.5.4 demands."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed(f"string is not UTF-8: {error.reason} at byte {error.start}") from None
    if "\0" in text:
        raise malformed("string holds U+0000, which MQTT forbids")
    return text


def write_u16(value: int) -> bytes:
    """A Two Byte Integer."""
    if not 0 <= value <= 0xFFFF:
        raise LocalProtocolError(f"{value} does not fit in a two byte integer")
    return value.to_bytes(2, "big")


def write_u32(value: int) -> bytes:
    """A Four Byte Integer."""
    if not 0 <= value <= 0xFFFF_FFFF:
        raise LocalProtocolError(f"{value} does not fit in a four byte integer")
    return value.to_bytes(4, "big")


def write_variable(value: int) -> bytes:
    """A Variable Byte Integer."""
    if 0 <= value < 0x80:
        return bytes((value,))
    if not 0 <= value <= MAX_VARIABLE_INTEGER:
        raise LocalProtocolError(f"{value} does not fit in a variable byte integer")
    out = bytearray()
    while value >= 0x80:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_binary(data: bytes) -> bytes:
    """Binary Data."""
    if len(data) > MAX_STRING_BYTES:
        raise LocalProtocolError(f"{len(data)} bytes do not fit in binary data of at most {MAX_STRING_BYTES}")
    return len(data).to_bytes(2, "big") + data


def write_string(text: str) -> bytes:
    """A UTF-8 Encoded String."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"string {text!r} cannot be UTF-8: {error.reason}") from None
    if b"\0" in raw:
        raise LocalProtocolError(f"string {text!r} holds U+0000, which MQTT forbids")
    return write_binary(raw)
