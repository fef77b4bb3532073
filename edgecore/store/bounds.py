"""The bounds of a queue, and the decision of what must give way. Pure.

A queue has one lane or several. When it is full the oldest record of the lowest lane gives way: what
matters more stands in a higher lane, and what is on its way already (`kept`) is spared.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from edgecore.base.errors import RefusedError
from edgecore.store.ledger import GONE, TAGS, Ledger

Overflow = Literal["drop-oldest", "refuse"]

# Why records were dropped, as counted in a queue's `dropped`.
OVERFLOW: Final = "overflow"  # the oldest gave way to a new one
REFUSED: Final = "refused"  # the queue was full and its rule is "refuse"
TOO_LARGE: Final = "too-large"  # one record above the bound in bytes
FAILED: Final = "failed"  # the disk did not take it


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """The most a queue holds, and what happens beyond: the oldest give way, or the new one is refused."""

    max_records: int
    max_bytes: int
    overflow: Overflow = "drop-oldest"


class Lanes:
    """What each lane of a queue holds, and how many records bear a tag."""

    def __init__(self, lanes: int) -> None:
        self.ledgers = tuple(Ledger() for _ in range(lanes))
        self.count = 0
        self.bytes = 0
        self._found_in = 0  # the lane of the last record that was taken out: the next is likely there too
        # 256 KiB, for a queue of several lanes only.
        self._held = array("I", bytes(array("I").itemsize * TAGS)) if lanes > 1 else None

    def add(self, lane: int, identifier: int, size: int, tag: int = 0) -> None:
        """Append a record; `identifier` must be above every earlier one of the lane."""
        self.ledgers[lane].add(identifier, size, tag)
        self.count += 1
        self.bytes += size
        if self._held is not None:
            self._held[tag] += 1

    def remove(self, identifier: int) -> int | None:
        """Take a record out and give its lane; None when it is not in."""
        if self._remove(self._found_in, identifier):
            return self._found_in
        for lane, ledger in enumerate(self.ledgers):
            if ledger.count and self._remove(lane, identifier):
                self._found_in = lane
                return lane
        return None

    def _remove(self, lane: int, identifier: int) -> bool:
        ledger = self.ledgers[lane]
        before = ledger.bytes
        tag = ledger.pop(identifier)
        if tag is None:
            return False
        self.count -= 1
        self.bytes -= before - ledger.bytes
        if self._held is not None:
            self._held[tag] -= 1
        return True

    def __contains__(self, identifier: int) -> bool:
        for ledger in self.ledgers:  # noqa: SIM110  any() and its generator cost as much as all the rest
            if ledger.count and identifier in ledger:
                return True
        return False

    def held(self, tag: int) -> int:
        """How many records bear the tag."""
        return self._held[tag] if self._held is not None else self.count

    def first_to_go(self, kept: Callable[[int], bool]) -> tuple[int, int] | None:
        """(lane, id) of the oldest of the lowest lane that is not `kept`; of all when every one is kept."""
        for spared in (kept, no_record):
            for lane, ledger in enumerate(self.ledgers):
                if ledger.count and (oldest := ledger.oldest(spared)) is not None:
                    return lane, oldest
        return None


def no_record(_identifier: int) -> bool:
    """Nothing is kept."""
    return False


def make_room(
    lanes: Lanes,
    bounds: QueueBounds,
    name: str,
    size: int,
    dropped: dict[str, int],
    lane: int = 0,
    kept: Callable[[int], bool] = no_record,
) -> tuple[list[tuple[int, int]], bool]:
    """Take out what must give way to a record of `size` bytes; gives (lane, id) of each, and whether it fits.

    It does not when it is itself what gives way, because all that could is worth more. Counts all that goes
    in `dropped`. Raises RefusedError when the record cannot come in.
    """
    if size > bounds.max_bytes or size >= GONE:
        dropped[TOO_LARGE] = dropped.get(TOO_LARGE, 0) + 1
        raise RefusedError(f"queue {name}: a record of {size} bytes is above its bound of {bounds.max_bytes}")
    if fits(lanes, bounds, size):
        return [], True
    if bounds.overflow == "refuse":
        dropped[REFUSED] = dropped.get(REFUSED, 0) + 1
        raise RefusedError(no_room(name, lanes, bounds))
    evicted = evict(lanes, bounds, size, dropped, lane=lane, kept=kept)
    room = fits(lanes, bounds, size)
    if not room:
        dropped[OVERFLOW] = dropped.get(OVERFLOW, 0) + 1
    return evicted, room


def no_room(name: str, lanes: Lanes, bounds: QueueBounds) -> str:
    """What is said of a queue that is full."""
    return (
        f"queue {name} is full: {lanes.count} records, {lanes.bytes} bytes; "
        f"at most {bounds.max_records} and {bounds.max_bytes}"
    )


def fits(lanes: Lanes, bounds: QueueBounds, size: int, records: int = 1) -> bool:
    """Whether `records` more records of `size` bytes together are within the bounds."""
    return lanes.count + records <= bounds.max_records and lanes.bytes + size <= bounds.max_bytes


def evict(
    lanes: Lanes,
    bounds: QueueBounds,
    size: int,
    dropped: dict[str, int],
    records: int = 1,
    lane: int | None = None,
    kept: Callable[[int], bool] = no_record,
) -> list[tuple[int, int]]:
    """Take out the first to go until `records` more of `size` bytes fit; counted as overflow.

    `lane`: nothing above it is taken out.
    """
    evicted: list[tuple[int, int]] = []
    while not fits(lanes, bounds, size, records):
        first = lanes.first_to_go(kept)
        if first is None or (lane is not None and first[0] > lane):
            break
        lanes.remove(first[1])
        evicted.append(first)
    if evicted:
        dropped[OVERFLOW] = dropped.get(OVERFLOW, 0) + len(evicted)
    return evicted
