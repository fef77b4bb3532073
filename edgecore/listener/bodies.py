"""What a row of a session holds: one message, or a run of QoS 1 packets as their publisher sent them. Pure.

A run is kept as its bytes: written, read and sent on in one piece, whatever the number of its messages.
"""

from __future__ import annotations

from typing import Final

import msgspec

from edgecore.base.errors import StoreError
from edgecore.base.identity import Kind, Principal
from edgecore.base.message import AT_LEAST_ONCE, Message
from edgecore.listener.records import read_message
from edgecore.mqtt.packets import V5
from edgecore.mqtt.runs import AckedRun, renumbered

VERSION: Final = 1

# Messages in one row: a hundred share what a row costs well enough, and go again together after a crash.
MAX_RUN: Final = 128

# A row's flags: the QoS in two bits, RETAIN, whether it is a run, its messages less one in seven bits, and
# whether it came by a shared subscription.
QOS: Final = 3
RETAIN: Final = 4
RUN: Final = 8
COUNT_SHIFT: Final = 4
_COUNT: Final = MAX_RUN - 1
SHARED: Final = 0x800


class _RunRecord(msgspec.Struct, array_like=True, frozen=True):
    version: int
    sender: tuple[Kind, str, str]
    topic: str
    protocol: int
    size: int
    id_offset: int
    frames: bytes


_encoder: Final = msgspec.msgpack.Encoder()
_runs: Final = msgspec.msgpack.Decoder(_RunRecord)


def count_of(flags: int) -> int:
    """How many messages a row with these flags holds."""
    return (flags >> COUNT_SHIFT & _COUNT) + 1


def is_row(packet_id: int, flags: int) -> bool:
    """Whether these can be a row's: a bit may have flipped on the disk."""
    if flags & RUN:
        possible = 1 | RUN | _COUNT << COUNT_SHIFT
        return packet_id != 0 and flags & QOS == 1 and flags | possible == possible
    return packet_id != 0 and flags & QOS in (1, 2) and flags & ~(QOS | RETAIN | SHARED) == 0


class Single:
    """One message, with the identifiers of the subscriptions that it came by and its share group."""

    __slots__ = ("identifiers", "message", "rows_version", "share")

    def __init__(self, message: Message, identifiers: tuple[int, ...], share: str, rows_version: int) -> None:
        self.message = message
        self.identifiers = identifiers
        self.share = share
        self.rows_version = rows_version

    @property
    def sample(self) -> Message:
        """A message whose sender, topic and life are those of all in the row."""
        return self.message

    def at(self, _index: int) -> Message:
        """The message."""
        return self.message


class Run:
    """Messages of one sender on one topic. `frames`: packets of `protocol`, each of `size` bytes."""

    __slots__ = ("_run", "frames", "identifiers", "protocol", "rows_version", "sample", "share")

    def __init__(
        self,
        sender: Principal,
        topic: str,
        protocol: int,
        run: AckedRun,
        frames: bytes,
        rows_version: int,
    ) -> None:
        self._run = run
        self.frames = frames
        self.protocol = protocol
        self.rows_version = rows_version
        self.sample = Message(topic, b"", AT_LEAST_ONCE, sender)
        self.identifiers: tuple[int, ...] = ()
        self.share = ""

    @property
    def packet_bytes(self) -> int:
        """How many bytes each packet has."""
        return self._run.size

    def at(self, index: int) -> Message:
        """One message of the run."""
        run, sample = self._run, self.sample
        start = index * run.size
        payload = start + run.id_offset + 2 + (self.protocol == V5)
        return Message(sample.topic, self.frames[payload : start + run.size], AT_LEAST_ONCE, sample.sender)

    def part(self, index: int, number: int, first_id: int) -> bytes:
        """`number` packets from `index` on, under identifiers from `first_id` on."""
        size = self._run.size
        frames = self.frames[index * size : (index + number) * size]
        return renumbered(frames, self._run._replace(number=number), first_id)


Body = Single | Run


def run_bytes(sender: Principal, topic: str, protocol: int, run: AckedRun, frames: bytes) -> bytes:
    """A run as a row keeps it."""
    who = sender.kind, sender.name, sender.thing
    return _encoder.encode(_RunRecord(VERSION, who, topic, protocol, run.size, run.id_offset, frames))


def read_body(flags: int, record: bytes, extra: bytes | None) -> Body:
    """What a row holds. Raises StoreError for one that cannot be read."""
    if not flags & RUN:
        return Single(*read_message(record, extra), rows_version=0)
    try:
        found = _runs.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"a stored run of messages cannot be read: {error}") from error
    number = count_of(flags)
    plausible = 4 < found.id_offset + 2 <= found.size and found.size * number == len(found.frames)
    if found.version != VERSION or not plausible:
        raise StoreError(f"a stored run of {number} messages has another layout than this edgecore knows")
    run = AckedRun(b"", 0, len(found.frames), number, found.size, found.id_offset, b"", b"")
    return Run(Principal(*found.sender), found.topic, found.protocol, run, found.frames, rows_version=0)
