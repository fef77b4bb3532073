"""What the cloud will never take, kept on disk with the reason, until a person sends it again or drops it."""

from __future__ import annotations

import logging
import re
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import OutboxError, PermanentCloudError, RefusedError, StoreError
from edgecore.base.interfaces import AsideOutcome, SetAside
from edgecore.store import IDS_PER_OPENING, DurableQueue, MemoryQueue, Slot, decode_message, durable
from edgecore.uplink.record import read_record

_log = logging.getLogger(__name__)

# How many `status` lists: the newest. `edgecore outbox list` shows all of them.
LISTED: Final = 20
# How many `edgecore outbox list` shows at a time.
PAGE: Final = 100
# One read.
READ_RECORDS: Final = 64
READ_BYTES: Final = 1024 * 1024
LONGEST_REASON: Final = 500
# Why nothing was done to a message.
GONE: Final = "it is not set aside: `edgecore outbox list` shows what is"
_NOT_RETRIED: Final = (OutboxError, PermanentCloudError, RefusedError, StoreError)
_BEFORE_ALL: Final = -1
# Ids are SQLite's integers, of 63 bits.
_OPENINGS: Final = 2**63 // IDS_PER_OPENING
_TIME: Final = struct.Struct(">d")
# An id is that of the queue in two numbers, which a person can copy: the opening, and which one of it.
_NAME: Final = re.compile(r"(\d{1,6})-(\d{1,14})", re.ASCII)

# Puts a record into the outbox, out of its place here. Raises StoreError, PermanentCloudError, RefusedError.
PutBack = Callable[[bytes, Slot], Commit]


def name_of(identifier: int) -> str:
    """The name of a record for operators."""
    opening, number = divmod(identifier, IDS_PER_OPENING)
    return f"{opening}-{number}"


def identifier_of(name: str) -> int:
    """The id of a record by its name. Raises OutboxError for what is no name."""
    found = _NAME.fullmatch(name)
    if found is None or int(found[1]) >= _OPENINGS or int(found[2]) >= IDS_PER_OPENING:
        raise OutboxError(f"{name!r} is no message's id: expected one as 3-17, from `edgecore outbox list`")
    return int(found[1]) * IDS_PER_OPENING + int(found[2])


class Aside:
    """A bounded queue of messages that were set aside; the oldest gives way. `count`: by reason."""

    def __init__(self, queue: DurableQueue | MemoryQueue, clock: Clock, count: Callable[[str], int]) -> None:
        self._queue = queue
        self._clock = clock
        self._count = count
        self._listed: deque[SetAside] = deque(maxlen=LISTED)
        self._newest = _BEFORE_ALL
        self._leaving: set[int] = set()  # on their way into the outbox: no other command may touch them

    @property
    def number(self) -> int:
        """How many are kept."""
        return self._queue.count

    async def open(self) -> None:
        """Find what earlier runs set aside. Raises StoreError."""
        await self._queue.open()
        for one in await self.look():
            self._list(one)
            self._newest = identifier_of(one.id)

    def put(self, topic: str, record: bytes, reason: str) -> Commit | None:
        """Keep a record of the outbox; the Commit, or None when it is only counted: it is above the bound."""
        reason = reason[:LONGEST_REASON].replace("\0", " ")
        if self._count(f"set aside: {reason}") == 1:
            _log.warning("a message on %s cannot go to the cloud and is set aside: %s", topic, reason)
        now = self._clock.now()
        try:
            identifier, commit = self._queue.append(reason.encode() + b"\0" + _TIME.pack(now) + record)
        except RefusedError:
            self._count("set aside: no room")
            return None
        self._newest = identifier
        self._list(SetAside(reason, now, topic, id=name_of(identifier)))
        return commit

    def _list(self, one: SetAside) -> None:
        self._listed.append(replace(one, payload=b""))

    # -- what a person asks

    async def look(self) -> list[SetAside]:
        """All that is kept, the oldest first, with payloads: `aside_bytes` of memory at most."""
        return [_read(*each) async for records in self._all() for each in records]

    async def page(self, after: str = "", limit: int = PAGE) -> list[SetAside]:
        """At most `limit`, the oldest first, from behind the one named `after`. Raises OutboxError."""
        found: list[SetAside] = []
        async for records in self._all(identifier_of(after) if after else _BEFORE_ALL):
            found += [_read(*each) for each in records[: limit - len(found)]]
            if len(found) >= limit:
                break
        return found

    async def find(self, name: str) -> SetAside:
        """One by its name. Raises OutboxError."""
        records = await self._one(identifier_of(name))
        if not records:
            raise OutboxError(f"message {name}: {GONE}")
        return _read(*records[0])

    async def drop(self, names: Sequence[str] | None) -> AsideOutcome:
        """Give up those that are named, or all. Raises OutboxError, StoreError."""
        wanted = await self._wanted(names)
        chosen = [identifier for identifier in wanted if self._is_free(identifier)]
        left = {name_of(identifier): GONE for identifier in wanted if not self._is_free(identifier)}
        await durable(self._queue.ack(chosen))
        await self._list_anew()
        return AsideOutcome(len(chosen), left)

    async def retry(self, names: Sequence[str] | None, put_back: PutBack) -> AsideOutcome:
        """Put those that are named, or all that are here now, into the outbox again. Raises OutboxError."""
        wanted = await self._wanted(names)
        left: dict[str, str] = {}
        for start in range(0, len(wanted), READ_RECORDS):
            commits = {}
            for identifier in wanted[start : start + READ_RECORDS]:
                try:
                    commits[identifier] = await self._leave(identifier, put_back)
                except _NOT_RETRIED as error:
                    left[name_of(identifier)] = str(error)
            for identifier, commit in commits.items():
                try:
                    await durable(commit)
                except StoreError as error:  # it is here as it was
                    left[name_of(identifier)] = str(error)
        await self._list_anew()
        return AsideOutcome(len(wanted) - len(left), left)

    async def _leave(self, identifier: int, put_back: PutBack) -> Commit:
        """Let one go back; from here to its Commit no other command finds it."""
        records = await self._one(identifier)
        slot = self._queue.slot(identifier)
        if not records or slot is None or not self._is_free(identifier):
            raise OutboxError(GONE)
        commit = put_back(_split(records[0][1])[2], slot)
        self._leaving.add(identifier)
        commit.when_done(lambda _: self._leaving.discard(identifier))
        return commit

    def _is_free(self, identifier: int) -> bool:
        return identifier in self._queue and identifier not in self._leaving

    async def _wanted(self, names: Sequence[str] | None) -> list[int]:
        """The ids, each once. None: of all that are here now; what comes back meanwhile is not among them."""
        if names is not None:
            return list(dict.fromkeys(identifier_of(name) for name in names))
        newest = self._newest
        return [each async for records in self._all() for each, _ in records if each <= newest]

    async def _list_anew(self) -> None:
        """List the newest of what is left: those that were listed may have gone."""
        found = await self.look()
        last = identifier_of(found[-1].id) if found else _BEFORE_ALL
        # Set aside while it was read.
        later = [one for one in self._listed if self._is_here(one) and identifier_of(one.id) > last]
        self._listed.clear()
        for one in (*found[-LISTED:], *later):
            self._list(one)

    async def _all(self, after: int = _BEFORE_ALL) -> AsyncIterator[list[tuple[int, bytes]]]:
        while records := await self._queue.peek(after, READ_RECORDS, READ_BYTES):
            yield records
            after = records[-1][0]

    async def _one(self, identifier: int) -> list[tuple[int, bytes]]:
        records = await self._queue.peek(identifier - 1, 1, READ_BYTES)
        return [each for each in records if each[0] == identifier]

    def status(self) -> list[dict[str, object]]:
        """The newest, for `edgecore status`."""
        return [
            {"id": one.id, "topic": one.topic, "reason": one.reason, "time": one.time}
            for one in self._listed
            if self._is_here(one)
        ]

    def _is_here(self, one: SetAside) -> bool:
        return identifier_of(one.id) in self._queue


def _split(kept: bytes) -> tuple[str, float, bytes]:
    """The reason, the time, and the record of the outbox."""
    reason, _, rest = kept.partition(b"\0")
    time = _TIME.unpack_from(rest)[0] if len(rest) >= _TIME.size else 0.0
    return reason.decode(errors="replace"), time, rest[_TIME.size :]


def _read(identifier: int, kept: bytes) -> SetAside:
    reason, time, record = _split(kept)
    name = name_of(identifier)
    try:
        came_at, encoded = read_record(record)
        message = decode_message(encoded)
    except StoreError:
        return SetAside(reason, time, "?", record, name)
    return SetAside(
        reason, time, message.topic, message.payload, name, came_at, message.qos, message.sender.id
    )
