"""What one connection takes from the outbox: reads the queue, sends, and settles what became of it.

A topic belongs to one channel, so that its messages keep their order. It knows no connection: a client is
handed in when there is one.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import PermanentCloudError, StoreError
from edgecore.base.group import PRIORITIES
from edgecore.base.message import Message
from edgecore.store import DurableQueue, MemoryQueue, decode_message
from edgecore.uplink.aside import Aside
from edgecore.uplink.client import CloudClient
from edgecore.uplink.entry import Entry, Place, Places
from edgecore.uplink.fleeting import Fleeting
from edgecore.uplink.record import read_record
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.steps import Steps
from edgecore.uplink.window import Evidence, Window, retry_delay

_log = logging.getLogger(__name__)

# One read of the queue: many small records, or a few of the largest (128 KB).
FETCH_RECORDS: Final = 256
FETCH_BYTES: Final = 1024 * 1024
# Reasons that are counted and logged apart. Some are the cloud's own words, which it may make up.
MAX_REASONS: Final = 64
# What the cloud has is taken off the disk for many at once: each time is a sync, and writes whole pages. A
# crash in between sends that many again.
SETTLE_RECORDS: Final = 1024
SETTLE_SECONDS: Final = 0.1
# How often it is seen whether it is quiet enough for a suspect.
QUIET_LOOK: Final = 0.1
EXPIRED: Final = "expired"
TOO_OLD: Final = "too old"


@dataclass(slots=True)
class Tally:
    """What the outbox counts: what it dropped, by reason, and what the cloud acknowledged."""

    dropped: Counter[str] = field(default_factory=Counter)
    sent: int = 0

    def drop(self, reason: str, number: int = 1) -> int:
        """Count; gives how many there were for that reason."""
        if reason not in self.dropped and len(self.dropped) >= MAX_REASONS:
            reason = f"{reason.partition(':')[0]}: other"
        self.dropped[reason] += number
        return self.dropped[reason]


@dataclass(frozen=True, slots=True)
class Shelf:
    """What all channels of an outbox share."""

    queue: DurableQueue | MemoryQueue
    aside: Aside
    places: Places
    steps: Steps
    tally: Tally
    settings: UplinkSettings
    clock: Clock


class Channel:
    """The part of the outbox that goes over one connection.

    `wake` is called when `pump` has something to do. `busy` (settable): whether something else than the
    outbox waits for an answer over this connection.
    """

    def __init__(
        self, number: int, shelf: Shelf, wake: Callable[[], None], busy: Callable[[], bool] = lambda: False
    ) -> None:
        settings = shelf.settings
        self.number = number
        self.online = False
        self.busy = busy
        self.window = Window(settings.in_flight)
        self._shelf = shelf
        self._queue = shelf.queue
        self._clock = shelf.clock
        self._tally = shelf.tally
        self._wake = wake
        self._acknowledged: list[int] = []  # that are on disk still
        self._settle_at = 0.0
        self._roused = False  # woken since the last pump
        self._read_out = [False] * PRIORITIES  # lanes that were read to their end
        self._reads = 0  # that are not answered
        self._read_error: Exception | None = None
        self._gone: set[int] = set()  # what was settled since they were asked: they may bring it again
        self._generation = 0  # of the link: what was read under an older one is stale
        self._fleeting = Fleeting(settings.qos0_records, settings.qos0_bytes, shelf.tally.drop)

    # -- in

    def takes_live(self, topic: str, place: Place, size: int) -> bool:
        """Whether a record that is about to be appended goes out from memory."""
        return self.online and self.window.takes_live(topic, place.tag, self._queue.held(place.tag), size)

    def add_live(self, entry: Entry) -> None:
        """A record that goes out from memory is in the queue."""
        self.window.add_live(entry)
        self._wake()

    def appended(self, lane: int) -> None:
        """A record is in the queue, to be read when it is its turn."""
        self._read_out[lane] = False
        self._wake()

    def take_fleeting(self, message: Message) -> None:
        """Take a message at QoS 0."""
        if not self.online:
            self._tally.drop("QoS 0: offline")
            return
        self._fleeting.put(message)
        self._wake()

    # -- out

    def connected(self) -> None:
        """The link is up: QoS 0 is taken from now on."""
        self.online = True
        self._generation += 1
        self._wake()

    def disconnected(self, evidence: Evidence = Evidence.NONE) -> None:
        """The link is down: QoS 0 in memory is dropped, the rest waits on disk."""
        self.online = False
        self._generation += 1
        self._fleeting.drop()
        for entry in self.window.lost(evidence, self._clock.monotonic(), quiet=not self.busy()):
            self._put_aside(entry, "the cloud ends the connection when this message is sent")
        self._read_out = [False] * PRIORITIES
        self._wake()

    def close(self) -> None:
        """The client that was sent to is gone: what it did not settle is sent again."""
        self.window.abandoned()
        self._read_out = [False] * PRIORITIES
        self._fleeting.forget()
        self.settle()

    def pump(self, client: CloudClient | None) -> float | None:
        """Settle what was acknowledged, send what may be sent, read on.

        Gives the monotonic time at which it must be called again even if nothing wakes it. Raises StoreError
        when the queue could not be read.
        """
        self._roused = False
        if self._read_error is not None:
            error, self._read_error = self._read_error, None
            raise error
        if client is None or not self.online:
            self.settle()
            return None
        now = self._send(client)
        while lanes := self._wanting():
            self._read(lanes)
            if self._reads:
                break  # their answer wakes; until then there is a window of records in hand
            now = self._send(client)
        dues = (self._settle_in_time(now), self.window.next_due(now), self._look_for_quiet(now))
        return min((due for due in dues if due is not None), default=None)

    def _settle_in_time(self, now: float) -> float | None:
        """Settle when it is enough, old enough, or all for now; else say when it will be old enough."""
        if not self._acknowledged:
            return None
        is_last = not self.window.in_flight
        if is_last or len(self._acknowledged) >= SETTLE_RECORDS or now >= self._settle_at:
            self.settle()
            return None
        return self._settle_at

    def _look_for_quiet(self, now: float) -> float | None:
        return now + QUIET_LOOK if self.window.probing and self.busy() else None

    def _wanting(self) -> dict[int, int]:
        """The lanes to read, and after which id; none while some are read, or the link is down."""
        if self._reads or not self.online:
            return {}
        wanted = {
            lane: self.window.read_from(lane, at_end=self._read_out[lane])
            for lane in range(PRIORITIES)
            if self._queue.waiting(lane)
        }
        return {lane: after for lane, after in wanted.items() if after is not None}

    def _send(self, client: CloudClient) -> float:
        """Send what may be sent; gives the monotonic time that it went by."""
        now, wall = self._clock.monotonic(), self._clock.now()
        if not self.online:
            return now  # it was lost while the queue was read
        quiet = not self.busy()
        self._shelf.steps.look(wall, now)
        # A record can have left the queue under our hands only by a bound.
        may_be_gone = bool(self._queue.dropped or self._tally.dropped[TOO_OLD])
        window, shift, longest = self.window, self._shelf.steps.shift, self._shelf.settings.outbox_age
        if not window.probing:  # else QoS 0 could end the connection in a suspect's place
            while (message := self._fleeting.next(wall)) is not None:
                client.publish(message, 0, wall, self._fleeting_done)
        while (entry := window.next(now, quiet=quiet)) is not None:
            then = wall - shift(entry.id)
            if may_be_gone and entry.id not in self._queue:
                window.settled(entry.id)  # it gave way to a newer one, and was counted then
            elif entry.message.expired(then):
                self._drop(entry, EXPIRED)
            elif then - entry.appended_at > longest:
                self._drop(entry, TOO_OLD)
            else:
                client.publish(entry.message, 1, then, partial(self._done, entry, entry.attempts))

        return now

    def _drop(self, entry: Entry, reason: str) -> None:
        self._tally.drop(reason)
        self._finish_here(entry.id)

    def _read(self, lanes: dict[int, int]) -> None:
        for lane, after in lanes.items():
            if after == self.window.last(lane):
                self._read_out[lane] = True  # unless something is appended while it is read
            self._reads += 1
            answer = partial(self._answered, self._generation, lane, after)
            self._queue.ask(after, FETCH_RECORDS, FETCH_BYTES, lane, answer)

    def _answered(
        self, generation: int, lane: int, after: int, rows: list[tuple[int, bytes]] | Exception
    ) -> None:
        self._reads -= 1
        if isinstance(rows, Exception):
            self._read_error = rows
        elif generation == self._generation:  # else the link was lost: it is read again at the next connect
            gone = self._gone.union(self._acknowledged)
            entries = [self._entry(lane, *row) for row in rows if row[0] not in gone]
            upto = rows[-1][0] if rows else None
            if upto is not None and upto > self.window.last(lane):
                self._read_out[lane] = False
            self.window.read(lane, after, upto, [entry for entry in entries if entry is not None])
        if not self._reads:
            self._gone.clear()
        self._wake()

    def _entry(self, lane: int, identifier: int, record: bytes) -> Entry | None:
        """The record, if it can be read and goes over this connection."""
        try:
            stamp, encoded = read_record(record)
            message = decode_message(encoded)
        except StoreError as error:
            if self.number == 0:
                self._shelf.aside.put("?", record, "unreadable record")
                _log.error("outbox record %d is set aside: %s", identifier, error)
                self._take_off(identifier)
            return None
        place = self._shelf.places.of(message.topic)
        if place.share % self._shelf.settings.connections != self.number:
            return None
        return Entry(identifier, record, message, stamp, lane, place.tag, ordered=place.ordered)

    def _done(self, entry: Entry, attempt: int, error: Exception | None) -> None:
        """The outcome of one publish."""
        if error is None:
            self._tally.sent += self._finish(entry.id)
            if self._roused:
                return
            self._roused = True
        elif entry.attempts != attempt or not self.window.is_in_flight(entry.id):
            return  # of a link that is gone: it is on its way again already, or waits for it
        elif isinstance(error, PermanentCloudError):
            self.window.condemn(entry.id)
            self._put_aside(entry, str(error))
        else:
            delay = retry_delay(self._shelf.settings.backoff, entry.attempts) if self.online else 0.0
            self.window.failed(entry.id, self._clock.monotonic() + delay)
        self._wake()

    def _fleeting_done(self, error: Exception | None) -> None:
        self._fleeting.done(error)
        self._tally.sent += error is None
        self._wake()

    def _put_aside(self, entry: Entry, reason: str) -> None:
        commit = self._shelf.aside.put(entry.message.topic, entry.record, reason)
        if commit is None:
            self._finish_here(entry.id)
        else:
            commit.when_done(partial(self._moved, entry))

    def _moved(self, entry: Entry, error: Exception | None) -> None:
        if error is None:
            self._finish_here(entry.id)
        else:
            # It could not be written aside, so it stays in the outbox and is tried again.
            delay = self._shelf.settings.backoff.maximum
            self.window.failed(entry.id, self._clock.monotonic() + delay)
        self._wake()

    def _finish(self, identifier: int) -> bool:
        if self.window.settled(identifier) is None:
            return False
        self._take_off(identifier)
        return True

    def _finish_here(self, identifier: int) -> None:
        """Finish what was dropped or set aside; it leaves the disk at the end of this pump.

        That was decided here: still on the disk after a crash, it would be decided anew.
        """
        if self._finish(identifier):
            self._settle_at = 0.0

    def _take_off(self, identifier: int) -> None:
        if not self._acknowledged:
            self._settle_at = self._clock.monotonic() + SETTLE_SECONDS
        self._acknowledged.append(identifier)

    def settle(self) -> None:
        """Take what the cloud has off the disk. A crash before the commit only sends it again."""
        if self._acknowledged:
            acknowledged, self._acknowledged = self._acknowledged, []
            if self._reads:
                self._gone.update(acknowledged)
            self._queue.ack(acknowledged).when_done(self._settled)

    def _settled(self, error: Exception | None) -> None:
        if error is not None:
            self._tally.drop("acknowledgement not written (sent again after a restart)")
            _log.error("the outbox could not take off what the cloud has: %s", error)
