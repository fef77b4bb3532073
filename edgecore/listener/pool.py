"""The bytes that all kept sessions together may have on the disk, and who gives way when all are used. Pure.

Overflow rule: the fullest queue gives way, its oldest first. A client that stays away for weeks must not
keep the messages of those that are there from being taken.
"""

from __future__ import annotations

from typing import Protocol


class Queue(Protocol):
    """The messages of one session."""

    @property
    def waiting_bytes(self) -> int:
        """What those take that wait for a place in flight."""
        ...

    def give_way(self) -> None:
        """Drop the one that has waited longest. Only while some wait."""
        ...


class Pool:
    """`bytes`: what all sessions keep now; theirs to count. `limit`: the most."""

    __slots__ = ("_fullest", "_queues", "_runner_up", "bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._queues: list[Queue] = []
        self._fullest: Queue | None = None
        self._runner_up = 0  # what the second fullest had when the fullest was found

    def join(self, queue: Queue) -> None:
        """Count on this queue to give way."""
        self._queues.append(queue)

    def leave(self, queue: Queue) -> None:
        """Count on it no more: its session is over."""
        self._queues.remove(queue)
        self._fullest = None

    def make_room(self, size: int) -> bool:
        """Let queues give way until `size` bytes fit; False, and nothing is lost, when they cannot."""
        while self.bytes + size > self.limit:
            queue = self._fullest
            # Looking at all for each message would cost more than the message; who leads goes on to lead.
            if queue is None or queue.waiting_bytes <= self._runner_up:
                queue = self._find_fullest(size)
            if queue is None:
                return False
            queue.give_way()
        return True

    def _find_fullest(self, size: int) -> Queue | None:
        """The fullest queue, or None where all together cannot make room for `size` bytes."""
        found: Queue | None = None
        most = second = total = 0
        for queue in self._queues:
            waiting = queue.waiting_bytes
            total += waiting
            if waiting > most:
                found, most, second = queue, waiting, most
            elif waiting > second:
                second = waiting
        self._fullest, self._runner_up = found, second
        return found if self.bytes - total + size <= self.limit else None
