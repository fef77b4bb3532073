"""QoS 1 and 2 towards a client whose session outlives its connection (mqtt's Sending). Pure.

Every message is in a row on the disk, with its packet identifier, from the moment that it is accepted until
the client has acknowledged it. In memory is what is on its way, some bodies ahead, and 16 bytes for each
other row.

    row written --sent--> in flight --PUBACK, PUBCOMP--> row erased
         |                    | PUBREC: row released, then PUBREL
         '--bound, expiry, route gone--> erased and counted

QoS 1 goes out at once. QoS 2 goes out after the commit that holds its identifier, and its PUBREL after the
commit that says that the client has it: what is repeated after a crash is what the client can recognise. A
run of QoS 1 packets is one row and goes out in as few pieces as the window allows.

A QoS 2 message that is given up after it was sent, or may have been, is withdrawn: its body goes, and a
PUBREL frees its identifier at the client, who would else take a later message under it for a repeated one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Final

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.identity import Principal
from edgecore.base.message import Message
from edgecore.listener.backlog import Backlog, Entry
from edgecore.listener.bodies import (
    COUNT_SHIFT,
    QOS,
    RETAIN,
    RUN,
    SHARED,
    Body,
    Run,
    Single,
    count_of,
    run_bytes,
)
from edgecore.listener.body_cache import BodyCache
from edgecore.listener.flight import Flight
from edgecore.listener.packet_ids import PacketIds
from edgecore.listener.pool import Pool
from edgecore.listener.records import extra_bytes, message_bytes
from edgecore.listener.shelf import Bounds, Permission, Shelf
from edgecore.mqtt.outbound import Outgoing, Release, wrong_answer
from edgecore.mqtt.packets import PUBACK, PUBCOMP, PUBREC
from edgecore.mqtt.runs import AckedRun
from edgecore.store import StoredRow

# What a row costs beside its bytes: its columns on the disk, its entry here.
ROW_OVERHEAD: Final = 32

# Why messages were not delivered, as counted.
OVERFLOW: Final = "overflow"
EXPIRED: Final = "expired"
NOT_ALLOWED: Final = "not-allowed"
TOO_LARGE: Final = "too-large"
UNREADABLE: Final = "unreadable"
FAILED: Final = "failed"


class _Unconfirmed:
    """Rows whose commit is under way: ids `first` to `last`."""

    __slots__ = ("commit", "first", "last")

    def __init__(self, commit: Commit, first: int) -> None:
        self.commit = commit
        self.first = self.last = first


class StoredOutbound:
    """The messages of one kept session. `changed` is called when there may be something more to send.

    `released(packet_id)` is called when a PUBREL may go out. Overflow rule: the oldest row of which nothing
    was sent is dropped, and its messages are counted in `lost` by reason. `sent_to`: the last row that was
    ever sent, or may have been.
    """

    __slots__ = (
        "_attached",
        "_backlog",
        "_bodies",
        "_bounds",
        "_changed",
        "_current",
        "_durable_to",
        "_flight",
        "_key",
        "_known",
        "_known_to",
        "_packet_ids",
        "_permission",
        "_pool",
        "_released",
        "_resend",
        "_shelf",
        "_unconfirmed",
        "_window",
        "lost",
        "sent_to",
    )

    def __init__(
        self,
        shelf: Shelf,
        key: int,
        bounds: Bounds,
        pool: Pool,
        permission: Permission,
        changed: Callable[[], None],
        released: Callable[[int], None],
    ) -> None:
        self._shelf = shelf
        self._key = key
        self._bounds = bounds
        self._pool = pool
        self._permission = permission
        self._changed = changed
        self._released = released
        self._backlog = Backlog()
        self._bodies = BodyCache(shelf, changed)
        self._resend: deque[Flight] = deque()
        self._current: Flight | None = None  # the row that is being sent: its body is in the cache
        self._flight: dict[int, Flight] = {}
        self._packet_ids = PacketIds(self._outstanding)
        self._durable_to = 0
        self._unconfirmed: _Unconfirmed | None = None
        self._known = self._known_to = 0  # of QoS 2 rows that the client may know: how many, the last one
        self._window = 0
        self._attached = False
        self.lost: Counter[str] = Counter()
        self.sent_to = 0
        pool.join(self)

    # What is known --------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many messages the client has not fully acknowledged."""
        return len(self._flight)

    @property
    def queued(self) -> int:
        """How many wait for a place in flight; of rows that were sent in part, the row."""
        return self._backlog.messages + len(self._resend) + (self._current is not None)

    @property
    def held_bytes(self) -> int:
        """What those that wait take in memory: the bodies of a few, the others are on the disk."""
        return self._bodies.bytes

    @property
    def open(self) -> bool:
        """Whether there is a place in flight."""
        return len(self._flight) < self._window

    @property
    def waiting_bytes(self) -> int:
        """What those take that may give way (pool's Queue)."""
        return self._backlog.bytes

    @property
    def dropped(self) -> int:
        """How many messages the client will not get."""
        return self.lost.total()

    def rows(self) -> list[int]:
        """The ids of all rows."""
        return [each.entry.id for each in self._begun()] + [entry.id for entry in self._backlog]

    def _begun(self) -> list[Flight]:
        """The rows of which something was sent on this connection or an earlier one, each once, in order."""
        current = () if self._current is None else (self._current,)
        return sorted({*self._flight.values(), *self._resend, *current}, key=_row_id)

    # From the disk, and from one connection to the next -------------------------------------------

    def restore(self, row: StoredRow, *, sent: bool) -> None:
        """Take a row that an earlier run left; call in the order of ids. `sent`: it may have been."""
        size = row.size + ROW_OVERHEAD
        entry = Entry(row.id, size, row.packet_id, row.flags)
        self._pool.bytes += size
        self._packet_ids.start_after(row.packet_id + count_of(row.flags) - 1)
        self._durable_to = row.id
        if sent:
            self.sent_to = row.id
        if row.released:
            self._resend.append(Flight(entry, again=True, released=True))
            return
        self._backlog.append(entry)
        if sent and row.flags & QOS == 2 and self._known < self._bounds.window:
            self._known, self._known_to = self._known + 1, row.id

    def attach(self, window: int) -> None:
        """Begin to send on a new connection, `window` messages at a time."""
        self._window = window
        self._attached = True

    def detach(self) -> None:
        """Note that the connection is gone: what was in flight goes first on the next (5, 4.4)."""
        self._resend = deque(self._begun())
        for flight in self._resend:
            flight.start_again()
        self._flight.clear()
        self._current = None
        self._bodies.clear()
        self._attached = False

    def clear(self) -> tuple[list[int], list[Entry]]:
        """Let go of everything, for good. Gives (rows, what another member of a share may have in our place).

        Of QoS 2 not what was sent, or may have been (5, 4.8.2-5). What is for others stays in the pool.
        """
        begun = [each.entry for each in self._begun()]
        for_others = [each for each in begun if each.flags & QOS == 1 and each.flags & SHARED]
        unsent = (each for each in self._backlog if each.flags & QOS == 1 or each.id > self._known_to)
        for_others += (each for each in unsent if each.flags & SHARED)
        theirs = {each.id for each in for_others}
        rows = [row for row in self.rows() if row not in theirs]
        self._pool.leave(self)
        self._pool.bytes -= self._backlog.bytes + sum(each.size for each in begun)
        self._pool.bytes += sum(each.size for each in for_others)
        self.detach()
        self._resend.clear()
        self._backlog = Backlog()
        return rows, for_others

    # Messages in ----------------------------------------------------------------------------------

    def push(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> Commit:
        """Keep a message for the client; the oldest ones make room. Raises RefusedError."""
        record, extra = message_bytes(message), extra_bytes(identifiers, share)
        self._make_room(len(record) + len(extra or b"") + ROW_OVERHEAD, 1)
        flags = qos | (RETAIN if retain else 0) | (SHARED if share else 0)
        entry, commit = self._insert(self._packet_ids.next(), flags, record, extra)
        if self._attached:
            body = Single(message, identifiers, share, self._permission.rows_version)
            self._bodies.offer(entry.id, body, entry.size)
        return commit

    def push_run(
        self, sender: Principal, topic: str, protocol: int, run: AckedRun, frames: bytes
    ) -> Commit | None:
        """Keep a run of QoS 1 packets in one row; None: keep them one by one. Raises RefusedError."""
        if run.number > self._bounds.records:
            return None
        record = run_bytes(sender, topic, protocol, run, frames)
        self._make_room(len(record) + ROW_OVERHEAD, run.number)
        packet_id = self._packet_ids.next_run(run.number)
        if not packet_id:
            return None
        flags = 1 | RUN | run.number - 1 << COUNT_SHIFT
        entry, commit = self._insert(packet_id, flags, record, None)
        if self._attached:
            body = Run(sender, topic, protocol, run, frames, self._permission.rows_version)
            self._bodies.offer(entry.id, body, entry.size)
        return commit

    def _insert(self, packet_id: int, flags: int, record: bytes, extra: bytes | None) -> tuple[Entry, Commit]:
        row, commit = self._shelf.insert(self._key, packet_id, flags, record, extra)
        entry = Entry(row, len(record) + len(extra or b"") + ROW_OVERHEAD, packet_id, flags)
        self._backlog.append(entry)
        self._pool.bytes += entry.size
        self._confirm_later(commit, row)
        return entry, commit

    def _make_room(self, size: int, messages: int) -> None:
        bounds, backlog = self._bounds, self._backlog
        if size > bounds.bytes:
            self.lost[TOO_LARGE] += messages
            raise RefusedError(f"a message of {size} bytes is above the bound of a session, {bounds.bytes}")
        while len(backlog) and (
            backlog.messages + messages > bounds.records or backlog.bytes + size > bounds.bytes
        ):
            self.give_way()
        if not self._pool.make_room(size):
            raise RefusedError(
                f"a message of {size} bytes finds no room: listener.sessions_bytes is {self._pool.limit}, "
                f"and what is on its way to clients takes {self._pool.bytes}"
            )

    def give_way(self) -> None:
        """Drop the row that has waited longest (pool's Queue)."""
        self._give_up(self._backlog.pop(), OVERFLOW)

    def _confirm_later(self, commit: Commit, row: int) -> None:
        batch = self._unconfirmed
        if batch is not None and batch.commit is commit:
            batch.last = row
            return
        self._unconfirmed = batch = _Unconfirmed(commit, row)
        commit.when_done(partial(self._confirmed, batch))

    def _confirmed(self, batch: _Unconfirmed, error: Exception | None) -> None:
        if self._unconfirmed is batch:
            self._unconfirmed = None
        if error is None:
            self._durable_to = max(self._durable_to, batch.last)
        else:
            for entry in self._backlog.remove(lambda row: batch.first <= row <= batch.last):
                self._drop(entry, FAILED)
        if self._attached and len(self._backlog):
            self._changed()

    # Messages out ---------------------------------------------------------------------------------

    def next(self, now: float) -> Outgoing | None:
        """What goes out next, in flight from now on; None when nothing can. `now`: wall time."""
        flight = self._current or self._open_row(now)
        if flight is None:
            return None
        first_id = flight.entry.packet_id
        if flight.released:
            flight.position = 1
            self._advance(flight, first_id, 1)
            return Outgoing(first_id, None, 2, retain=False)
        body = self._bodies.get(flight.entry.id)
        assert body is not None
        index = flight.take()
        self._advance(flight, first_id + index, 1)
        flags = flight.entry.flags
        retain = bool(flags & RETAIN)
        message = body.at(index)
        return Outgoing(first_id + index, message, flags & QOS, retain, flight.again, body.identifiers)

    def next_frames(self, protocol: int, now: float, most: int) -> tuple[bytes, int] | None:
        """The next packets in one piece and their number, where they are a run that can go as it came.

        Not above `most` bytes. None when `next` must be asked instead, or nothing can go.
        """
        flight = self._current or self._open_row(now)
        if flight is None or flight.again or not flight.entry.flags & RUN:
            return None
        body = self._bodies.get(flight.entry.id)
        if not isinstance(body, Run) or body.protocol != protocol:
            return None
        number = min(
            flight.count - flight.position, self._window - len(self._flight), most // body.packet_bytes
        )
        if number <= 0:
            return None
        first_id = flight.entry.packet_id + flight.position
        frames = body.part(flight.position, number, first_id)
        flight.position += number
        self._advance(flight, first_id, number)
        return frames, number

    def _advance(self, flight: Flight, first_id: int, number: int) -> None:
        """Note that messages of a row are in flight."""
        self.sent_to = max(self.sent_to, flight.entry.id)
        if number == 1:
            self._flight[first_id] = flight
        else:
            self._flight.update(dict.fromkeys(range(first_id, first_id + number), flight))
        self._current = None if flight.sent else flight
        if flight.sent:
            self._bodies.drop(flight.entry.id)

    def _open_row(self, now: float) -> Flight | None:
        """Begin with the next row that may go; None when none can now."""
        while self._resend:
            flight = self._resend[0]
            if not flight.released:
                if not self._has_body(flight.entry):
                    return None
                # Its life is not looked at again: its delivery has begun (5, 3.3.2.3.3).
                reason = self._objection(self._bodies.get(flight.entry.id), None)
                if reason:
                    self._resend.popleft()
                    self._give_up(flight.entry, reason, again=True)
                    continue
            self._current = self._resend.popleft()
            return flight
        backlog = self._backlog
        while len(backlog):
            entry = backlog.first()
            if (entry.flags & QOS == 2 and entry.id > self._durable_to) or not self._has_body(entry):
                return None
            backlog.pop()
            reason = self._objection(self._bodies.get(entry.id), now)
            if not reason:
                self._current = Flight(entry, again=entry.id <= self.sent_to)
                return self._current
            self._give_up(entry, reason)
        return None

    def _has_body(self, entry: Entry) -> bool:
        if entry.id in self._bodies:
            return True
        again = (each.entry for each in self._resend if not each.released)
        self._bodies.load(chain(again, self._backlog))
        return False

    def _objection(self, body: Body | None, now: float | None) -> str:
        """Why a row is not sent any more, or ""."""
        if body is None:
            return UNREADABLE
        if now is not None and body.sample.expired(now):
            return EXPIRED
        current = self._permission.rows_version
        if body.rows_version != current and not self._permission.permits(body.sample):
            return NOT_ALLOWED
        return ""

    def give_up(self, packet_id: int) -> None:
        """Drop what was just put in flight: the client takes no packets of its size."""
        flight = self._flight[packet_id]
        if flight.count > 1:
            self.lost[TOO_LARGE] += 1
            self._finish(packet_id)
        else:
            del self._flight[packet_id]
            self._give_up(flight.entry, TOO_LARGE, again=flight.again)

    # Acknowledgements -----------------------------------------------------------------------------

    def finished(self, packet_id: int, packet_type: int) -> bool:
        """Take a PUBACK or PUBCOMP; False when nothing with that id is in flight.

        Raises RemoteProtocolError when another answer is due (5, 4.3).
        """
        flight = self._flight.get(packet_id)
        if flight is None:
            return False
        if flight.awaited != packet_type:
            raise wrong_answer(packet_id, packet_type, flight.awaited)
        self._finish(packet_id)
        return True

    def finish_run(self, ids: Sequence[int]) -> bool:
        """Take PUBACKs, if each is one that is due; else False, and they are to be taken one by one."""
        flights = self._flight
        if len(set(ids)) != len(ids):
            return False
        for packet_id in ids:
            flight = flights.get(packet_id)
            if flight is None or flight.awaited != PUBACK:
                return False
        for packet_id in ids:
            self._finish(packet_id)
        return True

    def received(self, packet_id: int, failed: bool) -> Release:
        """Take a PUBREC. Raises RemoteProtocolError when a PUBACK is due."""
        flight = self._flight.get(packet_id)
        if flight is None:
            return Release.UNKNOWN
        if flight.awaited == PUBACK:
            raise wrong_answer(packet_id, PUBREC, flight.awaited)
        if flight.released:
            return Release.NOW
        if failed:
            self._finish(packet_id)
            return Release.FAILED
        if not flight.releasing:
            self._release(flight)
        return Release.LATER

    def _release(self, flight: Flight) -> None:
        """Let the disk forget the body, and then the client hear PUBREL."""
        flight.releasing = True
        self._shelf.release(flight.entry.id).when_done(partial(self._is_released, flight))

    def _is_released(self, flight: Flight, error: Exception | None) -> None:
        flight.releasing = False
        if error is not None:
            return  # the database is gone, and the process with it
        flight.released = True
        flight.awaited = PUBCOMP
        if self._flight.get(flight.entry.packet_id) is flight:
            self._released(flight.entry.packet_id)

    def _finish(self, packet_id: int) -> None:
        flight = self._flight.pop(packet_id)
        if flight.count == 1 or flight.finish(packet_id):
            self._erase(flight.entry)

    # Rows -----------------------------------------------------------------------------------------

    def _give_up(self, entry: Entry, reason: str, *, again: bool = False) -> None:
        """Drop a row, or withdraw it when the client may know its identifier. `again`: it was sent."""
        if entry.flags & QOS == 2 and (again or entry.id <= self._known_to):
            self._withdraw(entry, reason)
        else:
            self._drop(entry, reason)

    def _withdraw(self, entry: Entry, reason: str) -> None:
        self.lost[reason] += 1
        self._bodies.drop(entry.id)
        self._pool.bytes -= entry.size - ROW_OVERHEAD
        flight = Flight(entry._replace(size=ROW_OVERHEAD))
        if self._attached:
            self._flight[entry.packet_id] = flight
        else:
            self._resend.append(flight)
        self._release(flight)

    def _drop(self, entry: Entry, reason: str) -> None:
        self.lost[reason] += count_of(entry.flags)
        self._bodies.drop(entry.id)
        self._erase(entry)

    def _erase(self, entry: Entry) -> None:
        self._pool.bytes -= entry.size
        self._shelf.erase((entry.id,))

    def _outstanding(self) -> Iterator[int]:
        for flight in self._begun():
            yield from flight.unacknowledged()
        for entry in self._backlog:
            yield from range(entry.packet_id, entry.packet_id + count_of(entry.flags))


def _row_id(flight: Flight) -> int:
    return flight.entry.id
