import pytest

from edgecore.base import identity
from edgecore.base.commit import Commit
from edgecore.base.errors import NotAuthorizedError, RefusedError, StoreError
from edgecore.base.group import Row
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap

BOTH = pytest.mark.parametrize("version", [V311, V5])


class Port:
    """A room that takes messages, durably later or not at all."""

    principal = CORE

    def __init__(self):
        self.commits, self.refuse = [], ""

    def deliver(self, message, qos, retain):
        if self.refuse:
            raise RefusedError(self.refuse)
        self.commits.append(Commit())
        return self.commits[-1]


@pytest.fixture
def port(house):
    port = Port()
    house.routes(Row(("device:*",), ("t/#",), ("cloud",)))
    house.router.attach("cloud", port)
    return port


def connect(house, certificate="one", version=V5, **fields):
    session = house.session(certificate)
    session.data(encode(p.Connect("c", version, **fields), version), 0.0)
    return session


@BOTH
def test_an_unknown_certificate_is_refused_at_connect(house, version):
    session = connect(house, "nobody", version)
    assert session._wire.sent[0][3] == (0x87 if version == V5 else 5)
    assert session._wire.finished
    assert house.refusals.counts == {"connect": 1}
    assert house.refusals.connects == {"not_authorized": 1}
    session.lost()
    assert len(house.sessions) == 0


def test_a_device_outside_the_group_is_refused(house):
    del house.specs["one"]
    assert connect(house)._wire.finished


def test_an_empty_client_id_without_clean_session_is_refused(house):
    session = house.session("one")
    session.data(encode(p.Connect("", V311, False), V311), 0.0)
    assert session._wire.sent == [b"\x20\x02\0\2"]


def test_a_client_without_id_is_given_one(house):
    one = house.session("one")
    one.data(encode(p.Connect("", V5), V5), 0.0)
    house.turn_over()
    assert one.client_id
    assert one.client_id.encode() in one._wire.sent[0]


def test_a_first_packet_that_is_no_connect_ends_it_at_once(house):
    session = house.session("one")
    session.data(b"\x30\xff\xff\xff\x7f", 0.0)
    assert session._wire.finished
    assert session._wire.sent == []
    assert len(session._framer.unfinished) == 0


def test_a_will_without_a_route_is_refused_at_connect(house):
    session = connect(house, will=p.Will("secret", b""))
    assert session._wire.sent[0][3] == 0x87


@BOTH
def test_messages_flow_between_devices(house, version):
    one, two = house.device("one", version), house.device("two", version)
    assert two.subscribe("t/+", 2) == [p.SubAck(1, [2])]
    one.send(*(p.Publish("t/a", b"hi", qos, packet_id=qos) for qos in (0, 1, 2)))
    assert one.receive() == [p.PubAck(1), p.PubRec(2)]
    found = two.receive()
    assert [(each.topic, each.payload, each.qos) for each in found] == [
        ("t/a", b"hi", qos) for qos in (0, 1, 2)
    ]
    assert house.router.published == 3


def test_versions_mix(house):
    old, new = house.device("one", V311), house.device("two", V5)
    old.subscribe()
    new.subscribe()
    old.send(p.Publish("t/a", b"1"))
    new.send(p.Publish("t/a", b"2", properties=PropertyMap({pr.CONTENT_TYPE: "text/plain"})))
    assert [each.payload for each in old.receive()] == [b"1", b"2"]
    first, second = new.receive()
    assert first.properties is None
    assert second.properties.text(pr.CONTENT_TYPE) == "text/plain"


def test_what_no_route_allows_is_refused(house):
    one, two = house.device("one", V5), house.device("two", V311)
    for device in (one, two):
        device.send(p.Publish("other", b"", 1, packet_id=1))
    assert one.receive() == [p.PubAck(1, 0x87)]
    assert two.receive() == [p.PubAck(1)]
    assert house.router.denied == {"device:one": 1, "device:two": 1}


@pytest.mark.parametrize(("topic_filter", "code"), [("other", 0x87), ("$share/g/other", 0x87)])
def test_a_subscription_that_cannot_be_had_is_named(house, topic_filter, code):
    assert house.device("one").subscribe(topic_filter) == [p.SubAck(1, [code])]
    assert house.device("two", V311).subscribe(topic_filter) == [p.SubAck(1, [0x80])]


def test_the_number_of_subscriptions_is_bounded(make_house):
    one = make_house(max_subscriptions=2).device()
    codes = [one.subscribe(f"t/{number}")[0].reason_codes for number in (1, 2, 3, 2)]
    assert codes == [[0], [0], [0x97], [0]]


def test_nothing_comes_after_unsubscribe(house):
    one = house.device()
    one.subscribe("t/#")
    one.send(p.Unsubscribe(2, ["t/#", "t/#"]), p.Publish("t/a", b""))
    assert one.receive() == [p.UnsubAck(2, [0, 0x11])]


def test_retained_messages_come_by_retain_handling(house):
    one, two = house.device("one"), house.device("two")
    one.send(p.Publish("t/a", b"kept", 1, retain=True, packet_id=1))
    for handling, copies in ((2, 0), (1, 0), (0, 1)):
        found = two.subscribe("t/#", 0, retain_handling=handling)
        assert [(each.payload, each.retain) for each in found[1:]] == [(b"kept", True)] * copies
    assert len(house.device("three").subscribe("t/a", 1, retain_handling=1)) == 2


def test_an_acknowledgement_waits_for_the_commit(house, port):
    one = house.device()
    one.send(p.Publish("t/a", b"1", 1, packet_id=1), p.Publish("t/a", b"2", 1, packet_id=2))
    assert one.receive() == []
    port.commits[1].resolve()
    assert one.receive() == []
    port.commits[0].resolve()
    assert one.receive() == [p.PubAck(1), p.PubAck(2)]


def test_reading_stops_while_too_much_waits_for_commits(make_house):
    house = make_house(receive_maximum=1)
    port = Port()
    house.routes(Row(("device:*",), ("t/#",), ("cloud",)))
    house.router.attach("cloud", port)
    one = house.device("one", V311)
    one.send(p.Publish("t/a", b"1", 1, packet_id=1))
    assert one.wire.holding
    port.commits[0].resolve()
    assert not one.wire.holding


@BOTH
def test_a_failed_commit_is_no_success(house, port, version):
    one = house.device("one", version)
    one.send(p.Publish("t/a", b"1", 1, packet_id=1))
    port.commits[0].resolve(OSError("disk full"))
    assert one.receive() == ([p.PubAck(1, 0x97)] if version == V5 else [])
    assert one.wire.finished == (version == V311)


@BOTH
def test_a_full_queue_is_no_success(house, port, version):
    one = house.device("one", version)
    port.refuse = "full"
    one.send(p.Publish("t/a", b"1", 2, packet_id=1))
    assert one.receive() == ([p.PubRec(1, 0x97)] if version == V5 else [])
    assert one.wire.finished == (version == V311)


def test_a_commit_after_the_connection_is_gone_hurts_nobody(house, port):
    one = house.device()
    one.send(p.Publish("t/a", b"1", 1, packet_id=1))
    one.session.lost()
    port.commits[0].resolve()
    assert one.receive() == []


def test_expiry_and_properties_travel(house):
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    sent = PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: 60, pr.USER_PROPERTY: [("a", "1"), ("a", "2")]})
    one.send(p.Publish("t/a", b"", properties=sent))
    assert two.receive()[0].properties == sent


def test_the_will_is_published_when_the_connection_is_lost(house):
    properties = PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: 60, pr.WILL_DELAY_INTERVAL: 0})
    one, two = house.device("one", will=p.Will("t/w", b"gone", 1, properties=properties)), house.device("two")
    two.subscribe()
    one.session.lost()
    one.session.lost()
    (will,) = two.receive()
    assert (will.topic, will.payload) == ("t/w", b"gone")
    assert will.properties == {pr.MESSAGE_EXPIRY_INTERVAL: 60}
    assert len(house.sessions) == 1


def test_the_will_is_not_published_after_disconnect(house):
    one, two = house.device("one", will=p.Will("t/w", b"gone")), house.device("two")
    two.subscribe()
    one.send(p.Disconnect())
    assert one.wire.finished
    one.session.lost()
    assert two.receive() == []


def test_a_fault_ends_one_session_and_nobody_else_notices(house):
    one, two = house.device("one", will=p.Will("t/w", b"gone")), house.device("two")
    two.subscribe()
    one.send(p.Publish("t/a", b"before"), b"\xc1\0", p.Publish("t/a", b"after"))
    assert one.receive()[0].reason_code == 0x81
    assert one.wire.finished
    assert [each.payload for each in two.receive()] == [b"before", b"gone"]
    assert not two.wire.finished
    assert house.refusals.counts == {"protocol": 1}


def test_takeover_ends_the_old_session(house):
    old = house.device("one")
    old.subscribe()
    new = house.device("one")
    assert old.receive()[-1].reason_code == 0x8E
    assert old.wire.finished
    assert list(house.sessions) == [new.session]
    new.send(p.Publish("t/a", b""))
    assert old.receive() == []


def test_the_same_client_id_of_another_device_is_another_session(house):
    house.device("one", client_id="c")
    other = house.device("two", client_id="c")
    assert len(house.sessions) == 2
    assert not other.wire.finished


def test_a_silent_client_is_ended_at_its_deadline(house):
    one = house.device("one", keep_alive=10)
    one.session.check(14.9)
    assert not one.wire.finished
    one.session.check(15.0)
    assert one.receive()[0].reason_code == 0x8D
    assert one.wire.finished


def test_recheck_ends_who_is_no_longer_admitted(house):
    one, two = house.device("one", will=p.Will("t/w", b"gone")), house.device("two")
    two.subscribe()
    house.book.pop("one")
    one.session.recheck()
    two.session.recheck()
    assert one.receive()[0].reason_code == 0x87
    assert two.receive() == []  # no will of who may not speak
    assert not two.wire.finished


def test_shutting_down_says_so_and_publishes_no_will(house):
    one, two = house.device("one", will=p.Will("t/w", b"gone")), house.device("two")
    two.subscribe()
    one.session.shut_down()
    assert one.receive()[0].reason_code == 0x8B
    assert two.receive() == []


def test_a_blocked_receiver_costs_only_itself(make_house):
    house = make_house(max_unsent=64)
    one, slow, quick = (house.device(name) for name in ("one", "two", "three"))
    slow.subscribe()
    quick.subscribe()
    slow.wire.blocked = True
    frame = encode(p.Publish("t/a", b"x" * 20), V5)
    for _ in range(5):
        one.send(frame)
        assert len(quick.receive()) == 1
    assert slow.wire.sent == []
    assert slow.session.dropped == 3
    slow.wire.blocked = False
    slow.session.writable()
    assert len(slow.receive()) == 2


def test_the_window_goes_on_when_a_blocked_receiver_reads_again(house):
    one, slow = house.device("one"), house.device("two")
    slow.subscribe("t/#", 1)
    slow.wire.blocked = True
    slow.session._mqtt.unsent = house.settings.max_unsent
    one.send(p.Publish("t/a", b"1", 1, packet_id=1))
    assert slow.receive() == []
    slow.session._mqtt.unsent = 0
    slow.wire.blocked = False
    slow.session.writable()
    assert [each.payload for each in slow.receive()] == [b"1"]
    slow.send(p.PubAck(1))
    assert slow.session._mqtt.outbound.in_flight == 0


def test_much_for_one_receiver_does_not_wait_for_the_end_of_the_turn(house):
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    frame = encode(p.Publish("t/a", b"x" * 1000), V5)
    for _ in range(3):
        one.send(frame * 60)
    assert two.wire.sent
    assert len(two.receive()) == 180


def test_unfinished_packets_do_not_leave_the_fast_path_for_long(house):
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    frame = encode(p.Publish("t/a", b"x" * 50), V5)
    data = frame * 20
    for start in range(0, len(data), 37):
        one.send(data[start : start + 37])
    assert len(two.receive()) == 20
    large = encode(p.Publish("t/a", b"y" * 40_000), V5)
    for start in range(0, len(large), 9_000):
        one.send(large[start : start + 9_000])
    assert len(two.receive()[0].payload) == 40_000


def test_a_changed_table_is_seen_at_the_next_message(house):
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    one.send(p.Publish("t/a", b"1"))
    house.routes()
    one.send(p.Publish("t/a", b"2"))
    assert [each.payload for each in two.receive()] == [b"1"]
    assert house.router.denied == {"device:one": 1}


@pytest.mark.parametrize("topic", [b"\0\3a/+", b"\0\2\xff\xff", b"\0\0"])
def test_a_bad_topic_is_refused_on_the_fast_path_too(house, topic):
    one = house.device("one", V5)
    one.send(bytes((0x30, len(topic) + 1)) + topic + b"\0")
    assert one.receive()[0].reason_code in (0x90, 0x81)
    assert one.wire.finished


def test_messages_for_rooms_take_the_general_path(house, port):
    one = house.device()
    one.send(p.Publish("t/a", b"1"), p.Publish("t/a", b"2"))
    assert len(port.commits) == 2


def test_an_expiring_message_is_delivered_with_its_remaining_life(house):
    two = house.device("two")
    two.session.deliver(Message("t", b"", 0, CORE, expires_at=house.clock.now() + 9), 0, False)
    assert two.receive()[0].properties == {pr.MESSAGE_EXPIRY_INTERVAL: 9}


@BOTH
def test_a_device_with_too_many_connections_is_refused_and_others_are_not(make_house, version):
    house = make_house(max_connections_per_device=2)
    first, second = (house.device("one", version, client_id=each) for each in "ab")
    third = connect(house, "one", version)
    assert third._wire.sent[0][3] == (0x97 if version == V5 else 3)
    assert third._wire.finished
    assert house.refusals.counts == {"connect": 1}
    assert not first.wire.finished
    assert not second.wire.finished
    house.device("two", version, client_id="c")
    again = house.device("one", version, client_id="a")  # a takeover adds nobody
    assert first.wire.finished
    again.send(p.Disconnect())
    house.device("one", version, client_id="c")
    assert house.sessions.devices.count("device:one") == 2


def test_a_refused_connection_that_ends_is_not_counted_away(make_house):
    house = make_house(max_connections_per_device=1)
    house.device("one", client_id="a")
    connect(house).lost()
    assert house.sessions.devices.count("device:one") == 1


@BOTH
def test_packets_and_bytes_are_counted_on_both_paths(house, version):
    one, two = house.device("one", version), house.device("two", version)
    two.subscribe(qos=1)
    before = house.sessions.traffic.status()
    plain = encode(p.Publish("t/a", b"x"), version) * 3
    asked = encode(p.Publish("t/a", b"x", 1, packet_id=1), version)
    one.send(plain)
    one.send(asked)
    house.turn_over()
    sent = b"".join(one.wire.sent + two.wire.sent)
    now = house.sessions.traffic.status()
    assert {key: now[key] - before[key] for key in now} == {
        "received": 4,
        "sent": 5,  # one PUBACK more
        "publishes_received": 4,
        "publishes_sent": 4,
        "bytes_received": len(plain + asked),
        "bytes_sent": len(sent),
        "sockets": 0,
        "connects": 0,
    }
    assert two.session.in_flight == 1
    assert two.session.queued == 0


def test_a_packet_that_ends_the_session_is_counted(house):
    one = house.device("one")
    before = house.sessions.traffic.received
    one.send(p.PingReq(), b"\xf0\0")
    assert house.sessions.traffic.received == before + 2


def test_the_wait_for_a_commit_is_timed_one_at_a_time(house, port):
    one = house.device("one")
    one.send(*(p.Publish("t/a", b"", 1, packet_id=each) for each in (1, 2)))
    house.clock.advance(0.002)
    for commit in port.commits:
        commit.resolve()
    one.send(p.Publish("t/a", b"", 1, packet_id=3))
    house.clock.advance(0.3)
    port.commits[2].resolve()
    one.send(p.Publish("t/a", b"", 1, packet_id=4))
    port.commits[3].resolve(StoreError("no disk"))
    status = house.sessions.traffic.acknowledged.status()
    assert status["buckets"][-1] == ["+Inf", 2]
    assert ["0.001", 0] in status["buckets"]
    assert ["0.0025", 1] in status["buckets"]
    assert status["sum"] == 0.302


def test_drops_of_sessions_that_are_over_stay_counted(make_house):
    house = make_house(max_unsent=10)
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    one.send(p.Publish("t/a", b"x" * 100))
    assert two.session.dropped == 1
    two.session.lost()
    assert house.sessions.traffic.dropped == 1


@pytest.mark.parametrize(
    "pairs",
    [[("", "")] * 257, [("k", "v" * 60_000), ("k", "v" * 6_000)]],
    ids=["count", "bytes"],
)
def test_too_many_user_properties_end_one_session_by_name(house, pairs):
    one, two = house.device("one"), house.device("two")
    one.send(p.Publish("t/a", b"", 1, packet_id=1, properties=PropertyMap({pr.USER_PROPERTY: pairs})))
    assert one.receive()[-1].reason_code == 0x97
    assert one.wire.finished
    assert not two.wire.finished


@pytest.mark.parametrize("topic", ["/" * 64, "t/" + "a/" * 70], ids=["slashes", "levels"])
@pytest.mark.parametrize("packet", ["publish", "subscribe"])
def test_a_topic_that_is_too_deep_ends_one_session_by_name(house, topic, packet):
    one, two = house.device("one"), house.device("two")
    if packet == "publish":
        one.send(p.Publish(topic, b"", 1, packet_id=1))
    else:
        one.send(p.Subscribe(1, [p.SubscriptionOptions(topic, 1)]))
    assert one.receive()[-1].reason_code == (0x90 if packet == "publish" else 0x8F)
    assert one.wire.finished
    assert not two.wire.finished


def test_more_in_flight_than_was_announced_ends_one_session_by_name(make_house):
    house = make_house(receive_maximum=2)
    house.routes(Row(("device:*",), ("t/#",), ("device:*",)))
    one, two = house.device("one"), house.device("two")
    one.send(*(p.Publish("t/a", b"", 2, packet_id=each) for each in (1, 2, 3)))
    assert one.receive()[-1].reason_code == 0x93
    assert one.wire.finished
    assert not two.wire.finished


def test_as_much_in_flight_as_was_announced_is_taken_whatever_its_qos(make_house):
    house = make_house(receive_maximum=3)
    house.routes(Row(("device:*",), ("t/#",), ("cloud",)))
    house.router.attach("cloud", Port())
    one = house.device("one")
    one.send(*(p.Publish("t/a", b"", qos, packet_id=each) for each, qos in ((1, 2), (2, 2), (3, 1))))
    assert one.receive() == []
    assert not one.wire.finished


def test_the_bytes_queued_for_one_session_are_bounded_oldest_first(make_house):
    house = make_house(max_in_flight=1, max_queued_bytes=2_000)
    one, two, three = (house.device(each) for each in ("one", "two", "three"))
    two.subscribe(qos=1)
    three.subscribe(qos=1)
    for number in range(1, 6):
        one.send(p.Publish("t/a", bytes([number]) * 500, 1, packet_id=number))
        heard = [each for each in three.receive() if isinstance(each, p.Publish)]
        three.send(*(p.PubAck(each.packet_id) for each in heard))
    assert three.session.dropped == 0
    assert two.session.queued == 2
    assert two.session.dropped == 2
    first = two.receive()[-1]
    two.send(p.PubAck(first.packet_id))
    assert two.receive()[-1].payload[0] == 4


@BOTH
def test_the_server_keep_alive_is_announced_where_the_version_can(make_house, version):
    house = make_house(max_keep_alive=30)
    session = house.session("one")
    session.data(encode(p.Connect("c", version, keep_alive=100), version), 0.0)
    house.turn_over()
    [(first, body)] = Framer(1 << 20).feed(b"".join(session._wire.sent))
    granted = decode(first, body, version).properties.integer(pr.SERVER_KEEP_ALIVE)
    assert granted == (30 if version == V5 else 0)
    session.check(45.0)
    assert session._wire.finished == (version == V5)
    session.check(150.0)
    assert session._wire.finished


class Later:
    """A credential that answers when told, as one does that must be computed first."""

    label = "later"

    def __init__(self):
        self.answer = None

    def identify(self, connect, answer):
        self.answer = answer

    def admits(self, principal):
        return True


def waiting_session(house):
    credential = Later()
    door = Door(house.settings, house.router, house.sessions, house.refusals, house.turn, house.clock)
    device = house.peer(lambda wire: DeviceSession(wire, credential, "192.0.2.1", door))
    return credential, device


def test_what_comes_behind_a_connect_that_is_not_answered_yet_waits_and_is_then_served(house):
    credential, device = waiting_session(house)
    device.send(p.Connect("one"), p.PingReq())
    assert device.receive() == []
    assert device.wire.holding
    credential.answer(identity.device("one"))
    assert [type(each) for each in device.receive()] == [p.ConnAck, p.PingResp]
    assert not device.wire.holding
    assert device.session.live


def test_a_refusal_that_comes_later_is_the_last_word(house):
    credential, device = waiting_session(house)
    device.send(p.Connect("one"), p.PingReq())
    credential.answer(NotAuthorizedError("unknown"))
    assert [each.reason_code for each in device.receive()] == [0x87]
    assert device.wire.finished


def test_an_answer_for_one_who_has_gone_meanwhile_is_of_no_use(house):
    credential, device = waiting_session(house)
    device.send(p.Connect("one"))
    device.session.lost()
    credential.answer(identity.device("one"))
    assert device.receive() == []
    assert len(house.sessions) == 0


def test_a_fault_behind_a_connect_that_waits_ends_the_session_after_its_answer(house):
    credential, device = waiting_session(house)
    device.send(p.Connect("one"), p.Connect("one"))
    credential.answer(identity.device("one"))
    assert [each.reason_code for each in device.receive()] == [0, 0x82]
    assert device.wire.finished
