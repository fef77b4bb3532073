"""What the cloud will never take, kept on disk with the reason, so that a person can look at it."""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.store import DurableQueue, MemoryQueue, decode_message
from edgecore.uplink.record import read_record

_log = logging.getLogger(__name__)

# How many `status` lists: the newest. All of them can be looked at with `look`.
LISTED: Final = 20
# One read.
READ_RECORDS: Final = 64
READ_BYTES: Final = 1024 * 1024
LONGEST_REASON: Final = 500
_TIME: Final = struct.Struct(">d")


@dataclass(frozen=True, slots=True)
class SetAside:
    """One message: why and when it was set aside, in epoch seconds. `topic`: "?" when it cannot be read."""

    reason: str
    time: float
    topic: str
    payload: bytes = b""


class Aside:
    """A bounded queue of messages that were set aside; the oldest gives way. `count`: by reason."""

    def __init__(self, queue: DurableQueue | MemoryQueue, clock: Clock, count: Callable[[str], int]) -> None:
        self._queue = queue
        self._clock = clock
        self._count = count
        self._listed: deque[SetAside] = deque(maxlen=LISTED)

    @property
    def number(self) -> int:
        """How many are kept."""
        return self._queue.count

    async def open(self) -> None:
        """Find what earlier runs set aside. Raises StoreError."""
        await self._queue.open()
        for one in await self.look():
            self._list(one)

    def put(self, topic: str, record: bytes, reason: str) -> Commit | None:
        """Keep a record of the outbox; the Commit, or None when it is only counted: it is above the bound."""
        reason = reason[:LONGEST_REASON].replace("\0", " ")
        if self._count(f"set aside: {reason}") == 1:
            _log.warning("a message on %s cannot go to the cloud and is set aside: %s", topic, reason)
        now = self._clock.now()
        try:
            _, commit = self._queue.append(reason.encode() + b"\0" + _TIME.pack(now) + record)
        except RefusedError:
            self._count("set aside: no room")
            return None
        self._list(SetAside(reason, now, topic))
        return commit

    def _list(self, one: SetAside) -> None:
        self._listed.append(SetAside(one.reason, one.time, one.topic))

    async def look(self) -> list[SetAside]:
        """All that is kept, the oldest first, with payloads: `aside_bytes` of memory at most."""
        found: list[SetAside] = []
        after = -1
        while records := await self._queue.peek(after, READ_RECORDS, READ_BYTES):
            found += [_read(record) for _, record in records]
            after = records[-1][0]
        return found

    def status(self) -> list[dict[str, object]]:
        """The newest, for `edgecore status`."""
        return [{"topic": one.topic, "reason": one.reason, "time": one.time} for one in self._listed]


def _read(kept: bytes) -> SetAside:
    reason, _, rest = kept.partition(b"\0")
    time = _TIME.unpack_from(rest)[0] if len(rest) >= _TIME.size else 0.0
    try:
        message = decode_message(read_record(rest[_TIME.size :])[1])
    except StoreError:
        return SetAside(reason.decode(errors="replace"), time, "?", rest[_TIME.size :])
    return SetAside(reason.decode(errors="replace"), time, message.topic, message.payload)
