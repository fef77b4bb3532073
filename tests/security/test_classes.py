"""The classes of vulnerability that brokers of others had, each held by a test named after its class.

Here is what concerns the listener, the language and the routes. The rest is in files beside this one, by number or by
subject; docs/security.md has the whole table.
"""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, ConfigError, RemoteProtocolError, TopicError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.topic import check_filter, check_topic
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.router import Router

BOTH = pytest.mark.parametrize("version", [V311, V5], ids=["3.1.1", "5"])
OPEN_ROWS = [Row(("device:*",), ("t/#",), ("device:*",))]


class Wire:
    def __init__(self):
        self.blocked, self.sent, self.closed, self.held = False, b"", False, False

    def send(self, data):
        self.sent += data

    def finish(self):
        self.closed = True

    def hold_reading(self, hold):
        self.held = hold


class House:
    """Devices a, b and c on routes; the registry knows a certificate for each."""

    def __init__(self, rows=None, **settings):
        self.clock, self.due = ManualClock(), []
        self.book = {name: name for name in "abc"}
        self.specs = {name: DeviceSpec(name, name) for name in "abc"}
        self.router, self.sessions = Router(self.clock), Sessions()
        self.router.set_rows(OPEN_ROWS if rows is None else rows, self.specs)
        self.settings, self.turn = ListenerSettings(**settings), Turn(self.due.append)
        self.refusals = Refusals()
        self.wires = {}

    def lookup(self, fingerprint):
        return self.book.get(fingerprint)

    def open(self, name):
        wire = Wire()
        door = Door(self.settings, self.router, self.sessions, self.refusals, self.turn, self.clock)
        credential = CertificateCredential(Admission(self, self.specs.get), name)
        session = DeviceSession(wire, credential, "peer", door)
        self.wires[session] = wire
        return session

    def connect(self, name, version=V5, **more):
        session = self.open(name)
        self.send(session, p.Connect(f"client-{name}", version, **more), version)
        return session

    def send(self, session, packet, version=V5):
        self.feed(session, encode(packet, version))

    def feed(self, session, data):
        session.data(data, self.clock.monotonic())
        while self.due:
            self.due.pop()()

    def heard(self, session, version=V5):
        wire = self.wires[session]
        data, wire.sent = wire.sent, b""
        return [decode(first, body, version) for first, body in Framer(1 << 24).feed(data)]


def subscribe(house, session, topic_filter, version=V5):
    house.send(session, p.Subscribe(1, [p.SubscriptionOptions(topic_filter)]), version)
    return house.heard(session, version)[-1].reason_codes


def published(packets):
    return [(each.topic, each.payload) for each in packets if isinstance(each, p.Publish)]


def test_class_01_memory_for_a_huge_length_before_connect():
    tracemalloc.start()
    try:
        house = House()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            session = house.open("a")
            house.feed(session, bytes.fromhex("10ffffff7f") + b"x" * 1000)
            assert house.wires[session].closed
        assert tracemalloc.get_traced_memory()[0] - before < 100 * 64 * 1024
    finally:
        tracemalloc.stop()


@BOTH
def test_class_02_qos_2_ids_that_are_never_released(version):
    house = House(receive_maximum=10)
    session = house.connect("a", version)
    for number in range(1, 11):
        house.send(session, p.Publish("t/a", b"", 2, packet_id=number), version)
    assert session.live
    house.send(session, p.Publish("t/a", b"", 2, packet_id=11), version)
    assert not session.live
    assert house.wires[session].closed


def test_class_03_a_leak_in_what_is_refused():
    """CONNECT, will and SUBSCRIBE with properties that are wrong at their very end; memory stays where it was."""
    house = House()
    extra = PropertyMap({pr.USER_PROPERTY: [("k", "v" * 50)] * 20})
    will = p.Will("t/w", b"x" * 500, properties=extra)
    bad_connect = bytearray(encode(p.Connect("c", will=will, properties=extra), V5))
    bad_connect[-500 - 2 - 2] = 0xFF  # the will's topic is no UTF-8 any more
    bad_subscribe = bytearray(encode(p.Subscribe(1, [p.SubscriptionOptions("t/a")], extra), V5))
    bad_subscribe[-1] = 0xFF

    def refuse(times):
        for _ in range(times):
            first = house.open("a")
            house.feed(first, bytes(bad_connect))
            assert house.wires.pop(first).closed
            second = house.connect("a")
            house.feed(second, bytes(bad_subscribe))
            assert house.wires.pop(second).closed

    refuse(50)
    tracemalloc.start()
    try:
        refuse(50)
        gc.collect()  # a session and its parts know one another
        before = tracemalloc.get_traced_memory()[0]
        refuse(500)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 64 * 1024
    finally:
        tracemalloc.stop()
    assert len(house.sessions) == 0


@pytest.mark.parametrize("text", ["/" * 65_535, "a/" * 32_767])
def test_class_04_depth_of_topics(text):
    for check in (check_topic, check_filter):
        with pytest.raises(TopicError, match="levels"):
            check(text)
    house = House()
    for packet in (p.Publish(text), p.Subscribe(1, [p.SubscriptionOptions(text)]), p.Unsubscribe(1, [text])):
        session = house.connect("a")
        house.send(session, packet)
        assert house.wires[session].closed
    refused = house.open("a")
    house.send(refused, p.Connect("c", will=p.Will(text, b"")))
    assert house.wires[refused].closed


def test_class_05_quadratic_work_on_many_user_properties():
    """No more than 256 in a packet are looked at, so the work has a bound whatever it grows with."""
    house = House()
    session = house.connect("a")
    house.send(session, p.Publish("t/a", properties=PropertyMap({pr.USER_PROPERTY: [("k", "v")] * 10_000})))
    assert [each.reason_code for each in house.heard(session) if isinstance(each, p.Disconnect)] == [0x97]


@pytest.mark.parametrize("length", ["ffffffff", "8080808001", "ffffffff7f", "8000", "ffff80", "ffffff00"])
@pytest.mark.parametrize("first", range(256))
def test_class_06_lengths_of_packets(first, length):
    """Five bytes, not the shortest form, more than there is: refused or waited for, with any first byte."""
    framer, reason = Framer(1000), None
    try:
        assert not list(framer.feed(bytes((first,)) + bytes.fromhex(length)))
    except RemoteProtocolError as error:
        reason = error.reason_code
    assert reason in {0x81, 0x95, None}
    assert len(framer.unfinished) <= 5


def test_class_07_a_flood_for_one_receiver_costs_only_that_one():
    house = House(max_queued=10, max_unsent=10_000)
    flooder, slow, honest = (house.connect(name) for name in "abc")
    for each in (slow, honest):
        subscribe(house, each, "t/#")
    house.wires[slow].blocked = True
    for number in range(1000):
        house.send(flooder, p.Publish("t/a", b"%04d" % number + b"x" * 100))
    assert len(published(house.heard(honest))) == 1000
    assert house.wires[slow].sent == b""
    assert slow.dropped > 900
    assert honest.dropped == 0


@BOTH
def test_class_08_takeovers_while_messages_flow(version):
    house = House()
    publisher = house.connect("b", version)
    for number in range(300):
        session = house.connect("a", version)
        assert subscribe(house, session, "t/#", version) == [0]
        house.send(publisher, p.Publish("t/a", b"%d" % number), version)
        assert published(house.heard(session, version)) == [("t/a", b"%d" % number)]
    assert len(house.sessions) == 2
    assert house.router.status()["subscriptions"] == 1


@pytest.mark.parametrize("name", ["+", "#", "a/b", "+/#", "${thing}", "*", ""])
def test_class_09_wildcards_in_names(name, tmp_path):
    """A name stands in topics and rules: what could be a pattern can be no device, and a client id is in none."""
    authority = CertificateAuthority.load_or_create(tmp_path)
    with pytest.raises(CertificateError, match="name"):
        authority.issue_device(name)
    house = House([Row(("device:*",), ("${thing}/#",), ("device:*",))])
    session = house.open("a")
    house.send(session, p.Connect(name or "x"))
    assert subscribe(house, house.connect("b"), "b/#") is not None
    house.send(session, p.Publish("b/x", b"", 1, packet_id=1))
    assert [each.reason_code for each in house.heard(session) if isinstance(each, p.PubAck)] == [0x87]


@BOTH
@pytest.mark.parametrize("topic", ["x", "$SYS/a", "$share/g/t", "$aws/things/b/shadow/update"])
def test_class_10_wills_beyond_the_route(topic, version):
    house = House()
    session = house.open("a")
    house.send(session, p.Connect("c", version, will=p.Will(topic, b"")), version)
    assert house.heard(session, version)[0].reason_code == (0x87 if version == V5 else 5)
    assert house.wires[session].closed


def test_class_10_a_will_whose_route_is_gone_is_not_published():
    house = House()
    session, other = house.connect("a", will=p.Will("t/w", b"gone")), house.connect("b")
    subscribe(house, other, "t/#")
    house.router.set_rows([], house.specs)
    session.lost()
    house.feed(other, b"\xc0\0")
    assert published(house.heard(other)) == []


def test_class_11_a_retained_message_outlives_no_right():
    house = House()
    house.send(house.connect("a"), p.Publish("t/k", b"kept", retain=True))
    house.router.set_rows([Row(("device:b",), ("t/#",), ("device:*",))], house.specs)
    reader = house.connect("c")
    subscribe(house, reader, "t/#")
    assert published(house.heard(reader)) == []


def test_class_12_a_subscription_outlives_no_right():
    house = House()
    writer, reader = house.connect("a"), house.connect("b")
    subscribe(house, reader, "t/#")
    house.send(writer, p.Publish("t/a", b"1", 2, packet_id=1))
    house.heard(reader)
    house.router.set_rows([], house.specs)
    house.send(writer, p.PubRel(1))
    house.send(writer, p.Publish("t/a", b"2"))
    assert published(house.heard(reader)) == []
    del house.book["b"]  # and a revoked certificate ends its session at once
    reader.recheck()
    assert house.wires[reader].closed


@pytest.mark.parametrize("rows", [[], [Row(("device:c",), ("t/#",), ("device:*",))]])
def test_class_13_no_route_and_no_entry_is_no_right(rows):
    house = House(rows)
    session = house.connect("a")
    assert subscribe(house, session, "x/#") == [0x87]
    house.send(session, p.Publish("t/a", b"", 1, packet_id=1))
    assert house.heard(session)[-1].reason_code == 0x87
    for emptied in (house.book, house.specs):
        emptied.clear()
        assert house.heard(house.connect("a"))[0].reason_code == 0x87


@pytest.mark.parametrize(
    "wrong", [{"port": -1}, {"max_connections": 0}, {"max_packet_size": 1}, {"receive_maximum": 0}]
)
def test_class_13_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ConfigError):
        ListenerSettings(**wrong)


@BOTH
@pytest.mark.parametrize(
    "topic", ["$", "$SYS", "$SYS/", "$/", "/", "//", "$share", "$share/", "$share/g", "$share//t"]
)
def test_class_14_dollar_topics_and_empty_levels(topic, version):
    house = House()
    for packet in (
        p.Publish(topic, b"x", retain=True),
        p.Subscribe(1, [p.SubscriptionOptions(topic)]),
        p.Unsubscribe(1, [topic]),
    ):
        session = house.connect("a", version)
        house.send(session, packet, version)
        house.send(session, p.PingReq(), version)
        assert isinstance(house.heard(session, version)[-1], p.PingResp)


@BOTH
def test_class_14_an_empty_topic(version):
    house = House()
    session = house.connect("a", version)
    house.feed(session, b"\x30\x02\0\0" if version == V311 else b"\x30\x03\0\0\0")
    assert house.wires[session].closed


@BOTH
@pytest.mark.parametrize("kind", [0, 2, 9, 11, 13, 15])
def test_class_15_packets_that_no_client_sends(kind, version):
    house = House()
    first, live = house.open("a"), house.connect("b", version)
    for session in (first, live):
        for body in (b"\0\0", b"\0\1\0"):
            if not house.wires[session].closed:
                house.feed(session, bytes((kind << 4, len(body))) + body)
        assert house.wires[session].closed


@BOTH
def test_class_16_a_client_that_says_nothing_more(version):
    house = House()
    session = house.connect("a", version, keep_alive=10)
    house.feed(session, b"\x30")  # the first byte of a packet whose rest never comes
    house.clock.advance(15.1)
    session.check(house.clock.monotonic())
    assert house.wires[session].closed


def test_class_16_no_keep_alive_is_not_for_ever_in_5():
    house = House(max_keep_alive=100)
    session = house.connect("a", keep_alive=0)
    house.clock.advance(151.0)
    session.check(house.clock.monotonic())
    assert house.wires[session].closed


def test_class_17_keys_that_others_can_read(tmp_path):
    CertificateAuthority.load_or_create(tmp_path).ensure_server_certificate(())
    keys = list(tmp_path.glob("*.key"))
    assert keys
    assert {key.stat().st_mode & 0o077 for key in keys} == {0}
