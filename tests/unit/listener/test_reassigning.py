import pytest
from turn_database import TurnDatabase, session_store

from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.errors import RefusedError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import SHARED
from edgecore.listener.pool import Pool
from edgecore.listener.reassigning import PAGE, Reassigning, inherited
from edgecore.listener.records import extra_bytes, message_bytes
from edgecore.listener.stored_outbound import ROW_OVERHEAD
from edgecore.router import Router
from edgecore.store import StoredRow

ONE, TWO = identity.device("one"), identity.device("two")
SHARE = "$share/g/t/#"
GONE = 7  # the key of the session that is no more


class Member:
    """Another member of the share: keeps what it gets on the same disk."""

    principal, connected = TWO, False

    def __init__(self, store):
        self.store, self.got, self.full = store, [], False

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        if self.full:
            raise RefusedError("full")
        self.got.append((message.payload, qos, retain, share))
        return self.store.insert(1, len(self.got), qos, message_bytes(message), None)[1]


class Case:
    def __init__(self, member=True):
        self.database, self.clock, self.pool = TurnDatabase(), ManualClock(), Pool(1 << 20)
        self.store, _ = session_store(self.database)
        self.router = Router(self.clock)
        rows = [Row(("device:*",), ("t/#",), ("device:*",))]
        self.router.set_rows(rows, {name: DeviceSpec(name, name) for name in ("one", "two")})
        self.it = Reassigning(self.store, self.router, self.pool, self.clock)
        self.member = Member(self.store)
        if member:
            self.router.subscribe(self.member, SHARE, 2)

    def left(self, *payloads, qos=1, topic="t/a", **more):
        """Messages on the disk of one who is gone."""
        entries = []
        for payload in payloads:
            record = message_bytes(Message(topic, payload, qos, ONE, **more))
            row, _ = self.store.insert(GONE, 1, qos | SHARED, record, extra_bytes((), SHARE))
            entries.append(Entry(row, 100, 1, qos | SHARED))
            self.pool.bytes += 100
        self.database.commit()
        return entries

    def settle(self):
        while self.database.commit():
            pass

    @property
    def rows(self):
        """(of the one who is gone, of the member)"""
        of = "SELECT count(*) FROM session_messages WHERE session = ?"
        return tuple(self.database.connection.execute(of, (key,)).fetchone()[0] for key in (GONE, 1))


@pytest.fixture
def case():
    return Case()


def test_another_member_gets_them_in_order_at_their_qos(case):
    case.it.take([*case.left(b"1"), *case.left(b"2", qos=2)])
    case.settle()
    assert case.member.got == [(b"1", 1, False, SHARE), (b"2", 2, False, SHARE)]
    assert (case.rows, case.pool.bytes, case.it.lost, len(case.it)) == ((0, 2), 0, {}, 0)


def test_a_power_cut_at_any_time_leaves_each_in_one_place(case):
    case.it.take(case.left(b"1"))
    assert case.rows == (1, 0)
    case.database.commit()  # its body is read
    assert case.member.got != []
    assert case.rows == (1, 0)
    case.database.commit()
    assert case.rows == (0, 1)


def test_they_are_read_page_by_page(case):
    sizes = []
    fetch = case.store.fetch
    case.store.fetch = lambda rows, answer: (sizes.append(len(rows)), fetch(rows, answer))
    case.it.take(case.left(*(b"%d" % n for n in range(2 * PAGE + 1))))
    case.settle()
    assert sizes == [PAGE, PAGE, 1]
    assert [each[0] for each in case.member.got] == [b"%d" % n for n in range(2 * PAGE + 1)]


@pytest.mark.parametrize(
    ("reason", "more"),
    [("no-member", {"topic": "u/a"}), ("expired", {"expires_at": 1.0}), ("unreadable", {})],
)
def test_what_nobody_can_have_is_counted_and_goes(case, reason, more):
    entries = case.left(b"1", **more)
    if reason == "unreadable":
        case.database.connection.execute("UPDATE session_messages SET record = x'c1'")
    case.it.take(entries)
    case.settle()
    assert (case.it.lost, case.rows, case.pool.bytes, case.member.got) == ({reason: 1}, (0, 0), 0, [])


def test_when_nobody_is_left_they_are_for_nobody():
    case = Case(member=False)
    case.it.take(case.left(b"1", b"2"))
    case.settle()
    assert (case.it.lost, case.rows, case.pool.bytes) == ({"no-member": 2}, (0, 0), 0)


def test_a_row_that_is_not_there_is_counted(case):
    entries = case.left(b"1", b"2")
    case.database.connection.execute("DELETE FROM session_messages WHERE id = ?", (entries[0].id,))
    case.it.take(entries)
    case.settle()
    assert (case.it.lost, case.pool.bytes, len(case.member.got)) == ({"unreadable": 1}, 0, 1)


def test_what_another_has_no_room_for_waits(case):
    case.member.full = True
    case.it.take(case.left(b"1", b"2"))
    case.settle()
    assert (case.rows, case.pool.bytes, len(case.it)) == ((2, 0), 200, 2)
    case.member.full = False
    case.it.go_on()
    case.settle()
    assert (case.rows, case.pool.bytes, len(case.it)) == ((0, 2), 0, 0)


def test_what_could_not_be_stored_for_another_stays_and_is_given_later(case):
    entries = case.left(b"1")
    case.it.take(entries)
    case.database.commit()
    case.database.fail = "the disk is full"
    case.settle()
    assert (case.rows, case.pool.bytes, len(case.it)) == ((1, 0), 100, 1)
    case.database.fail = None
    case.it.go_on()
    case.settle()
    assert (case.rows, case.pool.bytes) == ((0, 1), 0)


def test_what_could_not_be_read_is_read_later(case):
    case.it.take(case.left(b"1", b"2"))
    case.database.unreadable = "I/O error"
    case.settle()
    assert len(case.it) == 2
    case.database.unreadable = None
    case.it.go_on()
    case.settle()
    assert [each[0] for each in case.member.got] == [b"1", b"2"]


def test_what_is_for_nobody_goes_also_when_nothing_more_is_taken():
    case = Case(member=False)
    case.it.take(case.left(b"1"))
    case.database.full = True
    case.settle()
    assert (case.rows, case.pool.bytes) == ((0, 0), 0)


def test_of_rows_without_a_session_messages_of_shares_are_for_others():
    assert inherited(StoredRow(3, 9, 5, 1 | SHARED, 70, 0)) == Entry(3, 70 + ROW_OVERHEAD, 5, 1 | SHARED)
    for row in (
        StoredRow(3, 9, 5, 1, 70, 0),
        StoredRow(3, 9, 5, 2 | SHARED, 0, 1),  # released: the client that is gone has it
        StoredRow(3, 9, 0, 1 | SHARED, 70, 0),
        StoredRow(3, 9, 5, 3 | SHARED, 70, 0),
    ):
        assert inherited(row) is None
