"""One connection on a fake transport; TLS is real, in memory. The loop is the test's own."""

import contextlib
import ssl

import pytest

from edgecore.base import identity
from edgecore.listener import transport as transport_module
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.crowd import Crowd
from edgecore.listener.tls import server_context
from edgecore.listener.transport import (
    CLOSING,
    FIRST_PART,
    HANDSHAKE,
    HIGH_WATER,
    MUCH,
    OPEN,
    SHARE,
    Connection,
)
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import encode


class FakeTransport:
    def __init__(self, address="192.0.2.7"):
        self.address = address
        self.out = []
        self.aborted = self.eof = self.closing = False
        self.reading = True
        self.high = 0

    def get_extra_info(self, _name):
        return (self.address, 1234)

    def set_write_buffer_limits(self, high):
        self.high = high

    def write(self, data):
        self.out.append(data)

    def write_eof(self):
        self.eof = True

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def abort(self):
        self.aborted = True


class Loop:
    """Time stands still, but that each look at the clock takes `step`."""

    def __init__(self):
        self.now = self.step = 0.0

    def time(self):
        self.now += self.step
        return self.now


class Line:
    """A connection, its transport, and a TLS client at the other end."""

    def __init__(self, house, pki, name="one", **more):
        self.house, self.loop = house, Loop()
        self.transport = FakeTransport(more.pop("address", "192.0.2.7"))
        self.connections = more.pop("connections", set())
        self.addresses = more.pop("addresses", Crowd())
        house.book[pki.fingerprint("one")] = "one"
        self.connection = Connection(
            server_context(pki.files),
            house.settings,
            self.connections,
            house.refusals,
            self._make,
            self.loop,
            self.addresses,
            house.turn,
        )
        self.connection.connection_made(self.transport)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = pki.client(name).wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def _make(self, connection, channel, _peer):
        session = self.house.session(channel.fingerprint(), connection)
        return session, session

    def shake_hands(self):
        for _ in range(3):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.do_handshake()
            self.exchange()
        return self

    def exchange(self):
        data = self.outgoing.read()
        if data:
            self.connection.data_received(data)
        for part in self.transport.out:
            self.incoming.write(part)
        self.transport.out.clear()

    def send(self, packet):
        self.tls.write(packet if isinstance(packet, bytes) else encode(packet, 5))
        self.exchange()
        self.house.turn_over()

    def read(self):
        self.exchange()
        try:
            return self.tls.read(65_536)
        except ssl.SSLWantReadError:
            return None


@pytest.fixture
def line(house, pki):
    return Line(house, pki).shake_hands()


def test_a_device_connects_and_is_answered(line):
    assert line.connection.phase == OPEN
    assert line.transport.high == HIGH_WATER
    line.send(p.Connect("c", 5))
    assert line.read()[0] == 0x20
    line.send(p.PingReq())
    assert line.read() == b"\xd0\0"
    assert line.connections == {line.connection}


def test_a_disconnect_ends_our_half_and_waits_for_the_peers(line):
    line.send(p.Connect("c", 5))
    line.send(p.Disconnect())
    assert line.transport.eof
    assert line.connection.phase == CLOSING
    line.connection.data_received(b"discarded")
    line.connection.finish()
    line.connection.eof_received()
    line.connection.connection_lost(None)
    assert line.connections == set()


def test_the_peers_close_notify_is_answered(line):
    line.send(p.Connect("c", 5))
    with pytest.raises(ssl.SSLWantReadError):
        line.tls.unwrap()
    line.exchange()
    assert line.transport.eof
    assert len(line.house.sessions) == 0


def test_a_peer_that_ends_its_half_and_stays_is_cut_whatever_its_keep_alive(line):
    line.send(encode(p.Connect("c", 4, keep_alive=0), 4))
    with pytest.raises(ssl.SSLWantReadError):
        line.tls.unwrap()
    line.exchange()
    line.connection.check(transport_module.LINGER)
    assert line.transport.aborted


def test_a_lost_connection_tells_the_session(line):
    line.send(p.Connect("c", 5))
    assert len(line.house.sessions) == 1
    line.connection.connection_lost(ConnectionResetError())
    assert len(line.house.sessions) == 0


@pytest.mark.parametrize("name", ["foreign", None])
def test_a_bad_certificate_is_refused_with_an_alert_and_counted(house, pki, name):
    line = Line(house, pki, name)
    with pytest.raises(ssl.SSLError):
        line.shake_hands().read()
    assert line.transport.eof
    assert line.connection.session is None
    assert house.refusals.counts == {"handshake": 1}


def test_something_else_than_tls_is_refused(house, pki):
    line = Line(house, pki)
    line.connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert line.connection.phase == CLOSING
    line.connection.send(b"never")
    line.loop.now = transport_module.LINGER
    line.connection.check(line.loop.now)
    assert line.transport.aborted


def test_a_handshake_that_takes_too_long_is_cut(house, pki):
    line = Line(house, pki)
    line.connection.check(house.settings.handshake_timeout - 0.1)
    assert not line.transport.aborted
    line.connection.check(house.settings.handshake_timeout)
    assert line.transport.aborted
    assert line.connection.phase == HANDSHAKE


def test_a_client_that_never_connects_is_cut(line):
    line.connection.check(line.house.settings.connect_timeout)
    assert line.transport.aborted
    assert line.house.refusals.counts == {"connect": 1}


def test_a_live_session_is_asked_for_its_keep_alive(line):
    line.send(p.Connect("c", 5, keep_alive=10))
    line.connection.check(1_000.0)
    assert line.transport.eof


def test_a_full_house_takes_nobody(house, pki):
    line = Line(house, pki, connections={object() for _ in range(house.settings.max_connections)})
    assert line.transport.aborted
    assert house.refusals.counts == {"full house": 1}


def test_a_full_address_takes_nobody_and_others_are_not_affected(make_house, pki):
    house = make_house(max_connections_per_address=2)
    crowd, connections = Crowd(), set()
    first, second, third = (Line(house, pki, addresses=crowd, connections=connections) for _ in range(3))
    assert [each.transport.aborted for each in (first, second, third)] == [False, False, True]
    third.connection.connection_lost(None)
    assert house.refusals.counts == {"full address": 1}
    assert crowd.count("192.0.2.7") == len(connections) == 2
    other = Line(house, pki, addresses=crowd, connections=connections, address="192.0.2.8")
    assert not other.transport.aborted
    first.connection.connection_lost(None)
    assert not Line(house, pki, addresses=crowd, connections=connections).transport.aborted
    first.connection.connection_lost(None)  # said twice, counted once
    assert crowd.count("192.0.2.7") == 2


def test_a_flood_before_connect_is_cut_at_its_bound(line):
    announced = b"\x10\xff\xff\xff\x7f"  # a CONNECT of 256 MB
    line.send(announced)
    assert line.transport.eof
    assert line.house.refusals.counts == {"protocol": 1}
    assert len(line.connection.session._framer.unfinished) == 0


def test_broken_tls_ends_the_session_at_once(line):
    line.send(p.Connect("c", 5))
    line.connection.data_received(b"\x17\x03\x03\x00\x05xxxxx")
    assert line.transport.eof
    assert len(line.house.sessions) == 0
    assert line.house.refusals.counts == {"tls": 1}


def test_a_peer_that_does_not_read_blocks_and_goes_on(line):
    line.send(p.Connect("c", 5))
    line.read()
    line.connection.pause_writing()
    line.send(p.PingReq())
    assert line.read() is None
    line.connection.resume_writing()
    line.house.turn_over()
    assert line.read() == b"\xd0\0"


def test_reading_can_be_held(line):
    line.connection.hold_reading(hold=True)
    assert not line.transport.reading
    line.connection.hold_reading(hold=False)
    assert line.transport.reading
    line.transport.closing = True
    line.connection.hold_reading(hold=True)
    assert line.transport.reading


def test_a_closing_transport_is_left_alone(line):
    line.transport.closing = True
    line.connection.finish()
    assert not line.transport.eof


class Above:
    """Takes bytes in place of a session, in parts."""

    def __init__(self):
        self.parts, self.ended = [], False

    def data(self, data, _now):
        self.parts.append(data)

    def lost(self):
        self.ended = True

    @property
    def whole(self):
        return b"".join(self.parts)


@pytest.fixture
def taking(line):
    line.connection._above = line.above = Above()
    return line


BYTES = bytes(range(256)) * 240  # 60 KB: below MUCH


def test_what_goes_fast_is_passed_on_in_few_parts(taking):
    taking.tls.write(BYTES)
    taking.exchange()
    assert [len(part) for part in taking.above.parts] == [FIRST_PART, 4096, 16384, len(BYTES) - 21 * 1024]
    assert taking.above.whole == BYTES
    assert taking.transport.reading


def test_what_takes_long_waits_for_its_turn_and_nothing_is_read_meanwhile(taking):
    taking.loop.step = SHARE
    taking.tls.write(BYTES)
    taking.exchange()
    assert taking.above.parts == [BYTES[:FIRST_PART]]
    turns = 0
    while taking.above.whole != BYTES:
        assert not taking.transport.reading
        assert len(taking.house.due) == 1
        taking.house.due.pop()()
        turns += 1
    assert turns == len(BYTES) / FIRST_PART - 1
    assert taking.transport.reading


def test_one_of_those_that_take_long_goes_on_in_each_turn(house, pki):
    connections, lines = set(), []
    for _ in range(3):
        line = Line(house, pki, connections=connections).shake_hands()
        line.connection._above = line.above = Above()
        line.loop.step = SHARE
        line.tls.write(BYTES[: 3 * FIRST_PART])
        line.exchange()
        lines.append(line)
    counts = []
    while house.due:
        house.due.pop(0)()
        counts.append([len(line.above.parts) for line in lines])
    assert counts == [[2, 1, 1], [2, 2, 1], [2, 2, 2], [3, 2, 2], [3, 3, 2], [3, 3, 3]]


def test_what_a_session_does_not_want_now_waits_here(taking):
    taking.connection.hold_reading(hold=True)
    taking.connection.data_received(b"")
    taking.tls.write(b"early")
    taking.exchange()
    assert taking.above.parts == []
    assert not taking.transport.reading
    taking.connection.hold_reading(hold=False)
    assert taking.above.parts == []  # never while the session is in the middle of something
    taking.house.due.pop()()
    assert taking.above.parts == [b"early"]
    assert taking.transport.reading


def test_a_session_that_is_held_in_the_middle_gets_no_more(taking):
    data = taking.above.data

    def hold(part, now):
        data(part, now)
        taking.connection.hold_reading(hold=True)

    taking.above.data = hold
    taking.tls.write(BYTES)
    taking.exchange()
    assert taking.above.parts == [BYTES[:FIRST_PART]]
    assert taking.house.due == []
    taking.above.data = data
    taking.connection.hold_reading(hold=False)
    taking.house.due.pop()()
    assert taking.above.whole == BYTES


def test_a_hold_between_two_turns_is_kept(taking):
    taking.loop.step = SHARE
    taking.tls.write(BYTES)
    taking.exchange()
    taking.connection.hold_reading(hold=True)
    taking.house.due.pop()()
    assert len(taking.above.parts) == 1
    assert taking.house.due == []
    taking.connection.hold_reading(hold=False)
    taking.house.due.pop()()
    assert len(taking.above.parts) == 2


@pytest.fixture
def flooding(line):
    line.send(p.Connect("c", 5))
    data = encode(p.Publish("t/x", b"x" * 1000), 5) * 200
    assert len(data) > MUCH
    line.tls.write(data)
    line.exchange()
    return line


def test_who_has_much_to_say_rests_for_a_turn(flooding):
    assert not flooding.transport.reading
    flooding.house.turn_over()
    assert flooding.transport.reading
    flooding.send(p.PingReq())
    assert flooding.transport.reading


def test_a_rest_does_not_end_what_the_session_holds(flooding):
    flooding.connection.hold_reading(hold=True)
    flooding.house.turn_over()
    assert not flooding.transport.reading
    flooding.connection.hold_reading(hold=False)
    assert flooding.transport.reading


def test_what_the_session_held_waits_for_the_end_of_the_rest(flooding):
    flooding.connection.hold_reading(hold=True)
    flooding.connection.hold_reading(hold=False)
    assert not flooding.transport.reading
    flooding.house.turn_over()
    assert flooding.transport.reading


def test_who_hangs_up_while_it_rests_is_left_alone(flooding):
    flooding.transport.closing = True
    flooding.house.turn_over()
    assert not flooding.transport.reading


@pytest.mark.parametrize("by", ["TLS", "TCP"])
def test_what_came_before_the_end_is_passed_on_before_it(taking, by):
    taking.loop.step = SHARE
    taking.tls.write(BYTES[: 2 * FIRST_PART])
    if by == "TLS":
        with contextlib.suppress(ssl.SSLWantReadError):
            taking.tls.unwrap()
    taking.exchange()
    assert not taking.above.ended
    if by == "TCP":
        taking.connection.connection_lost(None)
    else:
        taking.house.due.pop()()
        assert taking.transport.eof
    assert taking.above.whole == BYTES[: 2 * FIRST_PART]
    assert taking.above.ended


def test_what_waits_when_our_side_hangs_up_is_void(taking):
    taking.loop.step = SHARE
    taking.tls.write(BYTES)
    taking.exchange()
    taking.connection.finish()
    assert taking.transport.reading  # what still comes is thrown away
    taking.house.due.pop()()
    taking.connection.connection_lost(None)
    assert len(taking.above.parts) == 1


def test_packets_behind_a_connect_that_waits_are_not_looked_at(line, monkeypatch):
    """A peer that is nobody yet cannot make us keep an object for every two bytes."""
    answers = []
    monkeypatch.setattr(
        CertificateCredential, "identify", lambda _self, _packet, answer: answers.append(answer)
    )
    line.send(encode(p.Connect("c", 5), 5) + b"\xc0\0" * 30_000)
    assert len(line.connection.session._entering._early) < FIRST_PART
    assert not line.transport.reading
    answers[0](identity.device("one"))
    line.house.turn_over()
    heard = b"".join(iter(line.read, None))
    assert heard.count(b"\xd0\0") == 30_000
    assert line.transport.reading
