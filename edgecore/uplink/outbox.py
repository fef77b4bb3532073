"""The outbox: what routes send to the cloud, kept on disk until the cloud has acknowledged it.

QoS 1 and 2 go through the durable queue, QoS 0 through a bounded memory queue that is dropped while
offline. What the cloud would never take is set aside with its reason, so that it holds nothing up.
It knows no connection: a client is handed in when there is one.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import PermanentCloudError, RefusedError, StoreError
from edgecore.base.identity import CLOUD, Principal
from edgecore.base.message import Message
from edgecore.store import DurableQueue, MemoryQueue, decode_message, encode_message
from edgecore.uplink.client import CloudClient
from edgecore.uplink.mapping import refuse_message
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.window import BEFORE_ALL, Entry, Window, retry_delay

_log = logging.getLogger(__name__)

Queue = DurableQueue | MemoryQueue

# One read of the queue: many small records, or a few of the largest (128 KB).
FETCH_RECORDS: Final = 256
FETCH_BYTES: Final = 1024 * 1024
# QoS 0 publishes that the client may hold unwritten.
QOS0_IN_FLIGHT: Final = 256
# Reasons that are counted and logged apart. Some are the cloud's own words, which it may make up.
MAX_REASONS: Final = 64
# How long the age of the oldest record is trusted while offline: it moves only when the queue is full.
LOOK_SECONDS: Final = 30.0
# In front of each record: when it was appended, in epoch seconds.
_STAMP: Final = struct.Struct(">d")


class Outbox:
    """A Subscriber for "cloud". `wake` is called when `pump` has something to do."""

    def __init__(
        self, queue: Queue, aside: Queue, settings: UplinkSettings, clock: Clock, wake: Callable[[], None]
    ) -> None:
        self.dropped: Counter[str] = Counter()
        self.sent = 0
        self._queue = queue
        self._aside = aside
        self._settings = settings
        self._clock = clock
        self._wake = wake
        self._window = Window(settings.in_flight)
        self._acknowledged: list[int] = []
        self._appended = 0
        self._read_to_end_at = -1
        self._memory: deque[Message] = deque()
        self._memory_bytes = 0
        self._memory_in_flight = 0
        self._online = False
        self._oldest: float | None = None
        self._look_at = 0.0

    @property
    def principal(self) -> Principal:
        """Whom the messages are for."""
        return CLOUD

    async def open(self) -> None:
        """Find what an earlier run left. Raises StoreError."""
        await self._queue.open()
        await self._aside.open()

    # -- in

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:
        """Take a message for the cloud. `retain` is the flag that the cloud will see."""
        reason = refuse_message(message)
        if qos == 0:
            self._take_memory(message, reason)
            return None
        if message.retain and not retain:
            message = _without_retain(message)
        record = _STAMP.pack(self._clock.now()) + encode_message(message)
        if reason:
            return self._set_aside(message.topic, record, reason)
        _, commit = self._queue.append(record)
        self._appended += 1
        self._wake()
        return commit

    def _take_memory(self, message: Message, reason: str) -> None:
        if reason or not self._online:
            self.dropped[f"QoS 0: {reason or 'offline'}"] += 1
            return
        self._memory.append(message)
        self._memory_bytes += len(message.payload)
        settings = self._settings
        while len(self._memory) > settings.qos0_records or self._memory_bytes > settings.qos0_bytes:
            self._memory_bytes -= len(self._memory.popleft().payload)
            self.dropped["QoS 0: queue full"] += 1
        self._wake()

    def _set_aside(self, topic: str, record: bytes, reason: str) -> Commit | None:
        counted = f"set aside: {reason}"
        if counted not in self.dropped and len(self.dropped) >= MAX_REASONS:
            counted = "set aside: other"
        if not self.dropped[counted]:
            _log.warning("a message on %s cannot go to the cloud and is set aside: %s", topic, reason)
        self.dropped[counted] += 1
        try:
            _, commit = self._aside.append(reason.encode() + b"\0" + record)
        except RefusedError:
            # Larger than all that may be set aside: then the count and the log are what is left of it.
            self.dropped["set aside: no room"] += 1
            return None
        return commit

    # -- out

    def connected(self) -> None:
        """The link is up: QoS 0 is taken from now on."""
        self._online = True
        self._wake()

    def disconnected(self) -> None:
        """The link is down: QoS 0 in memory is dropped, the rest waits on disk."""
        self._online = False
        self.dropped["QoS 0: offline"] += len(self._memory)
        self._memory.clear()
        self._memory_bytes = 0
        self._window.disconnected()
        self._read_to_end_at = -1
        self._look_at = 0.0

    def close(self) -> None:
        """The client that was sent to is gone: what it did not settle is sent again."""
        self._window.abandoned()
        self._memory_in_flight = 0
        self._settle()

    async def pump(self, client: CloudClient | None) -> float | None:
        """Settle what was acknowledged and send what may be sent.

        Gives the monotonic time at which it must be called again even if nothing wakes it.
        """
        self._settle()
        if client is None or not self._online:
            await self._look()
            return None
        self._send_memory(client)
        self._send(client)
        while self._wants_more():
            await self._fetch()
            self._send(client)
        return self._window.next_due()

    def _wants_more(self) -> bool:
        return self._online and self._window.hungry and self._read_to_end_at != self._appended

    def _send(self, client: CloudClient) -> None:
        now, wall = self._clock.monotonic(), self._clock.now()
        while (entry := self._window.next(now)) is not None:
            if entry.message.expired(wall):
                self.dropped["expired"] += 1
                self._finish(entry.id)
            else:
                client.publish(entry.message, 1, wall, partial(self._done, entry))

    def _send_memory(self, client: CloudClient) -> None:
        wall = self._clock.now()
        while self._memory and self._memory_in_flight < QOS0_IN_FLIGHT:
            message = self._memory.popleft()
            self._memory_bytes -= len(message.payload)
            if message.expired(wall):
                self.dropped["QoS 0: expired"] += 1
                continue
            self._memory_in_flight += 1
            client.publish(message, 0, wall, self._memory_done)

    async def _fetch(self) -> None:
        appended = self._appended
        records = await self._queue.peek(self._window.last, FETCH_RECORDS, FETCH_BYTES)
        if not self._online:
            return  # lost while reading: it is read again at the next connect
        if not records:
            self._read_to_end_at = appended
        for identifier, record in records:
            self._admit(identifier, record)

    def _admit(self, identifier: int, record: bytes) -> None:
        try:
            self._window.add([_entry(identifier, record)])
        except StoreError as error:
            self._set_aside("?", record, "unreadable record")
            _log.error("outbox record %d is set aside: %s", identifier, error)
            self._window.skip(identifier)
            self._acknowledged.append(identifier)

    def _done(self, entry: Entry, error: Exception | None) -> None:
        """The outcome of one publish."""
        if error is None:
            self.sent += 1
            self._finish(entry.id)
        elif isinstance(error, PermanentCloudError):
            self._give_up(entry, str(error))
        elif self._online:
            delay = retry_delay(self._settings.backoff, entry.attempts)
            self._window.failed(entry.id, self._clock.monotonic() + delay)
        else:
            self._window.failed(entry.id, 0.0)
        self._wake()

    def _memory_done(self, error: Exception | None) -> None:
        self._memory_in_flight = max(0, self._memory_in_flight - 1)
        if error is None:
            self.sent += 1
        else:
            self.dropped["QoS 0: not sent"] += 1
        self._wake()

    def _give_up(self, entry: Entry, reason: str) -> None:
        commit = self._set_aside(entry.message.topic, entry.record, reason)
        if commit is None:
            self._finish(entry.id)
        else:
            commit.when_done(partial(self._moved, entry))

    def _moved(self, entry: Entry, error: Exception | None) -> None:
        if error is None:
            self._finish(entry.id)
        else:
            # It could not be written aside, so it stays in the outbox and is tried again.
            self._window.failed(entry.id, self._clock.monotonic() + self._settings.backoff.maximum)

    def _finish(self, identifier: int) -> None:
        if self._window.settled(identifier) is not None:
            self._acknowledged.append(identifier)

    def _settle(self) -> None:
        """Take what the cloud has off the disk. A crash before the commit only sends it again."""
        if self._acknowledged:
            acknowledged, self._acknowledged = self._acknowledged, []
            self._queue.ack(acknowledged).when_done(self._settled)

    def _settled(self, error: Exception | None) -> None:
        if error is not None:
            self.dropped["acknowledgement not written (sent again after a restart)"] += 1
            _log.error("the outbox could not take off what the cloud has: %s", error)

    # -- what status says

    async def _look(self) -> None:
        """Find the age of the oldest record while nothing is fetched."""
        if self._clock.monotonic() < self._look_at:
            return
        self._look_at = self._clock.monotonic() + LOOK_SECONDS
        records = await self._queue.peek(BEFORE_ALL, 1, FETCH_BYTES)
        self._oldest = _STAMP.unpack_from(records[0][1])[0] if records else None

    def status(self) -> dict[str, object]:
        """Counts, bytes, the age of the oldest record in epoch seconds, and what was dropped and why."""
        oldest = self._window.oldest() if self._online else self._oldest
        dropped = self.dropped + Counter({f"outbox: {key}": n for key, n in self._queue.dropped.items()})
        return {
            "records": self._queue.count,
            "bytes": self._queue.bytes,
            "oldest": oldest if self._queue.count else None,
            "in_flight": self._window.in_flight,
            "set_aside": self._aside.count,
            "sent": self.sent,
            "dropped": dict(dropped),
        }


def _entry(identifier: int, record: bytes) -> Entry:
    if len(record) < _STAMP.size:
        raise StoreError(f"{len(record)} bytes are no outbox record")
    (appended_at,) = _STAMP.unpack_from(record)
    return Entry(identifier, record, decode_message(record[_STAMP.size :]), appended_at)


def _without_retain(message: Message) -> Message:
    return Message(
        message.topic,
        message.payload,
        message.qos,
        message.sender,
        expires_at=message.expires_at,
        properties=message.properties,
    )
