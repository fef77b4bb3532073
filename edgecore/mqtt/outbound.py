"""QoS 1 and 2 towards one client: packet identifiers, the in-flight window, the queue behind it.

Overflow rule of the queue: the oldest is dropped and counted. Knows no bytes and no time.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.message import Message
from edgecore.mqtt.packets import NAMES, PUBACK, PUBCOMP, PUBREC
from edgecore.mqtt.reason_codes import ReasonCode

MAX_PACKET_ID: Final = 0xFFFF
# What a queued message costs beside its topic and payload: the record, the deque's slot.
QUEUED_OVERHEAD: Final = 200

_FIRST_ANSWER: Final = {1: PUBACK, 2: PUBREC}


class Outbound:
    """What the client still has to acknowledge, and what waits for a place in the window."""

    __slots__ = (
        "_awaited",
        "_bytes",
        "_last_id",
        "_max_bytes",
        "_max_messages",
        "_window",
        "dropped",
        "waiting",
    )

    def __init__(self, window: int, max_messages: int, max_bytes: int) -> None:
        self._window = window
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._awaited: dict[int, int] = {}  # packet id -> the packet type that answers next
        self._last_id = 0
        self._bytes = 0
        self.waiting: deque[tuple[Message, int, bool]] = deque()
        self.dropped = 0

    @property
    def in_flight(self) -> int:
        """How many messages the client has not fully acknowledged."""
        return len(self._awaited)

    @property
    def open(self) -> bool:
        """Whether the window has a place."""
        return len(self._awaited) < self._window

    def begin(self, qos: int) -> int:
        """Take a place in the window: the packet identifier to send with (5, 2.2.1)."""
        awaited = self._awaited
        packet_id = self._last_id
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            if packet_id not in awaited:
                break
        self._last_id = packet_id
        awaited[packet_id] = _FIRST_ANSWER[qos]
        return packet_id

    def push(self, message: Message, qos: int, retain: bool) -> None:
        """Queue a message; the oldest ones make room for it."""
        self.waiting.append((message, qos, retain))
        self._bytes += _size(message)
        while len(self.waiting) > self._max_messages or self._bytes > self._max_bytes:
            self.pop()
            self.dropped += 1

    def pop(self) -> tuple[Message, int, bool]:
        """The message that has waited longest."""
        item = self.waiting.popleft()
        self._bytes -= _size(item[0])
        return item

    def finished(self, packet_id: int, packet_type: int) -> bool:
        """Take a PUBACK or PUBCOMP; False when nothing with that id is in flight.

        Raises RemoteProtocolError when another answer is due (5, 4.3).
        """
        awaited = self._awaited.get(packet_id)
        if awaited is None:
            return False
        if awaited != packet_type:
            raise _wrong(packet_id, packet_type, awaited)
        del self._awaited[packet_id]
        return True

    def received(self, packet_id: int, failed: bool) -> bool:
        """Take a PUBREC; True when a PUBREL is due, False when that id is not in flight or has failed.

        Raises RemoteProtocolError when a PUBACK is due. A repeated PUBREC asks for a repeated PUBREL.
        """
        awaited = self._awaited.get(packet_id)
        if awaited is None:
            return False
        if awaited == PUBACK:
            raise _wrong(packet_id, PUBREC, awaited)
        if failed:
            del self._awaited[packet_id]
            return False
        self._awaited[packet_id] = PUBCOMP
        return True


def _wrong(packet_id: int, found: int, expected: int) -> RemoteProtocolError:
    return RemoteProtocolError(
        ReasonCode.PROTOCOL_ERROR, f"{NAMES[found]} for packet {packet_id}, where {NAMES[expected]} is due"
    )


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload) + QUEUED_OVERHEAD
