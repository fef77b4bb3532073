"""QoS 1 and 2 towards a client whose session outlives its connection (mqtt's Sending). Pure.

Every message is a row on the disk with its packet identifier, from the moment that it is accepted until the
client has acknowledged it. In memory is what is on its way, a few bodies ahead, and 15 bytes for each other.

    row written --sent--> in flight --PUBACK, PUBCOMP--> row erased
         |                    | PUBREC: row released, then PUBREL
         '--bound, expiry, route gone--> erased and counted

QoS 1 goes out at once. QoS 2 goes out after the commit that holds its identifier, and its PUBREL after the
commit that says that the client has it: what is repeated after a crash is what the client can recognise.

A QoS 2 message that is given up after it was sent, or may have been, is withdrawn: its body goes, and a
PUBREL frees its identifier at the client, who would else take a later message under it for a repeated one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.base.message import Message
from edgecore.listener.backlog import Backlog, Entry
from edgecore.listener.packet_ids import PacketIds
from edgecore.listener.pool import Pool
from edgecore.listener.records import extra_bytes, message_bytes, read_message
from edgecore.mqtt.outbound import FIRST_ANSWER, Outgoing, Release, wrong_answer
from edgecore.mqtt.packets import PUBACK, PUBCOMP, PUBREC
from edgecore.store import StoredRow

# What is read ahead of a client that takes its messages: enough for some round trips, little for memory.
READ_AHEAD: Final = 128
READ_AHEAD_BYTES: Final = 256 * 1024
# What a message that waits costs beside its bytes: the row's columns on the disk, its entry here.
ROW_OVERHEAD: Final = 32

# Beside the QoS in an entry's flags. _SHARED: it came by a shared subscription.
_RETAIN: Final = 4
_SHARED: Final = 8

# Why messages were not delivered, as counted.
OVERFLOW: Final = "overflow"
EXPIRED: Final = "expired"
NOT_ALLOWED: Final = "not-allowed"
TOO_LARGE: Final = "too-large"
UNREADABLE: Final = "unreadable"
FAILED: Final = "failed"

Body = tuple[int, bytes, bytes | None]


class Shelf(Protocol):
    """Where the rows of one session are: store.SessionStore."""

    def insert(
        self, key: int, packet_id: int, flags: int, record: bytes, extra: bytes | None
    ) -> tuple[int, Commit]:
        """Keep a message; gives its id. Ids grow. May raise RefusedError."""
        ...

    def erase(self, messages: Iterable[int]) -> Commit | None:
        """Forget messages."""
        ...

    def release(self, message: int) -> Commit:
        """Forget the body of a message."""
        ...

    def fetch(self, messages: Iterable[int], answer: Callable[[Sequence[Body] | Exception], None]) -> None:
        """Read bodies, in order of id."""
        ...


class Bounds(NamedTuple):
    """The most that may wait for one client. `window`: the most that was in flight at a time, ever."""

    records: int
    bytes: int
    window: int


class _Body(NamedTuple):
    """A message in memory. `rows_version`: the routes that it was last found to be allowed under."""

    message: Message
    identifiers: tuple[int, ...]
    share: str
    rows_version: int


class _Flight:
    """A message that the client has not acknowledged. `released`: on disk, too, the client has it.

    `again`: it was sent before. `releasing`: on its way to be released.
    """

    __slots__ = ("again", "awaited", "entry", "released", "releasing")

    def __init__(self, entry: Entry, *, released: bool = False) -> None:
        self.entry = entry
        self.awaited = PUBCOMP if released else FIRST_ANSWER[entry.flags & 3]
        self.again = released
        self.released = released
        self.releasing = False


class _Unconfirmed:
    """Messages whose commit is under way: ids `first` to `last`."""

    __slots__ = ("commit", "first", "last")

    def __init__(self, commit: Commit, first: int) -> None:
        self.commit = commit
        self.first = self.last = first


class Permission(Protocol):
    """Whether what was stored may still be delivered."""

    @property
    def rows_version(self) -> int:
        """Grows with the routes."""
        ...

    def permits(self, message: Message) -> bool:
        """Whether the routes of now let it through."""
        ...


class StoredOutbound:
    """The messages of one kept session. `changed` is called when there may be something more to send.

    `released(packet_id)` is called when a PUBREL may go out. Overflow rule: the oldest that was not sent yet
    is dropped, and counted in `lost` by reason. `sent_to`: the last row that was ever sent, or may have been.
    """

    __slots__ = (
        "_attached",
        "_backlog",
        "_bounds",
        "_cache",
        "_cached_bytes",
        "_changed",
        "_durable_to",
        "_epoch",
        "_flight",
        "_key",
        "_known",
        "_known_to",
        "_loading",
        "_packet_ids",
        "_permission",
        "_pool",
        "_released",
        "_resend",
        "_shelf",
        "_unconfirmed",
        "_wanted",
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
        self._resend: deque[_Flight] = deque()
        self._flight: dict[int, _Flight] = {}
        self._cache: dict[int, _Body | None] = {}  # None: its row cannot be read
        self._cached_bytes = 0
        self._packet_ids = PacketIds(self._outstanding)
        self._durable_to = 0
        self._unconfirmed: _Unconfirmed | None = None
        self._known = self._known_to = 0  # of QoS 2 rows that the client may know: how many, the last one
        self._window = 0
        self._attached = False
        self._loading = False
        self._wanted: dict[int, int] = {}  # row -> its size, of what is being read
        self._epoch = 0
        self.lost: Counter[str] = Counter()
        self.sent_to = 0
        pool.join(self)

    # What is known --------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many the client has not fully acknowledged."""
        return len(self._flight)

    @property
    def queued(self) -> int:
        """How many wait for a place in flight."""
        return len(self._backlog) + len(self._resend)

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
        """How many the client will not get."""
        return self.lost.total()

    def rows(self) -> list[int]:
        """The ids of all rows."""
        flights = (*self._flight.values(), *self._resend)
        return [each.entry.id for each in flights] + [entry.id for entry in self._backlog]

    # From the disk, and from one connection to the next -------------------------------------------

    def restore(self, row: StoredRow, *, sent: bool) -> None:
        """Take a row that an earlier run left; call in the order of ids. `sent`: it may have been."""
        size = row.size + ROW_OVERHEAD
        entry = Entry(row.id, size, row.packet_id, row.flags)
        self._pool.bytes += size
        self._packet_ids.start_after(row.packet_id)
        self._durable_to = row.id
        if sent:
            self.sent_to = row.id
        if row.released:
            self._resend.append(_Flight(entry, released=True))
            return
        self._backlog.append(entry)
        if sent and row.flags & 3 == 2 and self._known < self._bounds.window:
            self._known, self._known_to = self._known + 1, row.id

    def attach(self, window: int) -> None:
        """Begin to send on a new connection, `window` messages at a time."""
        self._window = window
        self._attached = True

    def detach(self) -> None:
        """Note that the connection is gone: what was in flight goes first on the next (5, 4.4)."""
        again = [*self._flight.values(), *self._resend]
        self._resend = deque(sorted(again, key=_row_id))
        self._flight.clear()
        self._cache.clear()
        self._wanted.clear()
        self._cached_bytes = 0
        self._attached = self._loading = False
        self._epoch += 1

    def clear(self) -> tuple[list[int], list[Entry]]:
        """Let go of everything, for good. Gives (rows, what another member of a share may have in our place).

        Of QoS 2 not what was sent, or may have been (5, 4.8.2-5). What is for others stays in the pool.
        """
        self._pool.leave(self)
        self.detach()
        for_others = [each.entry for each in self._resend if each.entry.flags & 3 == 1]
        for_others += [each for each in self._backlog if each.flags & 3 == 1 or each.id > self._known_to]
        for_others = [each for each in for_others if each.flags & _SHARED]
        theirs = {each.id for each in for_others}
        self._pool.bytes -= self._backlog.bytes + sum(each.entry.size for each in self._resend)
        self._pool.bytes += sum(each.size for each in for_others)
        rows = [row for row in self.rows() if row not in theirs]
        self._resend.clear()
        self._backlog = Backlog()
        return rows, for_others

    # Messages in ----------------------------------------------------------------------------------

    def push(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> Commit:
        """Keep a message for the client; the oldest ones make room. Raises RefusedError."""
        record, extra = message_bytes(message), extra_bytes(identifiers, share)
        size = len(record) + len(extra or b"") + ROW_OVERHEAD
        self._make_room(size)
        packet_id = self._packet_ids.next()
        flags = qos | (_RETAIN if retain else 0) | (_SHARED if share else 0)
        row, commit = self._shelf.insert(self._key, packet_id, flags, record, extra)
        self._backlog.append(Entry(row, size, packet_id, flags))
        self._pool.bytes += size
        if self._attached and self._cached_bytes < READ_AHEAD_BYTES:
            self._cached_bytes += size
            self._cache[row] = _Body(message, identifiers, share, self._permission.rows_version)
        self._confirm_later(commit, row)
        return commit

    def _make_room(self, size: int) -> None:
        bounds, backlog = self._bounds, self._backlog
        if size > bounds.bytes:
            self.lost[TOO_LARGE] += 1
            raise RefusedError(f"a message of {size} bytes is above the bound of a session, {bounds.bytes}")
        while len(backlog) >= bounds.records or backlog.bytes + size > bounds.bytes:
            self.give_way()
        if not self._pool.make_room(size):
            raise RefusedError(
                f"a message of {size} bytes finds no room: listener.sessions_bytes is {self._pool.limit}, "
                f"and what is on its way to clients takes {self._pool.bytes}"
            )

    def give_way(self) -> None:
        """Drop the message that has waited longest (pool's Queue)."""
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
        if self._resend:
            found = self._next_again()
            if found is not None or self._resend:
                return found
        backlog = self._backlog
        while len(backlog):
            entry = backlog.first()
            if entry.flags & 3 == 2 and entry.id > self._durable_to:
                return None
            if entry.id not in self._cache:
                self._load()
                return None
            body = self._uncache(entry)
            backlog.pop()
            reason = self._objection(body, now)
            if reason:
                self._give_up(entry, reason)
                continue
            return self._send(_Flight(entry), body, again=entry.id <= self.sent_to)
        return None

    def _next_again(self) -> Outgoing | None:
        """What was in flight on an earlier connection: PUBREL where PUBREC had come, else PUBLISH again."""
        while self._resend:
            flight = self._resend[0]
            if flight.released:
                self._resend.popleft()
                self._flight[flight.entry.packet_id] = flight
                return Outgoing(flight.entry.packet_id, None, 2, retain=False)
            if flight.entry.id not in self._cache:
                self._load()
                return None
            self._resend.popleft()
            body = self._uncache(flight.entry)
            # Its life is not looked at again: its delivery has begun (5, 3.3.2.3.3).
            reason = self._objection(body, None)
            if not reason:
                flight.awaited = FIRST_ANSWER[flight.entry.flags & 3]
                return self._send(flight, body, again=True)
            self._give_up(flight.entry, reason, again=True)
        return None

    def _send(self, flight: _Flight, body: _Body | None, *, again: bool) -> Outgoing:
        assert body is not None
        entry = flight.entry
        flight.again = again
        self.sent_to = max(self.sent_to, entry.id)
        self._flight[entry.packet_id] = flight
        retain = bool(entry.flags & _RETAIN)
        return Outgoing(entry.packet_id, body.message, entry.flags & 3, retain, again, body.identifiers)

    def _objection(self, body: _Body | None, now: float | None) -> str:
        """Why the message is not sent any more, or ""."""
        if body is None:
            return UNREADABLE
        if now is not None and body.message.expired(now):
            return EXPIRED
        current = self._permission.rows_version
        if body.rows_version != current and not self._permission.permits(body.message):
            return NOT_ALLOWED
        return ""

    def give_up(self, packet_id: int) -> None:
        """Drop what was just put in flight: the client takes no packets of its size."""
        flight = self._flight.pop(packet_id)
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
        del self._flight[packet_id]
        self._erase(flight.entry)
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
            del self._flight[packet_id]
            self._erase(flight.entry)
            return Release.FAILED
        if not flight.releasing:
            self._release(flight)
        return Release.LATER

    def _release(self, flight: _Flight) -> None:
        """Let the disk forget the body, and then the client hear PUBREL."""
        flight.releasing = True
        self._shelf.release(flight.entry.id).when_done(partial(self._is_released, flight))

    def _is_released(self, flight: _Flight, error: Exception | None) -> None:
        flight.releasing = False
        if error is not None:
            return  # the database is gone, and the process with it
        flight.released = True
        flight.awaited = PUBCOMP
        if self._flight.get(flight.entry.packet_id) is flight:
            self._released(flight.entry.packet_id)

    # Rows -----------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read the next bodies, unless that is under way."""
        if self._loading:
            return
        self._loading = True
        total = 0
        for row, size in self._upcoming():
            total += size
            if self._wanted and total > READ_AHEAD_BYTES:
                break
            self._wanted[row] = size
        self._shelf.fetch(tuple(self._wanted), partial(self._loaded, self._epoch))

    def _upcoming(self) -> Iterator[tuple[int, int]]:
        """Yield (id, size) of the next messages whose body is not here."""
        again = [(each.entry.id, each.entry.size) for each in self._resend if not each.released]
        for row, size in (*again[:READ_AHEAD], *self._backlog.ids(READ_AHEAD - min(READ_AHEAD, len(again)))):
            if row not in self._cache:
                yield row, size

    def _loaded(self, epoch: int, answer: Sequence[Body] | Exception) -> None:
        if epoch != self._epoch:
            return  # for a connection that is gone
        self._loading = False
        wanted, self._wanted = self._wanted, {}  # what was dropped meanwhile is no longer among them
        if isinstance(answer, Exception):
            return  # asked for again when the client is next heard
        self._cache.update(dict.fromkeys(wanted))
        for row, record, extra in answer:
            if row not in wanted:
                continue
            try:
                self._cache[row] = _Body(*read_message(record, extra), 0)
            except StoreError:
                continue  # stays None: counted when its turn comes
            self._cached_bytes += wanted[row]
        self._changed()

    def _uncache(self, entry: Entry) -> _Body | None:
        self._wanted.pop(entry.id, None)
        body = self._cache.pop(entry.id, None)
        if body is not None:
            self._cached_bytes -= entry.size
        return body

    def _give_up(self, entry: Entry, reason: str, *, again: bool = False) -> None:
        """Drop a message, or withdraw it when the client may know its identifier. `again`: it was sent."""
        if entry.flags & 3 == 2 and (again or entry.id <= self._known_to):
            self._withdraw(entry, reason)
        else:
            self._drop(entry, reason)

    def _drop(self, entry: Entry, reason: str) -> None:
        self.lost[reason] += 1
        self._uncache(entry)
        self._erase(entry)

    def _withdraw(self, entry: Entry, reason: str) -> None:
        self.lost[reason] += 1
        self._uncache(entry)
        self._pool.bytes -= entry.size - ROW_OVERHEAD
        flight = _Flight(entry._replace(size=ROW_OVERHEAD))
        if self._attached:
            self._flight[entry.packet_id] = flight
        else:
            self._resend.append(flight)
        self._release(flight)

    def _erase(self, entry: Entry) -> None:
        self._pool.bytes -= entry.size
        self._shelf.erase((entry.id,))

    def _outstanding(self) -> Iterator[int]:
        yield from self._flight
        yield from (each.entry.packet_id for each in self._resend)
        yield from (entry.packet_id for entry in self._backlog)


def is_message(row: StoredRow) -> bool:
    """Whether a row on the disk can be one of ours: a bit may have flipped there."""
    return row.packet_id != 0 and row.flags & 3 in FIRST_ANSWER and row.flags < 2 * _SHARED


def inherited(row: StoredRow) -> Entry | None:
    """What a row is whose session is no more: a message for another member of a share, or nothing."""
    if not is_message(row) or row.released or not row.flags & _SHARED:
        return None
    return Entry(row.id, row.size + ROW_OVERHEAD, row.packet_id, row.flags)


def _row_id(flight: _Flight) -> int:
    return flight.entry.id
