"""Messages of shared subscriptions whose member is gone for good: they are for another one (5, 4.8.2).

They stay on the disk, with the key of a session that is no more, until another member has them: a power cut
in between loses none and gives none to two. Bodies are read page by page.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import RefusedError, StoreError
from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import QOS, SHARED, is_row
from edgecore.listener.pool import Pool
from edgecore.listener.records import read_message
from edgecore.listener.shelf import Row
from edgecore.listener.stored_outbound import EXPIRED, ROW_OVERHEAD, UNREADABLE
from edgecore.router import Router
from edgecore.store import SessionStore, StoredRow

# Read at a time: what a turn of the loop may take for it, and memory.
PAGE: Final = 64

# Nobody else has subscribed, or no route leads to one who has.
NO_MEMBER: Final = "no-member"
# No reason to be lost: another one is full, and may not be later.
_REFUSED: Final = "refused"


class Reassigning:
    """What waits to be given to others. `lost` counts by reason what nobody could be given."""

    def __init__(self, store: SessionStore, router: Router, pool: Pool, clock: Clock) -> None:
        self._store = store
        self._router = router
        self._pool = pool
        self._clock = clock
        self._waiting: deque[Entry] = deque()
        self._reading = False
        self.lost: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, entries: Iterable[Entry]) -> None:
        """Find others for these. Their sizes are in the pool, and leave it when they are dealt with."""
        self._waiting.extend(entries)
        self.go_on()

    def go_on(self) -> None:
        """Read the next ones, unless that is under way; also what could not be read or given before."""
        if self._waiting and not self._reading:
            self._reading = True
            page = [self._waiting.popleft() for _ in range(min(PAGE, len(self._waiting)))]
            self._store.fetch([entry.id for entry in page], partial(self._read, page))

    def _read(self, page: list[Entry], answer: Sequence[Row] | Exception) -> None:
        self._reading = False
        if isinstance(answer, Exception):
            self._waiting.extendleft(reversed(page))  # at the next sweep
            return
        bodies = {body[0]: body for body in answer}
        given = [entry for entry in page if self._give(entry, bodies.get(entry.id))]
        kept = set(given)
        self._waiting.extend(entry for entry in page if entry not in kept)
        if given:
            self._forget(given)
            self.go_on()

    def _give(self, entry: Entry, body: Row | None) -> bool:
        """Whether it is dealt with: another member has it, or nobody can have it."""
        self._pool.bytes -= entry.size  # before another one makes room for it
        reason = self._give_to_another(entry, body)
        if reason == _REFUSED:
            self._pool.bytes += entry.size
            return False
        if reason:
            self.lost[reason] += 1
        return True

    def _give_to_another(self, entry: Entry, body: Row | None) -> str:
        """Why nobody has it, or ""."""
        if body is None:
            return UNREADABLE
        try:
            message, _, share = read_message(body[1], body[2])
        except StoreError:
            return UNREADABLE
        if message.expired(self._clock.now()):
            return EXPIRED
        receipt = self._router.reassign(share, message, entry.flags & QOS)
        if receipt.refused:
            return _REFUSED
        return "" if receipt.receivers else NO_MEMBER

    def _forget(self, given: list[Entry]) -> None:
        """Erase what others have, in the work in which they got it."""
        ids = [entry.id for entry in given]
        try:
            self._store.give_away(ids).when_done(partial(self._forgotten, given))
        except RefusedError:
            # Nothing more is taken, so nobody was given anything that is on the disk: these are for nobody.
            self._store.erase(ids)

    def _forgotten(self, given: list[Entry], error: Exception | None) -> None:
        if error is not None:  # who was given them does not have them either
            self._pool.bytes += sum(entry.size for entry in given)
            self._waiting.extend(given)


def inherited(row: StoredRow) -> Entry | None:
    """What a row is whose session is no more: a message for another member of a share, or nothing."""
    if not is_row(row.packet_id, row.flags) or row.released or not row.flags & SHARED:
        return None
    return Entry(row.id, row.size + ROW_OVERHEAD, row.packet_id, row.flags)
