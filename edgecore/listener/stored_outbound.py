"""QoS 1 and 2 towards a client whose session outlives its connection (mqtt's Sending). Pure.

Every message is a row on the disk with its packet identifier, from the moment that it is accepted until the
client has acknowledged it. In memory is what is on its way, a few bodies ahead, and 15 bytes for each other.

    row written --sent--> in flight --PUBACK, PUBCOMP--> row erased
         |                    | PUBREC: row released, then PUBREL
         '--bound, expiry, route gone--> erased and counted

QoS 1 goes out at once. QoS 2 goes out after the commit that holds its identifier, and its PUBREL after the
commit that says that the client has it: what is repeated after a crash is what the client can recognise.
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
from edgecore.listener.records import extra_bytes, message_bytes, read_message
from edgecore.mqtt.outbound import FIRST_ANSWER, Outgoing, Release, wrong_answer
from edgecore.mqtt.packets import PUBACK, PUBCOMP, PUBREC
from edgecore.store import StoredRow

# What is read ahead of a client that takes its messages: enough for some round trips, little for memory.
READ_AHEAD: Final = 128
READ_AHEAD_BYTES: Final = 256 * 1024
# What a message that waits costs beside its bytes: the row's columns on the disk, its entry here.
ROW_OVERHEAD: Final = 32

_RETAIN: Final = 4

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


class Pool:
    """The bytes that all sessions together keep, and their bound."""

    __slots__ = ("bytes", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0


class Bounds(NamedTuple):
    """The most that may wait for one client. `window`: what may have been sent when the power went."""

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
    """A message that the client has not acknowledged. `released`: on disk, too, the client has it."""

    __slots__ = ("awaited", "entry", "released", "releasing")

    def __init__(self, entry: Entry, *, released: bool = False) -> None:
        self.entry = entry
        self.awaited = PUBCOMP if released else FIRST_ANSWER[entry.flags & 3]
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
    is dropped, and counted in `lost` by reason.
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
        "_loading",
        "_maybe_sent",
        "_packet_ids",
        "_permission",
        "_pool",
        "_released",
        "_resend",
        "_shelf",
        "_unconfirmed",
        "_window",
        "lost",
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
        self._maybe_sent = 0
        self._window = 0
        self._attached = False
        self._loading = False
        self._epoch = 0
        self.lost: Counter[str] = Counter()

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
    def dropped(self) -> int:
        """How many the client will not get."""
        return self.lost.total()

    def rows(self) -> list[int]:
        """The ids of all rows."""
        flights = (*self._flight.values(), *self._resend)
        return [each.entry.id for each in flights] + [entry.id for entry in self._backlog]

    # From the disk, and from one connection to the next -------------------------------------------

    def restore(self, row: StoredRow) -> None:
        """Take a row that an earlier run left; call in the order of ids."""
        size = row.size + ROW_OVERHEAD
        entry = Entry(row.id, size, row.packet_id, row.flags)
        self._pool.bytes += size
        self._packet_ids.start_after(row.packet_id)
        self._durable_to = row.id
        if row.released:
            self._resend.append(_Flight(entry, released=True))
        else:
            self._backlog.append(entry)
            self._maybe_sent = self._bounds.window

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
        self._cached_bytes = 0
        self._attached = self._loading = False
        self._epoch += 1

    def clear(self) -> list[int]:
        """Let go of everything; gives the ids of the rows."""
        rows = self.rows()
        for flight in (*self._flight.values(), *self._resend):
            self._pool.bytes -= flight.entry.size
        self._pool.bytes -= self._backlog.bytes
        self.detach()
        self._resend.clear()
        self._backlog = Backlog()
        return rows

    # Messages in ----------------------------------------------------------------------------------

    def push(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> Commit:
        """Keep a message for the client; the oldest ones make room. Raises RefusedError."""
        record = message_bytes(message)
        size = len(record) + ROW_OVERHEAD
        self._make_room(size)
        packet_id = self._packet_ids.next()
        flags = qos | _RETAIN if retain else qos
        row, commit = self._shelf.insert(self._key, packet_id, flags, record, extra_bytes(identifiers, share))
        self._backlog.append(Entry(row, size, packet_id, flags))
        self._pool.bytes += size
        if self._attached and self._cached_bytes < READ_AHEAD_BYTES:
            self._cached_bytes += size
            self._cache[row] = _Body(message, identifiers, share, self._permission.rows_version)
        self._confirm_later(commit, row)
        return commit

    def _make_room(self, size: int) -> None:
        bounds, backlog, pool = self._bounds, self._backlog, self._pool
        if size > bounds.bytes:
            self.lost[TOO_LARGE] += 1
            raise RefusedError(f"a message of {size} bytes is above the bound of a session, {bounds.bytes}")
        while (
            len(backlog) >= bounds.records
            or backlog.bytes + size > bounds.bytes
            or pool.bytes + size > pool.limit
        ):
            # What may have been sent before a crash keeps its row: the client may know its identifier.
            index = min(self._maybe_sent, len(backlog))
            if index == len(backlog):
                raise RefusedError(
                    f"the sessions' queues are full: {pool.bytes} bytes of {pool.limit} are in use, "
                    f"{len(backlog)} messages wait for this client"
                )
            self._drop(backlog.pop(index), OVERFLOW)

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
            again = self._maybe_sent > 0
            self._maybe_sent -= again
            reason = self._objection(body, now)
            if reason:
                self._drop(entry, reason)
                continue
            return self._send(_Flight(entry), body, dup=again)
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
                return self._send(flight, body, dup=True)
            self._drop(flight.entry, reason)
        return None

    def _send(self, flight: _Flight, body: _Body | None, *, dup: bool) -> Outgoing:
        assert body is not None
        entry = flight.entry
        self._flight[entry.packet_id] = flight
        retain = bool(entry.flags & _RETAIN)
        return Outgoing(entry.packet_id, body.message, entry.flags & 3, retain, dup, body.identifiers)

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
        self._drop(self._flight.pop(packet_id).entry, TOO_LARGE)

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
            flight.releasing = True
            self._shelf.release(flight.entry.id).when_done(partial(self._release, packet_id, flight))
        return Release.LATER

    def _release(self, packet_id: int, flight: _Flight, error: Exception | None) -> None:
        flight.releasing = False
        if error is not None:
            return  # the database is gone, and the process with it
        flight.released = True
        flight.awaited = PUBCOMP
        if self._flight.get(packet_id) is flight:
            self._released(packet_id)

    # Rows -----------------------------------------------------------------------------------------

    def _load(self) -> None:
        """Read the next bodies, unless that is under way."""
        if self._loading:
            return
        self._loading = True
        wanted: list[int] = []
        total = 0
        for row, size in self._upcoming():
            total += size
            if wanted and total > READ_AHEAD_BYTES:
                break
            wanted.append(row)
        self._shelf.fetch(wanted, partial(self._loaded, self._epoch, wanted))

    def _upcoming(self) -> Iterator[tuple[int, int]]:
        """Yield (id, size) of the next messages whose body is not here."""
        again = [(each.entry.id, each.entry.size) for each in self._resend if not each.released]
        for row, size in (*again[:READ_AHEAD], *self._backlog.ids(READ_AHEAD - min(READ_AHEAD, len(again)))):
            if row not in self._cache:
                yield row, size

    def _loaded(self, epoch: int, wanted: list[int], answer: Sequence[Body] | Exception) -> None:
        if epoch != self._epoch:
            return  # for a connection that is gone
        self._loading = False
        if isinstance(answer, Exception):
            return  # the database is gone, and the process with it
        for row in wanted:
            self._cache[row] = None
        for row, record, extra in answer:
            try:
                self._cache[row] = _Body(*read_message(record, extra), 0)
            except StoreError:
                continue  # stays None: counted when its turn comes
            self._cached_bytes += len(record) + ROW_OVERHEAD
        self._changed()

    def _uncache(self, entry: Entry) -> _Body | None:
        body = self._cache.pop(entry.id)
        if body is not None:
            self._cached_bytes -= entry.size
        return body

    def _drop(self, entry: Entry, reason: str) -> None:
        self.lost[reason] += 1
        if self._cache.pop(entry.id, None) is not None:
            self._cached_bytes -= entry.size
        self._erase(entry)

    def _erase(self, entry: Entry) -> None:
        self._pool.bytes -= entry.size
        self._shelf.erase((entry.id,))

    def _outstanding(self) -> Iterator[int]:
        yield from self._flight
        yield from (each.entry.packet_id for each in self._resend)
        yield from (entry.packet_id for entry in self._backlog)


def _row_id(flight: _Flight) -> int:
    return flight.entry.id
