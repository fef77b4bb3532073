"""Which records of the outbox are on their way over one connection: the policy of the drain. Pure.

Order. The backlog of a lane (a priority) is read by rising id and sent in that order. A live record, one that
is appended while the link is up and nothing else of its topic waits, goes from memory and passes the
backlog of other topics. So the first transmissions of a topic keep their order.

Share. While several priorities wait, each gets twice the share of the next lower one: none starves, and
the lowest gets at least one transmission in 1023. Within a priority live records and backlog take turns while
both wait: a month of backlog takes at most every second place from what happens today, and the other way
round. What failed is sent again before anything new, oldest first.

Ordered topics have one record in flight; those behind it wait and hold up no other topic (ordered.py).

Poison. The cloud may answer a record by ending the connection, without a word of which one it was. A record
in flight when that happened twice (or once, when the cloud said that a message was the reason) is a suspect.
Suspects are sent one at a time while nothing else is in flight, and when it is quiet: shadow sync and
subscriptions wait for no answer either, which could be what the cloud took offence at. The one that ends the
connection alone is condemned: at once when the cloud gave its reason, else the second time. A link that fails
by itself ends without the cloud's doing and accuses nobody.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from edgecore.base.backoff import Backoff
from edgecore.base.group import PRIORITIES
from edgecore.uplink.entry import Entry
from edgecore.uplink.ordered import Ordered, Turn

# A first id can be 0.
BEFORE_ALL: Final = -1
# Live records in memory: enough for a burst; beyond, a topic goes by way of the backlog.
LIVE_RECORDS: Final = 512
LIVE_BYTES: Final = 1024 * 1024
# A lane is read ahead of what is sent, so that nothing waits for the disk: some reads of it, unless large.
AHEAD_RECORDS: Final = 512
AHEAD_BYTES: Final = 1024 * 1024
# Ends of the connection with a record in flight until it is suspected, and alone until it is condemned.
CUTS: Final = 2
STRIKES: Final = 2
# The cloud judges a message when it arrives: an end that comes later than this accuses no probe.
PROBE_SECONDS: Final = 10.0
# A suspect that failed once is tried again after the others.
PROBE_PAUSE: Final = 1.0


class Evidence(Enum):
    """What the end of a connection says about what was in flight."""

    NONE = "none"  # the link failed, or the cloud had another reason
    CLOSED = "closed"  # the cloud hung up without a word
    MESSAGE = "message"  # the cloud said that a message was the reason


def retry_delay(backoff: Backoff, attempts: int) -> float:
    """Seconds until a record that was refused for now is sent again."""
    doublings = min(attempts - 1, 32)
    return min(backoff.initial * backoff.factor**doublings, backoff.maximum)


class Window:
    """The records between the queue and the cloud: read, live, parked, in flight, back, or suspected."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._backlog = [deque[Entry]() for _ in range(PRIORITIES)]
        self._backlog_bytes = [0] * PRIORITIES
        self._live = [deque[Entry]() for _ in range(PRIORITIES)]
        self._waiting = 0  # a bit for each lane that has a record to send
        self._last = [BEFORE_ALL] * PRIORITIES
        self._credit = [0] * PRIORITIES
        self._live_next = [True] * PRIORITIES
        self._live_tags: set[int] = set()
        self._live_waiting: Counter[int] = Counter()
        self._live_count = 0
        self._live_bytes = 0
        self._in_flight: dict[int, Entry] = {}
        self._returned: list[tuple[float, Entry]] = []
        self._suspects: deque[Entry] = deque()
        self._condemned: dict[int, Entry] = {}
        self._probe: Entry | None = None
        self._ordered = Ordered()
        self._went_back = [False] * PRIORITIES
        self._known: set[int] = set()

    # -- in

    @property
    def in_flight(self) -> int:
        """Records sent and not settled."""
        return len(self._in_flight)

    @property
    def probing(self) -> bool:
        """Whether a suspect is to be alone on the link, now or as soon as it is due."""
        return self._probe is not None or bool(self._suspects)

    def is_in_flight(self, identifier: int) -> bool:
        """Whether the record was sent and not settled."""
        return identifier in self._in_flight

    def __contains__(self, identifier: int) -> bool:
        return identifier in self._known

    def last(self, lane: int) -> int:
        """The highest id that was read of the lane."""
        return self._last[lane]

    def read_from(self, lane: int, *, at_end: bool = False) -> int | None:
        """The id after which the lane is to be read now, if it is. `at_end`: nothing more is after `last`.

        By turns new records, and those of ordered topics that were passed over.
        """
        if not self._hungry(lane):
            return None
        new = None if at_end or self._ordered.crowded(lane) else self._last[lane]
        again = self._ordered.read_from(lane)
        self._went_back[lane] = goes_back = again is not None and not (
            new is not None and self._went_back[lane]
        )
        return again if goes_back else new

    def _hungry(self, lane: int) -> bool:
        number = len(self._backlog[lane])
        is_short = number < self.limit or (number < AHEAD_RECORDS and self._backlog_bytes[lane] < AHEAD_BYTES)
        return is_short and self._live_count < LIVE_RECORDS + self.limit

    def read(self, lane: int, after: int, upto: int | None, entries: Iterable[Entry]) -> None:
        """Take what was read of the lane: `entries` with ids above `after`.

        `upto`: to there it was read, also what is no entry of this connection; None when nothing was there.
        One that is here already is passed.
        """
        last = self._last[lane]
        upto = last if upto is None else upto
        self._last[lane] = max(last, upto)
        reading = self._ordered.reading(lane, after)
        for entry in entries:
            if entry.id in self._known:
                continue
            is_new = entry.id > last
            turn = Turn.NOW if is_new else Turn.PASSED
            if entry.ordered:
                turn = reading.take(entry, is_new=is_new)
            if turn is not Turn.PASSED:
                self._known.add(entry.id)
            if turn is Turn.NOW:
                self._push(entry)
        reading.end(upto, self._last[lane])

    def _push(self, entry: Entry) -> None:
        if entry.tag in self._live_waiting:
            # Of a topic whose live records overflowed: behind those that still wait.
            self._push_live(entry)
        else:
            self._backlog[entry.lane].append(entry)
            self._backlog_bytes[entry.lane] += len(entry.record)
            self._waiting |= 1 << entry.lane

    def takes_live(self, topic: str, tag: int, held: int, size: int) -> bool:
        """Whether a record that is appended now goes out from memory. `held`: of its tag, on disk already."""
        if held and tag not in self._live_tags:
            return False
        if (
            self._live_count >= LIVE_RECORDS
            or self._live_bytes + size > LIVE_BYTES
            or self._ordered.holds(topic)
        ):
            self._live_tags.discard(tag)
            return False
        self._live_tags.add(tag)
        return True

    def add_live(self, entry: Entry) -> None:
        """Take a record that `takes_live` let in."""
        self._known.add(entry.id)
        if entry.ordered:
            self._ordered.take(entry)
        self._push_live(entry)

    def _push_live(self, entry: Entry) -> None:
        self._live[entry.lane].append(entry)
        self._waiting |= 1 << entry.lane
        self._live_waiting[entry.tag] += 1
        self._live_count += 1
        self._live_bytes += len(entry.record)

    # -- out

    def next(self, now: float, *, quiet: bool = True) -> Entry | None:
        """The record to send now, which is in flight from here on; None when none may be sent.

        `quiet`: nothing else than this window waits for an answer of the cloud.
        """
        if self._probe is not None or len(self._in_flight) >= self.limit:
            return None
        suspect = next((one for one in self._suspects if one.due <= now), None) if self._suspects else None
        if suspect is not None and quiet:
            if self._in_flight:
                return None
            self._suspects.remove(suspect)
            self._probe = entry = suspect
        elif self._returned and self._returned[0][0] <= now:
            _, entry = heapq.heappop(self._returned)
        # What waits for its next try takes room too, so that the window stays bounded.
        elif len(self._in_flight) + len(self._returned) < self.limit and (fresh := self._fresh()):
            entry = fresh
        else:
            return None
        entry.attempts += 1
        entry.sent_at = now
        self._in_flight[entry.id] = entry
        return entry

    def _fresh(self) -> Entry | None:
        """The first transmission whose turn it is."""
        lane = self._choose()
        return None if lane is None else self._pop(lane)

    def _choose(self) -> int | None:
        """The lane whose turn it is: smooth weighted round robin, with 2^priority for the weight."""
        mask = self._waiting
        if not mask & (mask - 1):
            return mask.bit_length() - 1 if mask else None
        waiting = [lane for lane in range(PRIORITIES) if mask & (1 << lane)]
        credit = self._credit
        for lane in range(PRIORITIES):
            # A lane that has nothing to send saves up nothing.
            credit[lane] = credit[lane] + (1 << lane) if lane in waiting else 0
        chosen = max(waiting, key=lambda lane: (credit[lane], lane))
        credit[chosen] -= mask  # the sum of their weights
        return chosen

    def _pop(self, lane: int) -> Entry:
        live, backlog = self._live[lane], self._backlog[lane]
        if len(live) + len(backlog) == 1:
            self._waiting &= ~(1 << lane)
        if not live or (backlog and not self._live_next[lane]):
            self._live_next[lane] = True
            entry = backlog.popleft()
            self._backlog_bytes[lane] -= len(entry.record)
            return entry
        self._live_next[lane] = False
        entry = live.popleft()
        self._live_count -= 1
        self._live_bytes -= len(entry.record)
        self._live_waiting[entry.tag] -= 1
        if not self._live_waiting[entry.tag]:
            del self._live_waiting[entry.tag]
        return entry

    def next_due(self, now: float) -> float | None:
        """When a failed or suspected record is due that is not yet; what is due already waits for room."""
        dues = (*(due for due, _ in self._returned), *(one.due for one in self._suspects))
        return min((due for due in dues if due > now), default=None)

    # -- what became of it

    def settled(self, identifier: int) -> Entry | None:
        """The record is acknowledged or set aside; None when it is not on its way."""
        entry = self._taken(identifier)
        if entry is not None:
            self._known.discard(identifier)
            if entry.ordered:
                self._release(entry)
        return entry

    def condemn(self, identifier: int) -> Entry | None:
        """The record is to be set aside, and is not sent again meanwhile; None when it is not in flight."""
        entry = self._taken(identifier)
        if entry is not None:
            self._condemned[identifier] = entry
        return entry

    def failed(self, identifier: int, due: float) -> None:
        """The record was not acknowledged, or could not be set aside: send it again at `due`."""
        was_probe = self._probe is not None and self._probe.id == identifier
        entry = self._taken(identifier)
        if entry is None:
            return
        entry.due = due
        if was_probe:
            self._suspects.append(entry)
        else:
            heapq.heappush(self._returned, (due, entry))

    def _taken(self, identifier: int) -> Entry | None:
        entry = self._in_flight.pop(identifier, None) or self._condemned.pop(identifier, None)
        if entry is not None and entry is self._probe:
            self._probe = None
        return entry

    def _release(self, entry: Entry) -> None:
        """Let the next record of an ordered topic go."""
        following = self._ordered.release(entry)
        if following is not None:
            self._backlog[following.lane].appendleft(following)
            self._backlog_bytes[following.lane] += len(following.record)
            self._waiting |= 1 << following.lane

    def lost(self, evidence: Evidence, now: float, *, quiet: bool = True) -> list[Entry]:
        """The connection ended; gives what is condemned by it. `quiet`: as in `next`.

        What was in flight is sent again, or suspected. What was only read or live is forgotten: it is on
        disk, and while we wait the queue may drop its oldest.
        """
        probe, self._probe = self._probe, None
        guilty = probe is not None and quiet and self._is_guilty(probe, evidence, now)
        condemned = [probe] if guilty and probe is not None else []
        for entry in self._in_flight.values():
            entry.cuts += evidence is not Evidence.NONE
            entry.due = now + PROBE_PAUSE if entry.strikes else 0.0
            if entry in condemned:
                self._condemned[entry.id] = entry
            elif entry is probe or evidence is Evidence.MESSAGE or entry.cuts >= CUTS:
                self._suspects.append(entry)
            else:
                heapq.heappush(self._returned, (entry.due, entry))
        self._in_flight.clear()
        self._forget()
        return condemned

    def _is_guilty(self, probe: Entry, evidence: Evidence, now: float) -> bool:
        """What the end of the connection means for the one record that was in flight."""
        if evidence is Evidence.NONE or now - probe.sent_at > PROBE_SECONDS:
            return False
        probe.strikes += 1
        return evidence is Evidence.MESSAGE or probe.strikes >= STRIKES

    def _forget(self) -> None:
        for lane in range(PRIORITIES):
            for entry in (*self._backlog[lane], *self._live[lane]):
                self._drop(lane, entry.id)
            self._backlog[lane].clear()
            self._backlog_bytes[lane] = 0
            self._live[lane].clear()
        owners = {entry.message.topic: entry.id for entry in self._held() if entry.ordered}
        for lane, identifier in self._ordered.forget(owners):
            self._drop(lane, identifier)
        self._waiting = 0
        self._live_tags.clear()
        self._live_waiting.clear()
        self._live_count = self._live_bytes = 0

    def _drop(self, lane: int, identifier: int) -> None:
        self._known.discard(identifier)
        self._last[lane] = min(self._last[lane], identifier - 1)

    def abandoned(self) -> None:
        """The client is gone and will tell nothing more: all that was in flight goes out again."""
        self.lost(Evidence.NONE, 0.0)

    def _held(self) -> Iterator[Entry]:
        yield from self._in_flight.values()
        yield from self._condemned.values()
        yield from (entry for _, entry in self._returned)
        yield from self._suspects

    def oldest(self) -> float | None:
        """When the oldest record of the window was appended, in epoch seconds."""
        heads = [line[0] for line in (*self._backlog, *self._live) if line]
        return min((entry.appended_at for entry in (*self._held(), *heads)), default=None)
