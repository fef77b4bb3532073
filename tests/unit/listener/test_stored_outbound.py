import pytest
from turn_database import TurnDatabase, session_store

from edgecore.base.errors import RefusedError, RemoteProtocolError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.listener import body_cache
from edgecore.listener.bodies import SHARED, is_row
from edgecore.listener.body_cache import READ_AHEAD
from edgecore.listener.pool import Pool
from edgecore.listener.shelf import Bounds
from edgecore.listener.stored_outbound import ROW_OVERHEAD, StoredOutbound
from edgecore.mqtt.outbound import Release
from edgecore.mqtt.packets import PUBACK, PUBCOMP

KEY = 1


class Routes:
    """Which topics may still be delivered."""

    def __init__(self):
        self.rows_version, self.asked, self.denied = 1, 0, set()

    def permits(self, message):
        self.asked += 1
        return message.topic not in self.denied


class Client:
    """One session's messages, the disk below them, and what the connection is told."""

    def __init__(self, database=None, *, records=1000, size=1 << 20, window=256, pool=None, key=KEY):
        self.database = database or TurnDatabase()
        self.store, loaded = session_store(self.database)
        self.pool, self.routes = pool or Pool(1 << 30), Routes()
        self.given = {"records": records, "size": size, "window": window, "key": key}
        self.changed, self.released = 0, []
        self.outbound = StoredOutbound(
            self.store, key, Bounds(records, size, window), self.pool, self.routes, self.note, self.released.append
        )  # fmt: skip
        self.left = [row for row in loaded.messages if row.session == key]

    def note(self):
        self.changed += 1

    def push(self, *payloads, qos=1, topic="t", **options):
        return [
            self.outbound.push(Message(topic, each, qos, CORE, **options), qos, False) for each in payloads
        ]

    def commit(self):
        self.database.commit()

    def kept(self, *payloads, qos=1, **options):
        """Messages that are durable."""
        self.push(*payloads, qos=qos, **options)
        self.commit()
        return self

    def attached(self, window=10):
        self.outbound.attach(window)
        return self

    def take(self, now=0.0):
        """All that goes out now; what is on the disk is read as needed."""
        found = []
        while self.outbound.open:
            item = self.outbound.next(now)
            if item is not None:
                found.append(item)
            elif not self.database.commit():
                break
        return found

    def again(self, sent=True):
        """After a power cut."""
        client = Client(self.database.power_cut(), **self.given)
        for row in client.left:
            client.outbound.restore(row, sent=sent)
        return client

    def reconnected(self, window=10):
        self.outbound.detach()
        return self.attached(window)

    @property
    def rows(self):
        self.commit()
        return self.database.rows("session_messages")


@pytest.fixture
def client():
    return Client()


def said(items):
    return [each.message.payload for each in items]


def ids(items):
    return [each.packet_id for each in items]


# Sending ---------------------------------------------------------------------------------------------


def test_qos_1_goes_out_before_its_commit_and_qos_2_after_it(client):
    client.attached().push(b"1")
    client.push(b"2", qos=2)
    client.push(b"3")
    assert said([client.outbound.next(0.0)]) == [b"1"]
    assert client.outbound.next(0.0) is None  # and what is behind it waits too
    client.commit()
    assert client.changed == 1
    assert said(client.take()) == [b"2", b"3"]


def test_the_window_is_kept_and_identifiers_in_flight_are_each_given_once(client):
    client.attached(window=3).kept(*(bytes([n]) for n in range(5)))
    first = client.take()
    assert (said(first), client.outbound.open, client.outbound.in_flight) == ([b"\0", b"\1", b"\2"], False, 3)
    assert client.outbound.queued == 2
    assert client.outbound.finished(first[1].packet_id, PUBACK)
    assert len({*ids(first), *ids(client.take())}) == 4


def test_what_was_acknowledged_leaves_nothing(client):
    client.attached().kept(b"1", b"2")
    for item in client.take():
        assert client.outbound.finished(item.packet_id, PUBACK)
        assert not client.outbound.finished(item.packet_id, PUBACK)
    assert (client.rows, client.pool.bytes, client.outbound.in_flight, client.outbound.queued) == (0, 0, 0, 0)


def test_retain_identifiers_and_share_come_back_from_the_disk(client):
    client.outbound.push(Message("t", b"1", 1, CORE), 1, True, (5, 7), "$share/g/t")
    client.commit()
    (item,) = client.attached().take()
    assert (item.retain, item.identifiers, item.qos, item.dup) == (True, (5, 7), 1, False)


def test_a_wrong_acknowledgement_breaks_the_protocol_and_changes_nothing(client):
    client.attached().kept(b"1")
    client.kept(b"2", qos=2)
    once, twice = ids(client.take())
    for wrong in (
        lambda: client.outbound.finished(once, PUBCOMP),
        lambda: client.outbound.finished(twice, PUBACK),
        lambda: client.outbound.finished(twice, PUBCOMP),
        lambda: client.outbound.received(once, failed=False),
    ):
        with pytest.raises(RemoteProtocolError):
            wrong()
    assert client.outbound.in_flight == 2
    assert client.outbound.finished(once, PUBACK)


# QoS 2 ----------------------------------------------------------------------------------------------


def test_pubrel_follows_the_commit_and_a_repeated_pubrec_is_answered_again(client):
    client.attached().kept(b"1", qos=2)
    (packet_id,) = ids(client.take())
    assert client.outbound.received(packet_id, failed=False) is Release.LATER
    assert client.outbound.received(packet_id, failed=False) is Release.LATER
    assert client.released == []
    client.commit()
    assert client.released == [packet_id]
    assert client.outbound.received(packet_id, failed=False) is Release.NOW
    assert client.outbound.finished(packet_id, PUBCOMP)
    assert (client.rows, client.pool.bytes) == (0, 0)
    assert client.outbound.received(packet_id, failed=False) is Release.UNKNOWN


def test_a_failed_pubrec_is_the_end_of_it(client):
    client.attached().kept(b"1", qos=2)
    (packet_id,) = ids(client.take())
    assert client.outbound.received(packet_id, failed=True) is Release.FAILED
    assert (client.rows, client.pool.bytes) == (0, 0)


def test_a_connection_that_ends_between_pubrec_and_its_commit_is_told_nothing(client):
    client.attached().kept(b"1", qos=2)
    (packet_id,) = ids(client.take())
    client.outbound.received(packet_id, failed=False)
    client.outbound.detach()
    client.commit()
    assert client.released == []
    assert client.attached().take() == [(packet_id, None, 2, False, False, ())]
    assert client.outbound.finished(packet_id, PUBCOMP)
    assert client.rows == 0


# From one connection to the next ---------------------------------------------------------------------


def test_what_was_in_flight_goes_first_in_order_under_its_identifiers(client):
    client.attached(window=4).kept(*(bytes([n]) for n in range(6)))
    first = client.take()
    client.outbound.finished(first[2].packet_id, PUBACK)
    again = client.reconnected().take()
    assert said(again) == [b"\0", b"\1", b"\3", b"\4", b"\5"]
    assert [each.dup for each in again] == [True, True, True, False, False]
    assert ids(again)[:3] == [ids(first)[n] for n in (0, 1, 3)]


def test_a_smaller_window_holds_for_what_is_repeated_too(client):
    client.attached(window=5).kept(*(bytes([n]) for n in range(5)))
    client.take()
    again = client.reconnected(window=2).take()
    assert said(again) == [b"\0", b"\1"]
    client.outbound.finished(again[0].packet_id, PUBACK)
    assert said(client.take()) == [b"\2"]


def test_repeated_twice_it_is_still_in_order(client):
    client.attached(window=3).kept(*(bytes([n]) for n in range(4)))
    client.take()
    client.reconnected(window=1).take()
    assert said(client.reconnected().take()) == [b"\0", b"\1", b"\2", b"\3"]


def test_what_is_repeated_has_no_end_of_life_and_what_was_never_sent_has(client):
    client.attached(window=1).kept(b"1", b"2", expires_at=10.0)
    client.take(9.0)
    (item,) = client.reconnected().take(10.0)
    assert (item.message.payload, item.dup) == (b"1", True)
    assert client.outbound.lost == {"expired": 1}


def test_a_connection_that_ends_while_bodies_are_read_leaves_the_next_one_whole(client):
    client.kept(b"1", b"2")
    assert client.attached().outbound.next(0.0) is None
    client.outbound.detach()
    client.commit()  # the answer is for a connection that is gone
    assert client.changed == 0
    assert said(client.attached().take()) == [b"1", b"2"]


# After a power cut -----------------------------------------------------------------------------------


def test_what_a_client_that_was_away_has_never_been_sent_is_not_a_repetition(client):
    client.kept(b"1", b"2")
    again = client.again(sent=False).attached().take()
    assert (said(again), [each.dup for each in again]) == ([b"1", b"2"], [False, False])


def test_what_may_have_been_sent_is_marked_so(client):
    client.attached().kept(b"1", b"2")
    sent = client.take()
    again = client.again().attached().take()
    assert (said(again), [each.dup for each in again], ids(again)) == ([b"1", b"2"], [True, True], ids(sent))


def test_what_the_client_has_is_released_and_not_repeated(client):
    client.attached().kept(b"1", b"2", qos=2)
    first, second = ids(client.take())
    client.outbound.received(first, failed=False)
    client.commit()
    again = client.again().attached()
    assert [(each.packet_id, each.message is None) for each in again.take()] == [
        (first, True),
        (second, False),
    ]
    assert again.outbound.finished(first, PUBCOMP)
    assert again.pool.bytes == ROW_OVERHEAD + again.left[1].size


def test_new_identifiers_go_on_behind_those_of_before(client):
    client.attached().kept(b"1", b"2")
    client.take()
    again = client.again().attached()
    again.kept(b"3")
    assert ids(again.take()) == [1, 2, 3]


def test_the_pool_counts_the_same_after_a_power_cut(client):
    client.kept(b"1")
    client.outbound.push(Message("t", b"2", 1, CORE), 1, False, (1, 2), "$share/group/t")
    client.commit()
    assert client.again().pool.bytes == client.pool.bytes > 0


def test_a_row_that_can_be_none_of_ours_is_known():
    assert all(is_row(1, flags) for flags in (1, 2, 5, 6, 9, 25, 9 + (127 << 4), SHARED | 1, SHARED | 6))
    assert not any(
        is_row(1, flags)
        for flags in (0, 3, 4, 7, 10, 13, 17, 255, 9 + (128 << 4), SHARED | 9, 0x1001, 0xFFFF)
    )
    assert not is_row(0, 1)


# What is given up ------------------------------------------------------------------------------------


def test_the_oldest_that_waits_makes_room_by_number_and_by_bytes(client):
    by_number = Client(records=2)
    by_number.kept(b"1", b"2", b"3")
    assert said(by_number.attached().take()) == [b"2", b"3"]
    assert by_number.outbound.lost == {"overflow": 1}
    row = client.kept(b"x" * 100).pool.bytes
    by_bytes = Client(size=row * 2)
    by_bytes.kept(*(bytes([n]) * 100 for n in range(4)))
    assert [each[0] for each in said(by_bytes.attached().take())] == [2, 3]
    assert by_bytes.outbound.lost == {"overflow": 2}


def test_what_is_in_flight_makes_no_room(client):
    client = Client(records=1)
    client.attached(window=1).kept(b"1")
    client.take()
    client.kept(b"2", b"3")
    assert said(client.reconnected().take()) == [b"1", b"3"]


def test_a_message_above_the_bound_of_a_session_is_refused_and_counted():
    client = Client(size=200)
    with pytest.raises(RefusedError, match="above the bound"):
        client.push(b"x" * 200)
    assert client.outbound.lost == {"too-large": 1}
    assert client.outbound.queued == 0


def test_what_stands_beside_a_message_counts_as_its_bytes_do():
    """A share's filter may have 64 KB: ten thousand of them would be 640 MB beyond the bound."""
    client = Client(size=3000)
    for number in range(3):
        message = Message("t", bytes([number]), 1, CORE)
        client.outbound.push(message, 1, False, (), "$share/g/" + "x" * 1500)
    client.commit()
    assert client.outbound.queued == 1
    assert client.database.connection.execute("SELECT length(extra) FROM session_messages").fetchall() == [
        (1514,)
    ]


def test_sessions_that_are_full_give_way_to_those_that_are_not():
    row = Client().kept(b"x").pool.bytes
    pool = Pool(4 * row)
    away = Client(pool=pool).kept(b"1", b"2", b"3", b"4")
    live = Client(away.database, pool=pool, key=2).attached()
    live.kept(b"x")
    assert said(live.take()) == [b"x"]
    assert said(away.attached().take()) == [b"2", b"3", b"4"]
    assert (away.outbound.lost, live.outbound.lost) == ({"overflow": 1}, {})


def test_when_all_is_in_flight_nothing_more_is_taken():
    row = Client().kept(b"x").pool.bytes
    client = Client(pool=Pool(row)).attached().kept(b"1")
    client.take()
    with pytest.raises(RefusedError, match="finds no room"):
        client.push(b"2")
    assert client.outbound.lost == {}
    assert client.pool.bytes == row


def test_a_session_that_is_over_gives_everything_back(client):
    client.attached(window=2).kept(b"1", b"2", b"3", b"4")
    client.take()
    client.reconnected(window=1).take()
    rows, for_others = client.outbound.clear()
    assert (len(rows), for_others) == (4, [])
    assert (client.pool.bytes, client.outbound.queued, client.outbound.in_flight) == (0, 0, 0)
    assert not client.pool.make_room(client.pool.limit + 1)


@pytest.mark.parametrize("qos", [1, 2])
def test_a_route_that_is_gone_stops_what_waits(client, qos):
    client.kept(b"1", topic="gone", qos=qos)
    client.kept(b"2", qos=qos)
    client.routes.denied.add("gone")
    assert said(client.attached().take()) == [b"2"]
    assert client.outbound.lost == {"not-allowed": 1}
    assert client.rows == 1


def test_routes_are_asked_once_for_what_came_from_the_disk_and_not_for_what_is_fresh(client):
    client.attached().kept(b"1")
    client.take()
    assert client.routes.asked == 0
    client.push(b"2")
    client.routes.rows_version = 2
    client.take()
    assert client.routes.asked == 1


def test_what_the_client_does_not_take_for_its_size_is_dropped_and_the_next_goes_on(client):
    client.attached(window=1).kept(b"large", b"2")
    client.outbound.give_up(client.outbound.next(0.0).packet_id)
    assert said(client.take()) == [b"2"]
    assert client.outbound.lost == {"too-large": 1}


# What is withdrawn: the client may know its identifier ------------------------------------------------


def withdrawn(client, packet_id):
    """The client is asked to let go of the identifier, once that is durable, and then nothing is left."""
    assert client.released == []
    client.commit()
    assert client.released == [packet_id]
    assert client.outbound.in_flight == 1
    assert client.outbound.finished(packet_id, PUBCOMP)
    assert (client.rows, client.pool.bytes) == (0, 0)


def test_qos_2_that_was_sent_and_may_not_be_repeated_is_let_go_at_the_client(client):
    client.attached().kept(b"1", qos=2)
    (packet_id,) = ids(client.take())
    client.routes.denied.add("t")
    client.routes.rows_version = 2
    assert client.reconnected().outbound.next(0.0) is None
    client.commit()  # its body is read
    assert client.outbound.next(0.0) is None
    assert client.outbound.lost == {"not-allowed": 1}
    withdrawn(client, packet_id)


def test_qos_2_that_is_too_large_for_the_next_connection_is_let_go_at_the_client(client):
    client.attached().kept(b"1", qos=2)
    client.take()
    (item,) = client.reconnected().take()
    client.outbound.give_up(item.packet_id)
    withdrawn(client, item.packet_id)


def test_qos_2_that_may_have_been_sent_and_has_expired_is_let_go_at_the_client(client):
    client.kept(b"1", qos=2, expires_at=10.0)
    again = client.again().attached()
    assert again.outbound.next(10.0) is None
    again.commit()
    assert again.outbound.next(10.0) is None
    assert again.outbound.lost == {"expired": 1}
    withdrawn(again, 1)
    assert client.again(sent=False).attached().take(10.0) == []


def test_qos_2_that_may_have_been_sent_makes_room_by_its_body_and_keeps_its_identifier(client):
    client = Client(records=2)
    client.kept(b"1", b"2", qos=2)
    again = client.again()
    before = again.pool.bytes
    again.kept(b"3", qos=2)
    assert again.pool.bytes == before + ROW_OVERHEAD
    assert [(each.packet_id, each.message and each.message.payload) for each in again.attached().take()] == [
        (1, None),
        (2, b"2"),
        (3, b"3"),
    ]
    assert again.outbound.lost == {"overflow": 1}


def test_no_more_is_held_to_be_known_than_was_ever_in_flight(client):
    client = Client(records=4, window=2)
    client.kept(b"1", b"2", b"3", b"4", qos=2)
    again = client.again()
    again.kept(b"5", b"6", b"7", qos=2)
    assert [each.packet_id for each in again.attached().take()] == [1, 2, 4, 5, 6, 7]


# Reading ahead ----------------------------------------------------------------------------------------


def test_bodies_are_read_ahead_page_by_page(client):
    number = READ_AHEAD * 2 + 3
    client.kept(*(b"%d" % n for n in range(number)))
    asked = []
    fetch = client.store.fetch
    client.store.fetch = lambda rows, answer: (asked.append(len(rows)), fetch(rows, answer))
    found = client.attached(window=number).take()
    assert said(found) == [b"%d" % n for n in range(number)]
    assert asked == [READ_AHEAD, READ_AHEAD, 3]


def test_what_is_read_ahead_is_bounded_by_bytes_but_one_is_always_read(client, monkeypatch):
    monkeypatch.setattr(body_cache, "READ_AHEAD_BYTES", 100)
    client.kept(b"x" * 500, b"1", b"2", b"3")
    asked = []
    fetch = client.store.fetch
    client.store.fetch = lambda rows, answer: (asked.append(len(rows)), fetch(rows, answer))
    assert len(client.attached().take()) == 4
    assert asked == [1, 1, 1, 1]


def test_a_live_client_that_does_not_read_is_kept_few_bodies_in_memory(client, monkeypatch):
    monkeypatch.setattr(body_cache, "READ_AHEAD_BYTES", 500)
    client.attached(window=1).kept(*(b"x" * 100 for _ in range(50)))
    assert len(client.outbound._bodies._bodies) < 8
    found = client.take()
    while found:
        client.outbound.finished(found[0].packet_id, PUBACK)
        found = client.take()
    assert (client.outbound._bodies._bodies, client.outbound._bodies._size, client.rows) == ({}, 0, 0)


def test_what_makes_room_while_its_body_is_read_is_not_remembered(client):
    client = Client(records=3)
    client.kept(b"1", b"2", b"3")
    assert client.attached().outbound.next(0.0) is None
    client.push(b"4", b"5")
    client.commit()
    assert said(client.take()) == [b"3", b"4", b"5"]
    assert (client.outbound._bodies._bodies, client.outbound._bodies._size) == ({}, 0)


def test_a_row_that_cannot_be_read_is_counted_in_its_turn_and_the_others_come(client):
    client.kept(b"1", b"2", b"3", b"4")
    connection = client.database.connection
    connection.execute("UPDATE session_messages SET record = x'c1' WHERE id = 2")
    connection.execute("UPDATE session_messages SET extra = x'c1' WHERE id = 3")
    assert said(client.attached().take()) == [b"1", b"4"]
    assert client.outbound.lost == {"unreadable": 2}
    assert (client.outbound._bodies._bodies, client.rows) == ({}, 2)


def test_a_row_that_is_not_there_is_counted_and_passed_over(client):
    client.kept(b"1", b"2")
    client.database.connection.execute("DELETE FROM session_messages WHERE id = 1")
    assert said(client.attached().take()) == [b"2"]
    assert client.outbound.lost == {"unreadable": 1}


def test_a_disk_that_cannot_be_read_is_asked_again_at_the_next_occasion(client):
    client.kept(b"1")
    client.database.unreadable = "I/O error"
    assert client.attached().outbound.next(0.0) is None
    client.commit()
    assert client.changed == 0
    client.database.unreadable = None
    assert said(client.take()) == [b"1"]
    assert client.outbound.lost == {}


# Commits that fail ------------------------------------------------------------------------------------


def test_what_was_not_stored_is_not_sent_and_counted(client):
    client.kept(b"1")
    client.database.fail = "the disk is full"
    (commit,) = client.push(b"2", qos=2)
    client.commit()
    assert commit.error is not None
    client.database.fail = None
    client.kept(b"3", qos=2)
    assert said(client.attached().take()) == [b"1", b"3"]
    assert client.outbound.lost == {"failed": 1}
    assert client.pool.bytes == client.again().pool.bytes


def test_a_commit_that_fails_after_its_message_was_sent_changes_nothing_for_the_client(client):
    client.database.fail = "the disk is full"
    client.attached().push(b"1")
    (item,) = [client.outbound.next(0.0)]
    client.commit()
    assert client.outbound.finished(item.packet_id, PUBACK)
    assert (client.outbound.lost, client.pool.bytes) == ({}, 0)


def test_a_store_that_takes_nothing_more_leaves_what_there_is(client):
    client.kept(b"1")
    client.database.full = True
    with pytest.raises(RefusedError):
        client.push(b"2")
    client.database.full = False
    assert said(client.attached().take()) == [b"1"]
    assert client.outbound.lost == {}
