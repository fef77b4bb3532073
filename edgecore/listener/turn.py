"""What happens when in the turns of the event loop: one write per receiver, and one share of what takes long.

Sessions with bytes to send wait here until a turn's end; those who have more to do than a turn allows wait in
a line, and one of them goes on in each turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class Sender(Protocol):
    """Something that has bytes to send."""

    def flush(self) -> None:
        """Send what has gathered. Must not raise."""
        ...


class Turn:
    """Gathers senders; each is flushed once, after what is being read now has been dealt with."""

    __slots__ = ("_call_soon", "_line", "_senders")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._senders: list[Sender] = []
        self._line: deque[Callable[[], None]] = deque()

    def add(self, sender: Sender) -> None:
        """Flush `sender` at the end of this turn. The caller adds it once per turn."""
        if not self._senders:
            self._call_soon(self._flush)
        self._senders.append(sender)

    def later(self, callback: Callable[[], None]) -> None:
        """Call back in a turn of its own, after all that is being dealt with now."""
        self._call_soon(callback)

    def in_line(self, work: Callable[[], None]) -> None:
        """Do this when all who came before have had a turn: what others sent is looked at in between."""
        self._line.append(work)
        if len(self._line) == 1:
            self._call_soon(self._next)

    def _next(self) -> None:
        work = self._line.popleft()
        if self._line:
            self._call_soon(self._next)
        work()

    def _flush(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.flush()
