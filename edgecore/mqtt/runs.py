"""Recognises runs of PUBLISH packets that differ only in their payload. The fast path's eye.

What it sees is what a framer and the decoder would see; a property test holds it to that. Whatever is
not the plain case gives None, and the general path decides, so that every rule lives there alone.
"""

from __future__ import annotations

from typing import Final

# PUBLISH at QoS 0 without DUP and RETAIN: the only first byte that this file knows.
PLAIN_PUBLISH: Final = 0x30
# Lengths of one or two bytes. Of longer packets the bytes themselves cost more than their parsing.
MAX_PLAIN_PACKET: Final = 3 + 16_383


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
