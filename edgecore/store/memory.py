"""MemoryQueue: the contract of DurableQueue without a disk, for tests and for what need not last."""

from __future__ import annotations

from collections.abc import Iterable

from edgecore.base.commit import Commit
from edgecore.store.bounds import QueueBounds, make_room
from edgecore.store.ledger import Ledger
from edgecore.store.queue import Record, take


def _done() -> Commit:
    commit = Commit()
    commit.resolve()
    return commit


class MemoryQueue:
    """A queue in memory; every Commit is resolved at once."""

    def __init__(self, name: str, bounds: QueueBounds) -> None:
        self.name = name
        self.dropped: dict[str, int] = {}
        self._bounds = bounds
        self._ledger = Ledger()
        self._records: dict[int, Record] = {}
        self._next = 1

    @property
    def count(self) -> int:
        """Records held."""
        return self._ledger.count

    @property
    def bytes(self) -> int:
        """Bytes of the records held."""
        return self._ledger.bytes

    async def open(self) -> None:
        """Nothing to find: memory starts empty."""

    def append(self, record: Record) -> tuple[int, Commit]:
        """Add a record; gives its id and a resolved Commit. Raises RefusedError as DurableQueue does."""
        for evicted in make_room(self._ledger, self._bounds, self.name, len(record), self.dropped):
            del self._records[evicted]
        identifier = self._next
        self._next += 1
        self._ledger.add(identifier, len(record))
        self._records[identifier] = record
        return identifier, _done()

    async def peek(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, Record]]:
        """Up to `limit` records with ids above `after`, in order: `max_bytes` together, at least one."""
        rows = [(identifier, record) for identifier, record in self._records.items() if identifier > after]
        return take(rows[:limit], max_bytes)

    def ack(self, ids: Iterable[int]) -> Commit:
        """Delete records; unknown ids are ignored."""
        for identifier in ids:
            if self._ledger.remove(identifier):
                del self._records[identifier]
        return _done()
