"""MemoryQueue: the contract of DurableQueue without a disk, for tests and for what need not last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.store.bounds import Lanes, QueueBounds, fits, make_room, no_record, no_room
from edgecore.store.ledger import TAGS
from edgecore.store.queue import TAG_BYTES, Answer, Record, Slot, take


def _done() -> Commit:
    commit = Commit()
    commit.resolve()
    return commit


class MemoryQueue:
    """A queue in memory; every Commit is resolved at once."""

    def __init__(self, name: str, bounds: QueueBounds, lanes: int = 1) -> None:
        self.name = name
        self.dropped: dict[str, int] = {}
        self._bounds = bounds
        self._lanes = Lanes(lanes)
        self._records: list[dict[int, Record]] = [{} for _ in range(lanes)]
        self._prefix = TAG_BYTES if lanes > 1 else 0
        self._next = 1

    @property
    def count(self) -> int:
        """Records held."""
        return self._lanes.count

    @property
    def bytes(self) -> int:
        """Bytes of the records held."""
        return self._lanes.bytes

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._lanes

    def waiting(self, lane: int) -> int:
        """Records held in the lane."""
        return self._lanes.ledgers[lane].count

    def held(self, tag: int) -> int:
        """Records held that bear the tag, in any lane."""
        return self._lanes.held(tag)

    async def open(self) -> None:
        """Nothing to find: memory starts empty."""

    def append(
        self, record: Record, lane: int = 0, tag: int = 0, kept: Callable[[int], bool] = no_record
    ) -> tuple[int, Commit]:
        """Add a record; gives its id and a resolved Commit. Raises RefusedError as DurableQueue does."""
        size = len(record) + self._prefix
        evicted, room = make_room(self._lanes, self._bounds, self.name, size, self.dropped, lane, kept)
        identifier = self._next
        self._next += 1
        for its, old in evicted:
            del self._records[its][old]
        if room:
            self._lanes.add(lane, identifier, size, tag % TAGS)
            self._records[lane][identifier] = record
        return identifier, _done()

    def slot(self, identifier: int) -> Slot | None:
        """The slot of a record that is held; None of one that is not."""
        return Slot((0, identifier), partial(self._has_left, identifier)) if identifier in self else None

    def append_from(self, slot: Slot, record: Record, lane: int = 0, tag: int = 0) -> tuple[int, Commit]:
        """As `append`, in the place of another queue's record, as DurableQueue does."""
        if not fits(self._lanes, self._bounds, len(record) + self._prefix):
            raise RefusedError(no_room(self.name, self._lanes, self._bounds))
        identifier, commit = self.append(record, lane, tag)
        commit.when_done(slot.done)
        return identifier, commit

    def _has_left(self, identifier: int, error: Exception | None) -> None:
        if error is None:
            self.ack([identifier])

    async def peek(self, after: int, limit: int, max_bytes: int, lane: int = 0) -> list[tuple[int, Record]]:
        """Up to `limit` records of the lane with ids above `after`, in order, as DurableQueue does."""
        return self._peek(after, limit, max_bytes, lane)

    def _peek(self, after: int, limit: int, max_bytes: int, lane: int) -> list[tuple[int, Record]]:
        rows = [
            (identifier, record) for identifier, record in self._records[lane].items() if identifier > after
        ]
        return take(rows[:limit], max_bytes)

    def ask(self, after: int, limit: int, max_bytes: int, lane: int, answer: Answer) -> None:
        """As `peek`, without waiting; answered at once."""
        answer(self._peek(after, limit, max_bytes, lane))

    def ack(self, ids: Iterable[int]) -> Commit:
        """Delete records; unknown ids are ignored."""
        for identifier in ids:
            lane = self._lanes.remove(identifier)
            if lane is not None:
                del self._records[lane][identifier]
        return _done()
