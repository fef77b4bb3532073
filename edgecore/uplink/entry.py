"""One record of the outbox on its way, and where its topic stands. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from edgecore.base.group import DEFAULT_PRIORITY, Row
from edgecore.base.message import Message
from edgecore.base.topic import bind, matches
from edgecore.uplink.mapping import CLOUD_TARGET

# Topics whose place is remembered; a site's devices have some hundreds.
REMEMBERED: Final = 4096


class Entry:
    """One record. `lane`: its priority. `tag`: of its topic. `due`: monotonic seconds before which it waits.

    `sent_at`: when it was sent last. `cuts`, `strikes`: how often the cloud ended the connection while it was
    in flight, and while it alone was.
    """

    __slots__ = (
        "appended_at",
        "attempts",
        "cuts",
        "due",
        "id",
        "lane",
        "message",
        "ordered",
        "record",
        "sent_at",
        "strikes",
        "tag",
    )

    def __init__(
        self,
        identifier: int,
        record: bytes,
        message: Message,
        appended_at: float,
        lane: int = 0,
        tag: int = 0,
        *,
        ordered: bool = False,
    ) -> None:
        self.id = identifier
        self.record = record
        self.message = message
        self.appended_at = appended_at
        self.lane = lane
        self.tag = tag
        self.ordered = ordered
        self.attempts = 0
        self.due = 0.0
        self.sent_at = 0.0
        self.cuts = 0
        self.strikes = 0

    def __lt__(self, other: Entry) -> bool:
        return self.id < other.id


@dataclass(frozen=True, slots=True)
class Place:
    """Where a topic stands. `tag`: two bytes that few topics share. `share`: decides on its connection."""

    priority: int
    ordered: bool
    tag: int
    share: int


class Places:
    """The place of each topic that goes to the cloud, by the rows that send it there.

    It belongs to the topic and not to who publishes: else two publishers of one topic could overtake each
    other. The highest priority of the rows counts, and `ordered` if one of them says so.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._known = [
            (bind(pattern), row.priority, row.ordered)
            for row in rows
            if CLOUD_TARGET in row.targets
            for pattern in ((row.as_topic,) if row.as_topic else row.topics)
        ]
        self.of = lru_cache(REMEMBERED)(self._place)

    def _place(self, topic: str) -> Place:
        found = [(priority, ordered) for known, priority, ordered in self._known if matches(known, topic)]
        priority = max((priority for priority, _ in found), default=DEFAULT_PRIORITY)
        number = zlib.crc32(topic.encode())
        return Place(priority, any(ordered for _, ordered in found), number & 0xFFFF, number >> 16)
