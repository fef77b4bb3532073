"""Cuts a byte stream into packets (5, 2.1). Knows the fixed header and nothing of what is inside.

The length that the peer announces is checked before a byte of the body is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt.packets import NAMES
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.wire import MAX_VARIABLE_BYTES, malformed

# First byte and at most four bytes of length.
MAX_FIXED_HEADER: Final = 1 + MAX_VARIABLE_BYTES


class Framer:
    """Bytes in any split in, whole packets out.

    `max_packet_size` is in bytes and counts the fixed header. While `only` is a packet type, any
    other is refused as soon as its first byte is seen. After an error the framer is spent. `unfinished`: the
    bytes of a packet that is not whole; only the framer changes them.
    """

    __slots__ = ("_wanted", "max_packet_size", "only", "unfinished")

    def __init__(self, max_packet_size: int, only: int | None = None) -> None:
        self.max_packet_size = max_packet_size
        self.only = only
        self.unfinished = bytearray()
        self._wanted = 2  # the shortest packet

    def take_back(self) -> bytes:
        """The bytes of the unfinished packet; the framer forgets them."""
        data = bytes(self.unfinished)
        self.unfinished.clear()
        return data

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[tuple[int, bytes]]:
        """Give each packet that is complete now as (first byte, body), in order.

        Raises RemoteProtocolError at the first packet that may not be: those before it are given.
        """
        pending = self.unfinished
        if pending:
            pending += data
            if len(pending) < self._wanted:
                return
            data = bytes(pending)
            pending.clear()
        elif type(data) is not bytes:
            data = bytes(data)
        offset, size = 0, len(data)
        while offset < size:
            end, body = self._measure(data, offset, size)
            if end > size:
                self._wanted = end - offset
                pending += data[offset:]
                return
            yield data[offset], data[body:end]
            offset = end

    def _measure(self, data: bytes, offset: int, size: int) -> tuple[int, int]:
        """(end, start of body) of the packet at `offset`; an end beyond `size` if it is unfinished."""
        if self.only is not None and data[offset] >> 4 != self.only:
            found, wanted = NAMES[data[offset] >> 4], NAMES[self.only]
            raise RemoteProtocolError(ReasonCode.PROTOCOL_ERROR, f"{found} came where {wanted} is expected")
        length = 0
        for index in range(1, MAX_FIXED_HEADER):
            if offset + index >= size:
                return size + 1, size
            byte = data[offset + index]
            length |= (byte & 0x7F) << (7 * (index - 1))
            if byte < 0x80:
                break
        else:
            raise malformed("remaining length is longer than four bytes")
        if byte == 0 and index > 1:
            raise malformed("remaining length is not in its shortest form")
        body = offset + index + 1
        if body - offset + length > self.max_packet_size:
            raise RemoteProtocolError(
                ReasonCode.PACKET_TOO_LARGE,
                f"{NAMES[data[offset] >> 4]} announces {length} bytes; the limit is {self.max_packet_size}",
            )
        return body + length, body
