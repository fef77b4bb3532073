"""Ordered topics: one record of each is on its way, the others wait for it and hold up no other topic. Pure.

A record is taken in when it is read. The first of a topic that has none in hand may go; some more are parked
behind it. What has no room there is passed over: it stays on the disk, and from then on so does all that
follows of its topic. Where that begins is remembered, and it is read again from there when nothing of the
topic is in hand any more. So a long backlog of an ordered topic costs a second reading, and a place in
memory for its topic only.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Final

from edgecore.base.group import PRIORITIES
from edgecore.uplink.entry import Entry

# Records of a priority that are parked, of each topic and together: about one read of the queue, and four.
PARKED_OF_TOPIC: Final = 256
PARKED: Final = 1024
PARKED_BYTES: Final = 1024 * 1024
# Topics of a priority that were passed over; with more, no new records are read until there are fewer.
PASSED: Final = 4096


class Turn(Enum):
    """What becomes of a record of an ordered topic that was read."""

    NOW = "now"  # it is the one that may be sent
    PARKED = "parked"
    PASSED = "passed"  # it is not taken, and is read again later


class Ordered:
    """Which record of each ordered topic may go, and which of the others are in hand."""

    def __init__(self) -> None:
        self._owners: dict[str, int] = {}  # the one that may go
        self._parked: dict[str, deque[Entry]] = {}
        self._count = [0] * PRIORITIES
        self._bytes = [0] * PRIORITIES
        # By priority: topic -> the first id that may be one of it that is not in hand.
        self._passed: list[dict[str, int]] = [{} for _ in range(PRIORITIES)]
        self._behind: list[set[str]] = [set() for _ in range(PRIORITIES)]  # of these, with none in hand

    def holds(self, topic: str) -> bool:
        """Whether a new record of the topic must wait for others."""
        return topic in self._owners or any(topic in passed for passed in self._passed)

    def crowded(self, lane: int) -> bool:
        """Whether so many topics were passed over that none more can be remembered."""
        return len(self._passed[lane]) >= PASSED

    def read_from(self, lane: int) -> int | None:
        """The id after which a topic is to be read again that has nothing in hand; None without one."""
        passed, behind = self._passed[lane], self._behind[lane]
        return min(passed[topic] for topic in behind) - 1 if behind else None

    def take(self, entry: Entry) -> Turn:
        """Take one that was read or appended for the first time."""
        topic, lane = entry.message.topic, entry.lane
        if topic in self._passed[lane]:
            return Turn.PASSED
        turn = self.enter(entry)
        if turn is Turn.PASSED:
            self._passed[lane][topic] = entry.id
        return turn

    def enter(self, entry: Entry) -> Turn:
        """Take one of which all that came before is in hand or gone, if there is room."""
        topic, lane = entry.message.topic, entry.lane
        if topic not in self._owners:
            self._owners[topic] = entry.id
            for behind in self._behind:
                behind.discard(topic)
            return Turn.NOW
        line = self._parked.get(topic, ())
        size = self._bytes[lane] + len(entry.record)
        if len(line) >= PARKED_OF_TOPIC or self._count[lane] >= PARKED or size > PARKED_BYTES:
            return Turn.PASSED
        self._parked.setdefault(topic, deque()).append(entry)
        self._count[lane] += 1
        self._bytes[lane] = size
        return Turn.PARKED

    def reading(self, lane: int, after: int) -> Reading:
        """For what was read of the lane above `after`."""
        return Reading(self, self._passed[lane], self._behind[lane], after)

    def release(self, entry: Entry) -> Entry | None:
        """The one that might go is gone; gives the one that may go now."""
        topic = entry.message.topic
        self._owners.pop(topic, None)
        line = self._parked.get(topic)
        if not line:
            for passed, behind in zip(self._passed, self._behind, strict=True):
                if topic in passed:
                    behind.add(topic)
            return None
        following = line.popleft()
        if not line:
            del self._parked[topic]
        self._count[following.lane] -= 1
        self._bytes[following.lane] -= len(following.record)
        self._owners[topic] = following.id
        return following

    def forget(self, held: dict[str, int]) -> list[tuple[int, int]]:
        """Begin anew with the owners `held`; gives (lane, id) of what was in hand, or first not in hand."""
        gone = [(entry.lane, entry.id) for line in self._parked.values() for entry in line]
        gone += [(lane, first) for lane, passed in enumerate(self._passed) for first in passed.values()]
        self._owners = held
        self._parked.clear()
        self._count, self._bytes = [0] * PRIORITIES, [0] * PRIORITIES
        for passed, behind in zip(self._passed, self._behind, strict=True):
            passed.clear()
            behind.clear()
        return gone


class Reading:
    """One reading of a lane: what is new, and of topics that were passed over what follows from there."""

    def __init__(self, ordered: Ordered, passed: dict[str, int], behind: set[str], after: int) -> None:
        self._ordered = ordered
        self._passed = passed
        self._behind = behind
        # These were read from where they begin: they may be taken until there is no more room.
        self._again = {topic for topic, first in passed.items() if after < first}

    def take(self, entry: Entry, *, is_new: bool) -> Turn:
        """Take the next one. `is_new`: it was not read before."""
        topic = entry.message.topic
        if topic not in self._again:
            return self._ordered.take(entry) if is_new else Turn.PASSED
        if entry.id < self._passed[topic]:
            return Turn.PASSED
        turn = self._ordered.enter(entry)
        if turn is Turn.PASSED:  # and so are all of the topic that follow
            self._passed[topic] = entry.id
            self._again.discard(topic)
        return turn

    def end(self, upto: int, last: int) -> None:
        """All was taken, to the id `upto`; `last`: to where the lane was ever read."""
        for topic in self._again:
            if upto >= last:  # nothing more of it is there
                del self._passed[topic]
                self._behind.discard(topic)
            else:
                self._passed[topic] = max(self._passed[topic], upto + 1)
