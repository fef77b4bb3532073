"""Calls from a library's threads, brought to the loop in order and many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

# What may wait to be handled. QoS 0 has no flow control; beyond this number, or these bytes, it is refused.
MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 16 * 1024 * 1024
# A cloud that keeps to our receive maximum (100) comes nowhere near this; one that ignores it fills no more.
# As much again, so that a flood at QoS 0 keeps no QoS 1 out.
MAX_WAITING_QOS_1: Final = 20_000
MAX_WAITING_BYTES_QOS_1: Final = 32 * 1024 * 1024


class Inbox:
    """`post` from any thread; the calls run on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], None]] = deque()
        self._scheduled = False
        # Each is written by one thread only: that of the library, that of the loop.
        self._offered = 0
        self._taken = 0

    def offer(self, call: Callable[[], None], size: int, qos: int) -> bool:
        """Post what a message of `size` bytes leads to; False when too much waits. From one thread."""
        number, total = (
            (MAX_WAITING_QOS_1, MAX_WAITING_BYTES_QOS_1) if qos else (MAX_WAITING, MAX_WAITING_BYTES)
        )
        if len(self._calls) >= number or self._offered - self._taken >= total:
            return False
        self._offered += size
        self.post(partial(self._take, call, size))
        return True

    def _take(self, call: Callable[[], None], size: int) -> None:
        self._taken += size
        call()

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
