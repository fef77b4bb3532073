"""Recognises runs of packets that are alike but for payload and identifier. The fast path's eye.

What it sees is what a framer and the decoder would see; a property test holds it to that. Whatever is
not the plain case gives None, and the general path decides, so that every rule lives there alone.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from operator import or_
from typing import Final, NamedTuple

# PUBLISH at QoS 0 without DUP and RETAIN: the only first byte that this file knows.
PLAIN_PUBLISH: Final = 0x30
# PUBLISH at QoS 1 without DUP and RETAIN, and PUBACK.
ACKED_PUBLISH: Final = 0x32
PUBACK_BYTE: Final = 0x40
# What a byte that starts a run may be.
RUN_BYTES: Final = frozenset((PLAIN_PUBLISH, ACKED_PUBLISH, PUBACK_BYTE))
# Lengths of one or two bytes. Of longer packets the bytes themselves cost more than their parsing.
MAX_PLAIN_PACKET: Final = 3 + 16_383

# The two bytes of every packet identifier, to be taken by slices.
_HIGHS: Final = bytes(number >> 8 for number in range(0x1_0000))
_LOWS: Final = bytes(number & 0xFF for number in range(0x1_0000))


def plain_run(data: bytes, offset: int, has_properties: bool) -> tuple[bytes, int, int] | None:
    """(topic with its length in front, end, count) of the run that starts at `offset`, or None.

    `data[offset]` is PLAIN_PUBLISH. `has_properties`: the stream is MQTT 5, and then only packets
    with no property are plain. All packets of a run have the same length and the same topic.
    """
    try:
        length = data[offset + 1]
        body = offset + 2
        if length > 0x7F:
            high = data[body]
            if high > 0x7F or high == 0:
                return None
            length = (length & 0x7F) | high << 7
            body += 1
        head_end = topic_end = body + 2 + (data[body] << 8 | data[body + 1])
        if has_properties:
            if data[topic_end]:
                return None
            head_end += 1
    except IndexError:
        return None
    end = body + length
    size = len(data)
    if end > size or head_end > end:
        return None
    head = data[offset:head_end]
    whole = end - offset
    count = 1
    last_start = size - whole
    while end <= last_start and data.startswith(head, end):
        end += whole
        count += 1
    return data[body:topic_end], end, count


class AckedRun(NamedTuple):
    """A run of QoS 1 PUBLISH packets, `number` of them, each of `size` bytes, from `start` to `end`.

    `topic` has its length in front; `highs` and `lows` are the two bytes of each packet identifier, which
    stands `id_offset` bytes into its packet.
    """

    topic: bytes
    start: int
    end: int
    number: int
    size: int
    id_offset: int
    highs: bytes
    lows: bytes

    @property
    def ids(self) -> list[int]:
        """The packet identifiers."""
        return [high << 8 | low for high, low in zip(self.highs, self.lows, strict=True)]

    def shorter(self, number: int) -> AckedRun:
        """The first `number` packets of the run."""
        end = self.start + number * self.size
        return self._replace(end=end, number=number, highs=self.highs[:number], lows=self.lows[:number])


def acked_run(data: bytes, offset: int, has_properties: bool) -> AckedRun | None:
    """The run of QoS 1 packets that starts at `offset`, or None; as `plain_run` but for the identifiers.

    `data[offset]` is ACKED_PUBLISH. All packets of a run have the same length and topic; the identifiers
    are read for all at once, by strides: a slice of bytes costs the same for one packet and for fifty.
    """
    try:
        length = data[offset + 1]
        body = offset + 2
        if length > 0x7F:
            high = data[body]
            if high > 0x7F or high == 0:
                return None
            length = (length & 0x7F) | high << 7
            body += 1
        topic_end = body + 2 + (data[body] << 8 | data[body + 1])
        if has_properties and data[topic_end + 2]:
            return None
    except IndexError:
        return None
    head_end = topic_end + 2 + has_properties
    end = body + length
    size = end - offset
    if end > len(data) or head_end > end:
        return None
    head = data[offset:topic_end]
    last_start = len(data) - size
    count = 1
    while end <= last_start and data.startswith(head, end):
        if has_properties and data[end + head_end - offset - 1]:
            break
        end += size
        count += 1
    id_offset = topic_end - offset
    highs, lows = data[topic_end:end:size], data[topic_end + 1 : end : size]
    if b"\0" in highs and b"\0" in lows and not all(map(or_, highs, lows)):
        return None  # packet identifier 0 (5, 2.2.1)
    return AckedRun(data[body:topic_end], offset, end, count, size, id_offset, highs, lows)


def pubacks_of(highs: bytes, lows: bytes) -> bytes:
    """PUBACK packets with reason 0 for the identifiers of a run."""
    if len(highs) == 1:
        return b"\x40\x02" + highs + lows
    packets = bytearray(b"\x40\x02\0\0" * len(highs))
    packets[2::4] = highs
    packets[3::4] = lows
    return bytes(packets)


def renumbered(frames: bytes, run: AckedRun, first_id: int) -> bytes:
    """The packets of a run under the identifiers that follow `first_id`, which do not go round."""
    fresh = bytearray(frames)
    ids = slice(first_id, first_id + run.number)
    fresh[run.id_offset :: run.size] = _HIGHS[ids]
    fresh[run.id_offset + 1 :: run.size] = _LOWS[ids]
    return bytes(fresh)


def puback_run(data: bytes, offset: int) -> tuple[int, Sequence[int]]:
    """(end, packet identifiers) of the plain PUBACK packets that start at `offset`: four bytes each."""
    if len(data) == offset + 4:
        alone = data.startswith(b"\x40\x02", offset)
        return (offset + 4, [data[offset + 2] << 8 | data[offset + 3]]) if alone else (offset, [])
    whole = data[offset : offset + (len(data) - offset) // 4 * 4]
    types, lengths = whole[::4], whole[1::4]
    count = min(len(types) - len(types.lstrip(b"\x40")), len(lengths) - len(lengths.lstrip(b"\x02")))
    ids = array("H", whole[: count * 4])[1::2]
    if sys.byteorder == "little":
        ids.byteswap()
    return offset + count * 4, ids
