"""One write per receiver per turn of the event loop: sessions with bytes to send wait here until its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Sender(Protocol):
    """Something that has bytes to send."""

    def flush(self) -> None:
        """Send what has gathered. Must not raise."""
        ...


class Turn:
    """Gathers senders; each is flushed once, after what is being read now has been dealt with."""

    __slots__ = ("_call_soon", "_senders")

    def __init__(self, call_soon: Callable[[Callable[[], None]], object]) -> None:
        self._call_soon = call_soon
        self._senders: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Flush `sender` at the end of this turn. The caller adds it once per turn."""
        if not self._senders:
            self._call_soon(self._flush)
        self._senders.append(sender)

    def later(self, callback: Callable[[], None]) -> None:
        """Call back in a turn of its own, after all that is being dealt with now."""
        self._call_soon(callback)

    def _flush(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            sender.flush()
