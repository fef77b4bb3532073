"""The outbox: what routes send to the cloud, kept on disk until the cloud has acknowledged it.

QoS 1 and 2 go through the durable queue, QoS 0 through a bounded memory queue that is dropped while
offline. What the cloud would never take is set aside with its reason, so that it holds nothing up.
Bounds: records, bytes and age. When it is full the oldest of the lowest priority goes, but for what is in
flight; it is counted by reason, and the alarm says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import PermanentCloudError, StoreError
from edgecore.base.group import PRIORITIES, Row
from edgecore.base.identity import CLOUD, CORE, Principal
from edgecore.base.interfaces import SetAside
from edgecore.base.message import Message
from edgecore.store import DurableQueue, MemoryQueue, Slot, decode_message, durable
from edgecore.uplink.alarm import TOPIC, Alarm
from edgecore.uplink.aside import Aside
from edgecore.uplink.channel import EXPIRED, FETCH_BYTES, FETCH_RECORDS, TOO_OLD, Channel, Shelf, Tally
from edgecore.uplink.entry import Entry, Place, Places
from edgecore.uplink.mapping import limits_of, refuse_message
from edgecore.uplink.record import make_record, read_record, read_stamp
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.steps import Steps
from edgecore.uplink.window import BEFORE_ALL

Queue = DurableQueue | MemoryQueue
# Of a record, its lane and its tag, as the queue's own.
Append = Callable[[bytes, int, int], tuple[int, Commit]]

LANES: Final = PRIORITIES
# How often the front of the queue is looked at: for its age, and for what is too old.
LOOK_SECONDS: Final = 30.0
# The queue writes some bytes in front of a record.
SLACK: Final = 16
# What of the queue's own counts is a loss of something that was acknowledged.
_OVERFLOW: Final = "overflow"


class Outbox:
    """A Subscriber for "cloud". `wake` is called when a channel's `pump` or `look` has something to do."""

    def __init__(
        self,
        queue: Queue,
        aside: Queue,
        settings: UplinkSettings,
        clock: Clock,
        wake: Callable[[], None],
        rows: Iterable[Row] = (),
    ) -> None:
        self.tally = Tally()
        self._queue = queue
        self._settings = settings
        self._clock = clock
        self._aside = Aside(aside, clock, self.tally.drop)
        self._places = Places(rows)
        self._steps = Steps(clock.now(), clock.monotonic())
        shelf = Shelf(queue, self._aside, self._places, self._steps, self.tally, settings, clock)
        self.channels = tuple(Channel(number, shelf, wake) for number in range(settings.connections))
        self._wake = wake
        self._limits = limits_of(settings)
        self._alarm = Alarm()
        self._oldest: float | None = None
        self._look_at = 0.0

    @property
    def principal(self) -> Principal:
        """Whom the messages are for."""
        return CLOUD

    @property
    def aside(self) -> Aside:
        """What was set aside."""
        return self._aside

    async def open(self) -> None:
        """Find what an earlier run left. Raises StoreError."""
        await self._queue.open()
        await self._aside.open()

    async def adopt(self, old: Queue) -> None:
        """Take over what an earlier version left, whose outbox had no priorities. Raises StoreError."""
        await old.open()
        while records := await old.peek(BEFORE_ALL, FETCH_RECORDS, FETCH_BYTES):
            for _, record in records:
                place = self._places.of(_topic_of(record))
                self._queue.append(record, place.priority, place.tag)
            # In the same turn, so that one commit moves them.
            await durable(old.ack([identifier for identifier, _ in records]))

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:
        """Take a message for the cloud. `retain` is the flag that the cloud will see."""
        place = self._places.of(message.topic)
        channel = self.channels[place.share % len(self.channels)]
        reason = refuse_message(message, self._limits)
        if qos == 0:
            if reason:
                self.tally.drop(f"QoS 0: {reason}")
            else:
                channel.take_fleeting(message)
            return None
        if message.retain and not retain:
            message = _without_retain(message)
        now = self._clock.now()
        record = make_record(message, now)
        if reason:
            return self._aside.put(message.topic, record, reason)
        return self._enter(message, record, place, now, self._append)

    def put_back(self, record: bytes, left: Slot) -> Commit:
        """Take a record that was set aside again, as if it came now: in the same commit it leaves `left`.

        Raises StoreError for one that cannot be read, PermanentCloudError for one that would still not go,
        RefusedError when there is no room: nothing gives way to it.
        """
        message = decode_message(read_record(record)[1])
        now = self._clock.now()
        if reason := EXPIRED if message.expired(now) else refuse_message(message, self._limits):
            raise PermanentCloudError(reason)
        place = self._places.of(message.topic)
        append = partial(self._queue.append_from, left)
        return self._enter(message, make_record(message, now), place, now, append)

    def _enter(self, message: Message, record: bytes, place: Place, now: float, append: Append) -> Commit:
        """Append a record, and let it go from memory if it may: else the next of its topic would pass it."""
        if self._is_full(len(record)):
            self._settle()  # what the cloud has must not be counted as what gives way
        lane, tag = place.priority, place.tag
        channel = self.channels[place.share % len(self.channels)]
        live = channel.takes_live(message.topic, place, len(record))
        identifier, commit = append(record, lane, tag)
        self._steps.look(now, self._clock.monotonic())
        self._steps.appended(identifier)
        if live:
            channel.add_live(Entry(identifier, record, message, now, lane, tag, ordered=place.ordered))
        else:
            channel.appended(lane)
        return commit

    def _append(self, record: bytes, lane: int, tag: int) -> tuple[int, Commit]:
        return self._queue.append(record, lane, tag, self._is_in_flight)

    def _is_full(self, size: int) -> bool:
        settings, queue = self._settings, self._queue
        return queue.count >= settings.outbox_records or queue.bytes + size > settings.outbox_bytes - SLACK

    def _settle(self) -> None:
        for channel in self.channels:
            channel.settle()

    def _is_in_flight(self, identifier: int) -> bool:
        return any(channel.window.is_in_flight(identifier) for channel in self.channels)

    # -- age and alarm

    async def look(self) -> tuple[Message | None, float]:
        """Drop what is too old; gives an alarm to publish, and the monotonic time of the next look."""
        now, wall = self._clock.monotonic(), self._clock.now()
        self._steps.look(wall, now)
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._settle()
            fronts = [await self._prune(lane) for lane in range(LANES) if self._queue.waiting(lane)]
            self._oldest = min((front for front in fronts if front is not None), default=None)
        said = self._alarm.look(self._losses(), self._fill(), now, wall)
        due = self._alarm.next_due(now)
        next_look = self._look_at if due is None else min(self._look_at, due)
        if said is None:
            return None, next_look
        said |= {"records": self._queue.count, "bytes": self._queue.bytes}
        return Message(TOPIC, json.dumps(said).encode(), 1, CORE), next_look

    async def _prune(self, lane: int) -> float | None:
        """Drop what is too old at the front of a lane; gives when the oldest that stays was appended."""
        after = BEFORE_ALL
        while records := await self._queue.peek(after, FETCH_RECORDS, FETCH_BYTES, lane):
            gone: list[int] = []
            wall = self._clock.now()
            self._steps.look(wall, self._clock.monotonic())
            for after, record in records:
                try:
                    stamp = read_stamp(record)
                except StoreError:
                    continue  # it is set aside when it is read to be sent
                if wall - self._steps.shift(after) - stamp <= self._settings.outbox_age:
                    self._give_up(gone)
                    return stamp
                # What a channel has in hand is its own to drop.
                if not any(after in channel.window for channel in self.channels):
                    gone.append(after)
            self._give_up(gone)
        return None

    def _give_up(self, identifiers: list[int]) -> None:
        if identifiers:
            self.tally.drop(TOO_OLD, len(identifiers))
            self._queue.ack(identifiers)

    @property
    def is_losing(self) -> bool:
        """Whether something was dropped that the alarm has not heard of."""
        lost = self._queue.dropped.get(_OVERFLOW, 0) + self.tally.dropped.get(TOO_OLD, 0)
        return lost != self._alarm.seen and self._alarm.since is None

    def _losses(self) -> dict[str, int]:
        losses = {
            _OVERFLOW: self._queue.dropped.get(_OVERFLOW, 0),
            TOO_OLD: self.tally.dropped[TOO_OLD],
        }
        return {reason: number for reason, number in losses.items() if number}

    def _fill(self) -> float:
        settings = self._settings
        return max(self._queue.count / settings.outbox_records, self._queue.bytes / settings.outbox_bytes)

    # -- what status says

    async def set_aside(self) -> list[SetAside]:
        """All messages that were set aside and are kept, the oldest first."""
        return await self._aside.look()

    def status(self) -> dict[str, object]:
        """Counts, bytes, the age of the oldest record in epoch seconds, and what was dropped and why."""
        dropped = self.tally.dropped + Counter(
            {f"outbox: {key}": number for key, number in self._queue.dropped.items()}
        )
        priorities = {
            str(lane): self._queue.waiting(lane) for lane in range(LANES) if self._queue.waiting(lane)
        }
        return {
            "records": self._queue.count,
            "bytes": self._queue.bytes,
            "priorities": priorities,
            "oldest": self._oldest_now(),
            "in_flight": sum(channel.window.in_flight for channel in self.channels),
            "probing": any(channel.window.probing for channel in self.channels),
            "set_aside": self._aside.number,
            "set_aside_last": self._aside.status(),
            "alarm": self._alarm.since,
            "sent": self.tally.sent,
            "dropped": dict(dropped),
        }

    def _oldest_now(self) -> float | None:
        if not self._queue.count:
            return None
        fronts = [front for channel in self.channels if (front := channel.window.oldest()) is not None]
        return min(fronts) if fronts else self._oldest


def _topic_of(record: bytes) -> str:
    """The topic; "" of a record that cannot be read, which is set aside when its turn comes."""
    try:
        return decode_message(read_record(record)[1]).topic
    except StoreError:
        return ""


def _without_retain(message: Message) -> Message:
    return Message(
        message.topic,
        message.payload,
        message.qos,
        message.sender,
        expires_at=message.expires_at,
        properties=message.properties,
    )
