"""QoS 1 and 2 towards one client: packet identifiers, the in-flight window, the queue behind it.

`Sending` is what a ServerSession asks of whatever keeps them; `Outbound` keeps them for as long as the
connection lasts. Overflow rule of its queue: the oldest is dropped and counted. Knows no bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.message import Message
from edgecore.mqtt.packets import NAMES, PUBACK, PUBCOMP, PUBREC
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.runs import AckedRun, renumbered

MAX_PACKET_ID: Final = 0xFFFF
# What a queued message costs beside its topic and payload: the record, the deque's slot.
QUEUED_OVERHEAD: Final = 200

FIRST_ANSWER: Final = {1: PUBACK, 2: PUBREC}


class Outgoing(NamedTuple):
    """What goes to the client next: a PUBLISH, or, where `message` is None, a PUBREL that is owed.

    `identifiers` are those of the subscriptions.
    """

    packet_id: int
    message: Message | None
    qos: int
    retain: bool
    dup: bool = False
    identifiers: tuple[int, ...] = ()


class Release(Enum):
    """What a PUBREC calls for."""

    NOW = "now"  # PUBREL at once
    LATER = "later"  # PUBREL when it is durable that the client has the message
    FAILED = "failed"  # nothing: the client did not take it
    UNKNOWN = "unknown"  # nothing with that identifier is in flight


class Sending(Protocol):
    """The messages at QoS 1 and 2 of one client."""

    @property
    def in_flight(self) -> int:
        """How many the client has not fully acknowledged."""
        ...

    @property
    def queued(self) -> int:
        """How many wait for a place in flight."""
        ...

    @property
    def held_bytes(self) -> int:
        """What those that wait take in memory."""
        ...

    @property
    def open(self) -> bool:
        """Whether there is a place in flight."""
        ...

    @property
    def dropped(self) -> int:
        """How many the client will not get."""
        ...

    def next(self, now: float) -> Outgoing | None:
        """What goes out next, in flight from now on; None when nothing can. `now`: wall time."""
        ...

    def next_frames(self, protocol: int, now: float, most: int) -> tuple[bytes, int] | None:
        """Whole packets that go out next, at most so many bytes, and their number; None: ask `next`."""
        ...

    def finish_run(self, ids: Sequence[int]) -> bool:
        """Take PUBACKs, if each is one that is due; else False."""
        ...

    def give_up(self, packet_id: int) -> None:
        """Drop what `next` or `begin` has just put in flight: it cannot be sent."""
        ...

    def finished(self, packet_id: int, packet_type: int) -> bool:
        """Take a PUBACK or PUBCOMP; False when nothing with that id is in flight."""
        ...

    def received(self, packet_id: int, failed: bool) -> Release:
        """Take a PUBREC."""
        ...


class _Waiting(NamedTuple):
    message: Message
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    share: str


class _WaitingRun:
    """Packets of a run of QoS 1 that wait: from `position` on, each of `cost` bytes to the queue's bound."""

    __slots__ = ("cost", "frames", "position", "run")

    def __init__(self, run: AckedRun, frames: bytes) -> None:
        self.run = run
        self.frames = frames
        self.position = 0
        self.cost = run.size + QUEUED_OVERHEAD


class Outbound:
    """What the client still has to acknowledge, and what waits for a place in the window.

    `queued`: how many wait. An attribute, because it is looked at for every message.
    """

    __slots__ = (
        "_acks",
        "_awaited",
        "_bytes",
        "_last_id",
        "_max_bytes",
        "_max_messages",
        "_shared",
        "_window",
        "dropped",
        "queued",
        "waiting",
    )

    def __init__(self, window: int, max_messages: int, max_bytes: int) -> None:
        self._window = window
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._acks: set[int] = set()  # packet ids that a PUBACK answers
        self._awaited: dict[int, int] = {}  # those of QoS 2 -> the packet type that answers next
        self._shared: dict[int, tuple[str, Message, int]] = {}  # what another member may get in our place
        self._last_id = 0
        self._bytes = self.queued = 0
        self.waiting: deque[_Waiting | _WaitingRun] = deque()
        self.dropped = 0

    @property
    def in_flight(self) -> int:
        """How many messages the client has not fully acknowledged."""
        return len(self._acks) + len(self._awaited)

    @property
    def held_bytes(self) -> int:
        """What those that wait take in memory."""
        return self._bytes

    @property
    def open(self) -> bool:
        """Whether the window has a place."""
        return len(self._acks) + len(self._awaited) < self._window

    def begin(self, qos: int) -> int:
        """Take a place in the window: the packet identifier to send with (5, 2.2.1)."""
        acks, awaited = self._acks, self._awaited
        packet_id = self._last_id
        while True:
            packet_id = packet_id + 1 if packet_id < MAX_PACKET_ID else 1
            if packet_id not in acks and packet_id not in awaited:
                break
        self._last_id = packet_id
        if qos == 1:
            acks.add(packet_id)
        else:
            awaited[packet_id] = PUBREC
        return packet_id

    def run_room(self, number: int) -> int:
        """How many of `number` messages may be put in flight at once, by `begin_run`."""
        if self._last_id >= MAX_PACKET_ID:
            self._last_id = 0
        first = self._last_id + 1
        room = min(number, self._window - self.in_flight, MAX_PACKET_ID - self._last_id)
        ids = range(first, first + room)
        free = self._acks.isdisjoint(ids) and self._awaited.keys().isdisjoint(ids)
        return room if free else 0

    def begin_run(self, number: int) -> int:
        """Take that many places at QoS 1, as `run_room` allows: the first of identifiers in a row."""
        first = self._last_id + 1
        self._acks.update(range(first, first + number))
        self._last_id += number
        return first

    def finish_run(self, ids: Sequence[int]) -> bool:
        """Take PUBACKs, if each is one that is due; else False, and they are to be taken one by one."""
        if len(ids) == 1 and not self._shared:
            if ids[0] not in self._acks:
                return False
            self._acks.remove(ids[0])
            return True
        finished = set(ids)
        if self._shared or len(finished) != len(ids) or not finished <= self._acks:
            return False
        self._acks -= finished
        return True

    def push(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> None:
        """Queue a message; the oldest ones make room for it."""
        self.waiting.append(_Waiting(message, qos, retain, identifiers, share))
        self._bytes += _size(message)
        self.queued += 1
        self.keep_bounds()

    def push_run(self, run: AckedRun, frames: bytes) -> None:
        """Queue the packets of a run of QoS 1 as they are. `keep_bounds` is due once what can go has gone."""
        item = _WaitingRun(run, frames)
        self.waiting.append(item)
        self._bytes += item.cost * run.number
        self.queued += run.number

    def keep_bounds(self) -> None:
        """Drop the oldest messages that are too many."""
        while self.queued > self._max_messages or self._bytes > self._max_bytes:
            item = self.waiting[0]
            if isinstance(item, _WaitingRun):
                self._leave_run(item, 1)
            else:
                self._pop(item)
            self.dropped += 1

    def next(self, now: float) -> Outgoing | None:
        """The message that has waited longest, in flight from now on; those that have expired are dropped."""
        while self.waiting:
            item = self.waiting[0]
            if isinstance(item, _WaitingRun):
                return None  # `next_frames` has it
            self._pop(item)
            if item.message.expired(now):
                self.dropped += 1
                continue
            packet_id = self.begin(item.qos)
            if item.share:
                self.remember_share(packet_id, item.share, item.message, item.qos)
            return Outgoing(packet_id, item.message, item.qos, item.retain, identifiers=item.identifiers)
        return None

    def next_frames(self, _protocol: int, _now: float, most: int) -> tuple[bytes, int] | None:
        """The next packets of a run that waits, at most so many bytes; None when no run is next.

        Only runs of the client's own protocol version come in.
        """
        item = self.waiting[0] if self.waiting else None
        if not isinstance(item, _WaitingRun):
            return None
        run, start = item.run, item.position
        most = min(run.number - start, most // run.size)
        if most <= 0:
            return None
        number = self.run_room(most)
        first_id = self.begin_run(number) if number else self.begin(1)
        number = number or 1
        frames = item.frames[start * run.size : (start + number) * run.size]
        self._leave_run(item, number)
        return renumbered(frames, run.shorter(number), first_id), number

    def remember_share(self, packet_id: int, share: str, message: Message, qos: int) -> None:
        """Note that what is in flight under the id came by a shared subscription."""
        self._shared[packet_id] = share, message, qos

    def unfinished(self) -> Iterator[tuple[str, Message, int]]:
        """(shared subscription, message, qos) of what the client has not got, in order, now that it is gone.

        A QoS 2 message that was sent may have been received: it is nobody else's (5, 4.8.2-5).
        """
        for packet_id, (share, message, qos) in self._shared.items():
            if packet_id in self._acks:
                yield share, message, qos
        for item in self.waiting:
            if isinstance(item, _Waiting) and item.share:
                yield item.share, item.message, item.qos

    def give_up(self, packet_id: int) -> None:
        """Drop what was just put in flight; its identifier is the next one again."""
        self._end(packet_id)
        self._last_id = packet_id - 1
        self.dropped += 1

    def finished(self, packet_id: int, packet_type: int) -> bool:
        """Take a PUBACK or PUBCOMP; False when nothing with that id is in flight.

        Raises RemoteProtocolError when another answer is due (5, 4.3).
        """
        awaited = PUBACK if packet_id in self._acks else self._awaited.get(packet_id)
        if awaited is None:
            return False
        if awaited != packet_type:
            raise wrong_answer(packet_id, packet_type, awaited)
        self._end(packet_id)
        return True

    def received(self, packet_id: int, failed: bool) -> Release:
        """Take a PUBREC. A repeated one asks for a repeated PUBREL.

        Raises RemoteProtocolError when a PUBACK is due.
        """
        if packet_id in self._acks:
            raise wrong_answer(packet_id, PUBREC, PUBACK)
        if packet_id not in self._awaited:
            return Release.UNKNOWN
        if failed:
            self._end(packet_id)
            return Release.FAILED
        self._awaited[packet_id] = PUBCOMP
        return Release.NOW

    def _pop(self, item: _Waiting) -> None:
        """Take out the first, which is this one."""
        self.waiting.popleft()
        self._bytes -= _size(item.message)
        self.queued -= 1

    def _leave_run(self, item: _WaitingRun, number: int) -> None:
        """Take packets out of the first, which is this one."""
        item.position += number
        self._bytes -= item.cost * number
        self.queued -= number
        if item.position == item.run.number:
            self.waiting.popleft()

    def _end(self, packet_id: int) -> None:
        self._acks.discard(packet_id)
        self._awaited.pop(packet_id, None)
        if self._shared:
            self._shared.pop(packet_id, None)


def wrong_answer(packet_id: int, found: int, expected: int) -> RemoteProtocolError:
    """The error for an acknowledgement of another QoS than the message's."""
    return RemoteProtocolError(
        ReasonCode.PROTOCOL_ERROR, f"{NAMES[found]} for packet {packet_id}, where {NAMES[expected]} is due"
    )


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload) + QUEUED_OVERHEAD
