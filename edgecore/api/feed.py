"""What one operator watches: a bounded queue between the router and a slow terminal.

Overflow rule: drop the oldest, count it, and say so in the stream. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
from collections import deque

from edgecore.api.replies import message_line
from edgecore.base.identity import Principal
from edgecore.base.message import Message


class Feed:
    """A Receiver of the router that keeps messages until they are taken."""

    def __init__(self, principal: Principal, length: int) -> None:
        self._principal = principal
        self._length = length
        self._waiting: deque[tuple[Message, int, bool]] = deque()
        self._some = asyncio.Event()
        self._told = 0
        self.dropped = 0

    @property
    def principal(self) -> Principal:
        """The operator who watches."""
        return self._principal

    @property
    def connected(self) -> bool:
        """Whether the operator watches: a feed lives no longer than its request."""
        return True

    def deliver(
        self,
        message: Message,
        qos: int,
        retain: bool,
        identifiers: tuple[int, ...] = (),  # noqa: ARG002  a feed subscribes with none
        share: str = "",  # noqa: ARG002  what a feed has taken is never given to another
    ) -> None:
        """Keep the message, in place of the oldest when the queue is full."""
        if len(self._waiting) >= self._length:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((message, qos, retain))
        self._some.set()

    async def some(self) -> None:
        """Wait until there is something to take, or `wake` is called."""
        await self._some.wait()

    def wake(self) -> None:
        """Let `some` return although there may be nothing."""
        self._some.set()

    def take(self) -> list[dict[str, object]]:
        """All lines that wait; the first says how many messages were dropped since the last call."""
        lines: list[dict[str, object]] = []
        if self.dropped > self._told:
            lines.append({"dropped": self.dropped - self._told})
            self._told = self.dropped
        lines.extend(message_line(message, qos, retain=retain) for message, qos, retain in self._waiting)
        self._waiting.clear()
        self._some.clear()
        return lines
