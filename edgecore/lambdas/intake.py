"""Where a function's events come in: by routes (durable at QoS 1 and 2, in memory at QoS 0) or directly.

A durable event's record is the message with a prefix: which run of the service took it in, when, and at
which effective QoS. Ages are counted on the monotonic clock, because a Pi's wall clock jumps by years
when it first hears the time; an event of an earlier run is as old as this run, at least.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Callable
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import FunctionError, RefusedError, StoreError
from edgecore.base.identity import Principal
from edgecore.base.message import AT_MOST_ONCE, Message
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.events import Event
from edgecore.lambdas.tally import Tally
from edgecore.store import DurableQueue, decode_message, encode_message

PREFIX: Final = struct.Struct(">QdB")
# Read ahead from the durable queue: one read serves this many events.
READ_AHEAD: Final = 32
READ_AHEAD_BYTES: Final = 1024 * 1024


def pack(run: int, now: float, qos: int, message: Message) -> bytes:
    """The record of a durable event."""
    return PREFIX.pack(run, now, qos) + encode_message(message)


def unpack(record: bytes, run: int, run_started: float) -> tuple[Message, int, float]:
    """(message, effective QoS, when it arrived in terms of this run). Raises StoreError."""
    if len(record) < PREFIX.size:
        raise StoreError(f"found an event of {len(record)} bytes, expected at least {PREFIX.size}")
    taken_by, taken_at, qos = PREFIX.unpack_from(record)
    message = decode_message(record[PREFIX.size :])
    return message, qos, taken_at if taken_by == run else run_started


class Intake:
    """The way in for one function; a Subscriber for the router. `wake` is called when there is more to do."""

    def __init__(
        self,
        principal: Principal,
        max_payload: int,
        queue: DurableQueue,
        backlog: Backlog,
        tally: Tally,
        clock: Clock,
        run: int,
        wake: Callable[[], None],
    ) -> None:
        self._principal = principal
        self._max_payload = max_payload
        self._queue = queue
        self._backlog = backlog
        self._tally = tally
        self._clock = clock
        self._run = run
        self._run_started = clock.monotonic()
        self._wake = wake
        self._unread = True  # the durable queue may hold events that are not in memory
        self._reading = False
        self._last_read = 0

    @property
    def principal(self) -> Principal:
        """function:NAME."""
        return self._principal

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:  # noqa: ARG002  a device's flag
        """Queue an event. Raises RefusedError when it is too large or the durable queue is full."""
        try:
            return self._queued(message, qos)
        except RefusedError:
            self._tally.counts["refused"] += 1
            raise

    async def invoke(self, payload: bytes) -> bytes:
        """Call the handler and give its result. Raises RefusedError, FunctionError."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answer(result: bytes, error: FunctionError | None) -> None:
            if future.done():
                return  # its caller was cancelled
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._check_size(payload)
        event = Event(str(uuid.uuid4()), "", payload, self._clock.monotonic(), answer=answer)
        self._backlog.invoke(event)
        self._wake()
        return await future

    @property
    def readable(self) -> bool:
        """Whether the durable queue has events that are wanted in memory."""
        return self._unread and self._backlog.wants_stored

    async def read_ahead(self) -> None:
        """Read on in the durable queue. Raises StoreError."""
        self._unread = False
        self._reading = True
        try:
            rows = await self._queue.peek(self._last_read, READ_AHEAD, READ_AHEAD_BYTES)
        finally:
            self._reading = False
        for record, data in rows:
            self._last_read = record
            self._unread = True  # there may be more
            self._read(record, data)

    def _queued(self, message: Message, qos: int) -> Commit | None:
        self._check_size(message.payload)
        now = self._clock.monotonic()
        if qos == AT_MOST_ONCE:
            self._backlog.offer(_event(message, qos, now))
            self._wake()
            return None
        record, commit = self._queue.append(pack(self._run, now, qos, message))
        commit.when_done(partial(self._stored, _event(message, qos, now, record)))
        return commit

    def _check_size(self, payload: bytes) -> None:
        if len(payload) > self._max_payload:
            raise RefusedError(
                f"{self._principal} takes events of at most {self._max_payload} bytes, found {len(payload)}"
            )

    def _read(self, record: int, data: bytes) -> None:
        try:
            message, qos, arrived = unpack(data, self._run, self._run_started)
        except StoreError as error:
            self._tally.counts["unreadable"] += 1
            self._tally.report(f"an event of the queue is dropped: {error}")
            self._queue.ack([record])
            return
        self._backlog.store(_event(message, qos, arrived, record))

    def _stored(self, event: Event, error: Exception | None) -> None:
        """The commit of an event. Commits come in order: one that is next in line need not be read back."""
        assert event.record is not None
        if error is not None or event.record <= self._last_read:
            return
        if self._unread or self._reading or self._backlog.stored_count >= READ_AHEAD:
            self._unread = True
        else:
            self._last_read = event.record
            self._backlog.store(event)
        self._wake()


def _event(message: Message, qos: int, arrived: float, record: int | None = None) -> Event:
    return Event(
        str(uuid.uuid4()), message.topic, message.payload, arrived, qos, record, expires_at=message.expires_at
    )
