"""What became of publishes, brought from a library's thread to the loop many at a time.

Each hop wakes the loop, and then the two threads wait for each other at the interpreter's lock: one for each
PUBACK cost as much as all the rest. So what comes back waits for more, up to a share of what is on its way;
when little is on its way, not at all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from edgecore.base.commit import Done

# Of what is on its way, so much is waited for: the rest keeps the cloud busy meanwhile.
SHARE: Final = 4
# Nothing waits longer, whatever becomes of the rest. Seconds.
LONGEST: Final = 0.01

Settled = Any  # a future of the library
Tell = Callable[[Settled, int, Done], None]


class Outcomes:
    """`tell(future, qos, done)` is called on the loop for each that was posted, in their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tell: Tell) -> None:
        self._loop = loop
        self._tell = tell
        self._waiting: deque[tuple[Settled, int, Done]] = deque()
        self._under_way = 0  # that were not told; written by the loop's thread only
        self._woken = False
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, future: Settled, qos: int, done: Done) -> None:
        """One is under way. On the loop."""
        self._under_way += 1
        self._keep_looking()
        future.add_done_callback(lambda one: self._post(one, qos, done))

    def _post(self, future: Settled, qos: int, done: Done) -> None:
        self._waiting.append((future, qos, done))
        # `_run` clears the flag before it takes: what is appended while it is set is always taken.
        if len(self._waiting) * SHARE >= self._under_way and not self._woken:
            self._woken = True
            try:
                self._loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                # The loop is closed: the process ends and nobody is left to be told.
                self._waiting.clear()

    def _keep_looking(self) -> None:
        # Of fewer each one is told at once.
        if self._timer is None and self._under_way > SHARE:
            self._timer = self._loop.call_later(LONGEST, self._look)

    def _look(self) -> None:
        self._timer = None
        self.tell()
        self._keep_looking()

    def _run(self) -> None:
        self._woken = False
        self.tell()

    def close(self) -> None:
        """Wait for nothing more: what still comes is told at once. On the loop."""
        self.tell()
        self._under_way = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tell(self) -> None:
        """Tell all that came back. On the loop."""
        tell, waiting = self._tell, self._waiting
        try:
            while waiting:
                self._under_way -= 1
                tell(*waiting.popleft())
        finally:
            if waiting:  # one failed, and the loop reports it; the others are not held up
                self._loop.call_soon(self.tell)
