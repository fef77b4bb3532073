import pytest

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.group import Row
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import encode
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
    assert session._framer.pending == 0


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


@pytest.mark.parametrize(("topic_filter", "code"), [("other", 0x87), ("$share/g/t/#", 0x9E)])
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
    slow.session._mqtt.unsent = 1 << 30
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


def test_the_known_topics_are_bounded(house, monkeypatch):
    monkeypatch.setattr("edgecore.listener.device_session.MAX_KNOWN_TOPICS", 4)
    one, two = house.device("one"), house.device("two")
    two.subscribe()
    for number in range(20):
        one.send(p.Publish(f"t/{number}", b""))
    assert len(two.receive()) == 20
    assert len(one.session._ways) <= 4


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
