"""The receipt for durable work: what a PUBACK waits for.

Resolved once, on the loop's thread, by the store after the commit that covers the work. Callbacks
and no future, because a message must not create a task and base knows no event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Done = Callable[[Exception | None], None]


class Commit:
    """Durable work that is under way. `error` is None until it is resolved, and after success."""

    __slots__ = ("_waiting", "error", "resolved")

    def __init__(self) -> None:
        self._waiting: list[Done] = []
        self.resolved = False
        self.error: Exception | None = None

    def when_done(self, callback: Done) -> None:
        """Call `callback(error or None)` when the work is durable or has failed; at once if it is."""
        if self.resolved:
            callback(self.error)
        else:
            self._waiting.append(callback)

    def resolve(self, error: Exception | None = None) -> None:
        """Settle the work. Only the store calls this, once, on the loop's thread."""
        if self.resolved:
            return
        self.resolved = True
        self.error = error
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback(error)


def when_all_done(commits: Iterable[Commit], callback: Done) -> None:
    """Call `callback` once when every commit is resolved, with the first error met or None."""
    pending = tuple(commits)
    left = len(pending)
    first_error: Exception | None = None
    if left == 0:
        callback(None)
        return
    if left == 1:  # as most are
        pending[0].when_done(callback)
        return

    def one_done(error: Exception | None) -> None:
        nonlocal left, first_error
        left -= 1
        first_error = first_error or error
        if left == 0:
            callback(first_error)

    for commit in pending:
        commit.when_done(one_done)
