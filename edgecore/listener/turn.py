"""What happens when in the turns of the event loop: one write per receiver, and one share of what takes long.

Sessions with bytes to send wait here until a turn's end; those who have more to do than a turn allows wait in
a line, and one of them goes on in each turn. A read that comes after a quiet time is a turn of its own: what
it leads to is sent as soon as it was dealt with, which spares the loop a round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

# Seconds without a read after which the next one has nothing to be gathered with. At 4,000 messages a second
# from 200 devices reads are 250 us apart; beyond 10,000 a second gathering them is worth more.
QUIET: Final = 100e-6


class Sender(Protocol):
    """Something that has bytes to send."""

    def flush(self) -> None:
        """Send what has gathered. Must not raise."""
        ...


class Turn:
    """Gathers senders; each is flushed once, after what is being read now has been dealt with.

    `now`: monotonic seconds, finer than a loop's own; without it no read is alone.
    """

    __slots__ = ("_alone", "_call_soon", "_last", "_line", "_now", "_senders")

    def __init__(
        self,
        call_soon: Callable[[Callable[[], None]], object],
        now: Callable[[], float] | None = None,
    ) -> None:
        self._call_soon = call_soon
        self._now = now
        self._last = 0.0  # when the last read began
        self._alone = False  # the read that is being dealt with is a turn of its own
        self._senders: list[Sender] = []
        self._line: deque[Callable[[], None]] = deque()

    def add(self, sender: Sender) -> None:
        """Flush `sender` at the end of this turn. The caller adds it once per turn."""
        if not self._senders and not self._alone:
            self._call_soon(self._flush)
        self._senders.append(sender)

    def begin(self) -> bool:
        """Note that a read is dealt with now; whether it is a turn of its own, which `end` must end."""
        if self._now is None:
            return False
        now = self._now()
        self._alone = now >= self._last + QUIET and not self._senders
        self._last = now
        return self._alone

    def end(self) -> None:
        """Flush what the read led to."""
        self._alone = False
        if self._senders:
            self._flush()

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
