"""The bounds of a queue, and the decision of what must give way. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from edgecore.base.errors import RefusedError
from edgecore.store.ledger import GONE, Ledger

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


def make_room(
    ledger: Ledger, bounds: QueueBounds, name: str, size: int, dropped: dict[str, int]
) -> list[int]:
    """Take out of the ledger what must give way to a record of `size` bytes; gives the ids.

    Counts it in `dropped`. Raises RefusedError when the record cannot come in.
    """
    if size > bounds.max_bytes or size >= GONE:
        dropped[TOO_LARGE] = dropped.get(TOO_LARGE, 0) + 1
        raise RefusedError(f"queue {name}: a record of {size} bytes is above its bound of {bounds.max_bytes}")
    if fits(ledger, bounds, size):
        return []
    if bounds.overflow == "refuse":
        dropped[REFUSED] = dropped.get(REFUSED, 0) + 1
        raise RefusedError(
            f"queue {name} is full: {ledger.count} records, {ledger.bytes} bytes; "
            f"at most {bounds.max_records} and {bounds.max_bytes}"
        )
    return evict(ledger, bounds, size, dropped)


def fits(ledger: Ledger, bounds: QueueBounds, size: int, records: int = 1) -> bool:
    """Whether `records` more records of `size` bytes together are within the bounds."""
    return ledger.count + records <= bounds.max_records and ledger.bytes + size <= bounds.max_bytes


def evict(
    ledger: Ledger, bounds: QueueBounds, size: int, dropped: dict[str, int], records: int = 1
) -> list[int]:
    """Take out the oldest until `records` more of `size` bytes fit; gives their ids, counted as overflow."""
    evicted: list[int] = []
    while not fits(ledger, bounds, size, records):
        oldest = ledger.oldest()
        if oldest is None:
            break
        ledger.remove(oldest)
        evicted.append(oldest)
    if evicted:
        dropped[OVERFLOW] = dropped.get(OVERFLOW, 0) + len(evicted)
    return evicted
