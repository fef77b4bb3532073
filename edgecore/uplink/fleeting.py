"""QoS 0 towards the cloud: a bounded queue in memory, dropped while the link is down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from edgecore.base.message import Message

# Publishes that the client may hold unwritten.
IN_FLIGHT: Final = 256


class Fleeting:
    """Messages at QoS 0 of one connection. `count(reason, number)` is told what is dropped."""

    def __init__(self, records: int, size: int, count: Callable[[str, int], object]) -> None:
        self._records = records
        self._size = size
        self._count = count
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._in_flight = 0

    def put(self, message: Message) -> None:
        """Take a message; the oldest gives way."""
        self._waiting.append(message)
        self._bytes += len(message.payload)
        while len(self._waiting) > self._records or self._bytes > self._size:
            self._pop()
            self._count("QoS 0: queue full", 1)

    def _pop(self) -> Message:
        message = self._waiting.popleft()
        self._bytes -= len(message.payload)
        return message

    def next(self, wall: float) -> Message | None:
        """The message to send now, which is in flight from here on; None when none may be sent."""
        while self._waiting and self._in_flight < IN_FLIGHT:
            message = self._pop()
            if not message.expired(wall):
                self._in_flight += 1
                return message
            self._count("QoS 0: expired", 1)
        return None

    def done(self, error: Exception | None) -> None:
        """One is written, or was not."""
        self._in_flight = max(0, self._in_flight - 1)
        if error is not None:
            self._count("QoS 0: not sent", 1)

    def drop(self) -> None:
        """The link is down."""
        if self._waiting:
            self._count("QoS 0: offline", len(self._waiting))
        self._waiting.clear()
        self._bytes = 0

    def forget(self) -> None:
        """The client is gone and will tell nothing more."""
        self._in_flight = 0
