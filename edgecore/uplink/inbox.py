"""Calls from a library's threads, brought to the loop in order and many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

# Messages at QoS 0 have no flow control; beyond this many unhandled ones they are dropped.
MAX_WAITING: Final = 10_000


class Inbox:
    """`post` from any thread; the calls run on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._scheduled = False

    @property
    def full(self) -> bool:
        """Whether what may be dropped should be."""
        return len(self._calls) >= MAX_WAITING

    def post(self, call: Callable[[], None]) -> None:
        """Run `call()` on the loop, after all that was posted before."""
        self._calls.append(call)
        self._schedule()

    def _schedule(self) -> None:
        # `_run` clears the flag before it takes: a call appended while it is set is always taken.
        if not self._scheduled:
            self._scheduled = True
            try:
                self._loop.call_soon_threadsafe(self._run)
            except RuntimeError:
                # The loop is closed: the process ends and nobody is left to be told.
                self._calls.clear()

    def _run(self) -> None:
        self._scheduled = False
        try:
            while self._calls:
                self._calls.popleft()()
        finally:
            if self._calls:  # one failed, and the loop reports it; the others are not held up
                self._schedule()
