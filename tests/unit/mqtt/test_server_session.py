import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.acceptance import Kept, SessionLimits
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.inbound import Inbound
from edgecore.mqtt.outbound import Outgoing, Release
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.server_session import OVER, WAITING, ServerSession

BOTH = pytest.mark.parametrize("version", [V311, V5])


def give(session, packet, version=None):
    data = encode(packet, version or session.version)
    ((first, body),) = Framer(1 << 20).feed(data)
    return session.receive(first, body)


def take(session):
    return [decode(first, body, session.version) for first, body in Framer(1 << 20).feed(session.take())]


def live(version=V5, limits=None, **connect):
    session = ServerSession(limits or SessionLimits())
    packet = p.Connect("c", version, **connect)
    assert give(session, packet, version) == packet
    session.accept(packet, "c")
    assert isinstance(take(session)[0], p.ConnAck)
    return session


def message(payload=b"x", qos=1, **more):
    return Message("t", payload, qos, CORE, **more)


def test_before_connect_nothing_else_is_taken():
    session = ServerSession(SessionLimits())
    assert session.state == WAITING
    with pytest.raises(RemoteProtocolError):
        session.receive(0xC0, b"")
    session.fail(RemoteProtocolError(0x82, "no"))
    assert session.state == OVER
    assert session.outgoing == []


def test_another_version_is_told_so():
    session = ServerSession(SessionLimits())
    session.fail(RemoteProtocolError(0x84, "MQIsdp"))
    assert session.take() == b"\x20\x02\0\1"


@BOTH
def test_a_refused_connect_hears_why(version):
    session = ServerSession(SessionLimits())
    give(session, p.Connect("c", version), version)
    session.refuse(0x87, "not you")
    (answer,) = take(session)
    assert answer.reason_code == (0x87 if version == V5 else 5)
    assert answer.properties.text(pr.REASON_STRING) == ("not you" if version == V5 else None)


def test_a_client_that_wants_no_reasons_gets_none():
    session = live(properties=PropertyMap({pr.REQUEST_PROBLEM_INFORMATION: 0}))
    session.goodbye(0x82, "some text")
    assert take(session) == [p.Disconnect(0x82)]


def test_a_second_connect_and_a_servers_packet_break_the_protocol():
    session = live()
    for packet in (
        p.Connect("c"),
        p.ConnAck(),
        p.SubAck(1, [0]),
        p.UnsubAck(1, [0]),
        p.PingResp(),
        p.Auth(0x18),
    ):
        with pytest.raises(RemoteProtocolError) as caught:
            give(session, packet)
        assert caught.value.reason_code == 0x82


def test_a_second_connect_is_not_looked_into():
    """What is wrong inside it, such as an unknown version (0x84), has no place in a DISCONNECT."""
    session = live()
    with pytest.raises(RemoteProtocolError) as caught:
        session.receive(0x10, bytes.fromhex("00044d5154540602003c000163"))
    assert caught.value.reason_code == 0x82


@BOTH
def test_a_fault_ends_the_session_and_5_hears_the_reason(version):
    session = live(version, will=p.Will("w", b"gone"))
    session.fail(RemoteProtocolError(0x95, "too large"))
    assert session.state == OVER
    assert session.will is not None
    if version == V5:
        assert take(session) == [p.Disconnect(0x95, PropertyMap({pr.REASON_STRING: "too large"}))]
    else:
        assert session.outgoing == []


def test_ping_is_answered():
    session = live()
    assert give(session, p.PingReq()) is None
    assert take(session) == [p.PingResp()]


@pytest.mark.parametrize(("reason", "kept"), [(0x00, False), (0x04, True)])
def test_disconnect_deletes_the_will_unless_it_asks_for_it(reason, kept):
    session = live(will=p.Will("w", b"gone"))
    assert give(session, p.Disconnect(reason)) == p.Disconnect(reason)
    assert session.state == OVER
    assert (session.will is not None) == kept


def test_disconnect_may_not_bring_a_session_to_life():
    with pytest.raises(RemoteProtocolError):
        give(live(), p.Disconnect(0, PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 5})))


def test_disconnect_may_change_the_expiry_of_a_session_that_is_kept():
    session, _, _ = kept()
    asked = PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 60})
    assert give(session, p.Disconnect(0, asked)) == p.Disconnect(0, asked)
    assert session.state == OVER
    assert session.expiry == 60
    session, _, _ = kept()
    give(session, p.Disconnect(0, PropertyMap({pr.SESSION_EXPIRY_INTERVAL: 0xFFFF_FFFF})))
    assert session.expiry == SessionLimits().max_session_expiry


def test_the_taken_over_hears_it():
    session = live()
    session.taken_over()
    assert take(session)[0].reason_code == 0x8E


@pytest.mark.parametrize(
    ("identifier", "value", "reason"), [(pr.TOPIC_ALIAS, 17, 0x94), (pr.SUBSCRIPTION_IDENTIFIER, [1], 0x82)]
)
def test_publish_may_not_use_what_was_not_granted(identifier, value, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        give(live(), p.Publish("t", properties=PropertyMap({identifier: value})))
    assert caught.value.reason_code == reason


def test_a_topic_alias_stands_for_its_topic():
    session = live()
    alias = PropertyMap({pr.TOPIC_ALIAS: 3})
    assert give(session, p.Publish("t/a", b"1", properties=alias)).topic == "t/a"
    assert give(session, p.Publish("", b"2", properties=alias)).topic == "t/a"


def test_a_client_that_takes_aliases_gets_its_first_topics_by_them():
    session = live(properties=PropertyMap({pr.TOPIC_ALIAS_MAXIMUM: 1}))
    for number, topic in enumerate(("t/a", "t/b", "t/a", "t/b")):
        session.deliver(Message(topic, b"x", number % 2, CORE), number % 2, False, 0.0)
    found = [(each.topic, (each.properties or {}).get(pr.TOPIC_ALIAS)) for each in take(session)]
    assert found == [("t/a", 1), ("t/b", None), ("", 1), ("t/b", None)]


def test_an_alias_is_given_only_by_a_packet_that_went_out():
    properties = PropertyMap({pr.TOPIC_ALIAS_MAXIMUM: 1, pr.MAXIMUM_PACKET_SIZE: 20})
    session = live(properties=properties)
    session.deliver(message(b"x" * 20, 0), 0, False, 0.0)
    session.deliver(message(b"x" * 20, 1), 1, False, 0.0)
    session.deliver(message(b"", 0), 0, False, 0.0)
    assert [each.topic for each in take(session)] == ["t"]


def test_subscription_identifiers_are_sent_along():
    session = live()
    session.deliver(message(b"", 0), 0, False, 0.0, (7, 9))
    session.deliver(message(), 1, False, 0.0, (7,))
    assert [each.properties[pr.SUBSCRIPTION_IDENTIFIER] for each in take(session)] == [[7, 9], [7]]


class FakeSending:
    """A Sending with what a test puts in it."""

    def __init__(self):
        self.items, self.in_flight, self.queued, self.open, self.dropped = [], 0, 0, True, 0
        self.given_up, self.answer = [], Release.LATER

    def next(self, now):
        return self.items.pop(0) if self.items else None

    def next_frames(self, protocol, now, most):
        return None

    def finish_run(self, ids):
        return False

    def give_up(self, packet_id):
        self.given_up.append(packet_id)

    def finished(self, packet_id, packet_type):
        return True

    def received(self, packet_id, failed):
        return self.answer


def kept(present=True, taken=(), version=V5):
    session, sending = ServerSession(SessionLimits()), FakeSending()
    packet = p.Connect("c", version, clean_start=False)
    give(session, packet, version)
    session.accept(packet, "c", Kept(present, 100, Inbound(10, taken), sending))
    return session, sending, take(session)[0]


@BOTH
def test_a_session_that_was_kept_says_so_and_goes_on(version):
    session, sending, answer = kept(version=version)
    assert answer.session_present
    assert kept(present=False, version=version)[2].session_present is False
    sending.items = [
        Outgoing(4, None, 2, retain=False),
        Outgoing(5, message(b"again"), 1, retain=False, dup=True),
        Outgoing(6, message(b"new"), 1, retain=False),
    ]
    assert session.pump(0.0) is False
    found = take(session)
    assert found[0] == p.PubRel(4)
    assert [(each.packet_id, each.dup, each.payload) for each in found[1:]] == [
        (5, True, b"again"),
        (6, False, b"new"),
    ]


def test_a_session_that_was_kept_has_its_pubrel_and_pubcomp_sent_when_told():
    session, _, _ = kept(taken=[3])
    assert give(session, p.PubRel(3)) == p.PubRel(3)
    assert give(session, p.PubRel(3)) is None
    assert take(session) == []
    session.complete(3)
    give(session, p.PubRec(8))
    assert take(session) == [p.PubComp(3)]
    session.release(8)
    assert take(session) == [p.PubRel(8)]


def test_a_qos_2_id_that_was_taken_before_is_not_taken_again():
    session, _, _ = kept(taken=[3])
    assert give(session, p.Publish("t", b"", 2, packet_id=3, dup=True)) is None
    assert take(session) == [p.PubRec(3)]
    give(session, p.Publish("t", b"", 2, packet_id=4))
    session.taken(4, failed=True)
    assert give(session, p.Publish("t", b"", 2, packet_id=4)) is not None


def test_what_is_too_large_for_the_client_is_given_up():
    properties = PropertyMap({pr.MAXIMUM_PACKET_SIZE: 30})
    session, sending = ServerSession(SessionLimits()), FakeSending()
    packet = p.Connect("c", V5, properties=properties)
    give(session, packet, V5)
    session.accept(packet, "c", Kept(False, 100, Inbound(10), sending))
    take(session)
    sending.items = [Outgoing(5, message(b"x" * 30), 1, retain=False)]
    session.pump(0.0)
    assert (sending.given_up, session.outgoing) == ([5], [])


def test_only_bytes_hold_back_what_a_pump_leaves():
    session, sending, _ = kept()
    sending.items = [
        Outgoing(5, message(b"x" * 2_000_000), 1, retain=False),
        Outgoing(6, message(), 1, retain=False),
    ]
    assert session.pump(0.0) is True


def test_a_reason_string_makes_no_connack_too_large():
    session = ServerSession(SessionLimits())
    give(session, p.Connect("c", V5, properties=PropertyMap({pr.MAXIMUM_PACKET_SIZE: 10})), V5)
    session.refuse(0x87, "a long explanation that does not fit")
    assert session.take() == bytes.fromhex("2003008700")


@BOTH
def test_qos_1_is_acknowledged_in_order_of_receipt(version):
    session = live(version)
    for packet_id in (1, 2, 3):
        assert give(session, p.Publish("t", b"", 1, packet_id=packet_id)).packet_id == packet_id
    held = session.hold(1, 1)
    session.acknowledge(2, 1)
    session.acknowledge(3, 1)
    assert take(session) == []
    session.settle(held)
    assert take(session) == [p.PubAck(1), p.PubAck(2), p.PubAck(3)]
    session.acknowledge(4, 1)
    assert take(session) == [p.PubAck(4)]


def test_a_failed_publish_is_named_in_5():
    session = live()
    session.acknowledge(1, 1, 0x97)
    session.acknowledge(2, 2, 0x87)
    assert take(session) == [p.PubAck(1, 0x97), p.PubRec(2, 0x87)]


@BOTH
def test_qos_2_is_handed_over_once(version):
    session = live(version)
    publish = p.Publish("t", b"", 2, packet_id=9)
    assert give(session, publish) is not None
    assert give(session, publish) is None  # its PUBREC is still due
    assert take(session) == []
    session.acknowledge(9, 2)
    assert take(session) == [p.PubRec(9)]
    assert give(session, p.Publish("t", b"", 2, dup=True, packet_id=9)) is None
    assert take(session) == [p.PubRec(9)]
    assert give(session, p.PubRel(9)) is None
    assert take(session) == [p.PubComp(9)]
    give(session, p.PubRel(9))
    assert take(session) == [p.PubComp(9, 0x92 if version == V5 else 0)]
    assert give(session, publish) is not None


def test_5_may_not_exceed_the_receive_maximum():
    session = live(limits=SessionLimits(receive_maximum=2))
    for packet_id in (1, 2):
        give(session, p.Publish("t", b"", 1, packet_id=packet_id))
        session.hold(packet_id, 1)
    assert session.congested
    with pytest.raises(RemoteProtocolError) as caught:
        give(session, p.Publish("t", b"", 1, packet_id=3))
    assert caught.value.reason_code == 0x93


@BOTH
def test_messages_are_delivered_by_qos(version):
    session = live(version)
    for qos in (0, 1, 2):
        session.deliver(message(qos=qos), qos, False, 0.0)
    assert [each.qos for each in take(session)] == [0, 1, 2]
    assert session.outbound.in_flight == 2
    give(session, p.PubAck(1))
    give(session, p.PubRec(2))
    give(session, p.PubRec(2))
    assert take(session) == [p.PubRel(2), p.PubRel(2)]
    give(session, p.PubComp(2))
    assert session.outbound.in_flight == 0
    assert take(session) == []


@BOTH
def test_a_pubrec_for_nothing_is_released_and_one_that_failed_is_not(version):
    session = live(version)
    give(session, p.PubRec(7))
    assert take(session) == [p.PubRel(7, 0x92 if version == V5 else 0)]
    if version == V5:
        give(session, p.PubRec(7, 0x80))
        assert take(session) == []


def test_the_window_holds_back_and_the_queue_goes_on():
    session = live(properties=PropertyMap({pr.RECEIVE_MAXIMUM: 2}))
    for number in range(4):
        session.deliver(message(str(number).encode()), 1, False, 0.0)
    assert [each.payload for each in take(session)] == [b"0", b"1"]
    give(session, p.PubAck(1))
    session.pump(0.0)
    assert [each.payload for each in take(session)] == [b"2"]
    give(session, p.PubAck(2))
    give(session, p.PubAck(3))
    session.pump(0.0)
    assert [each.payload for each in take(session)] == [b"3"]


def test_what_expired_in_the_queue_is_dropped_and_counted():
    session = live(limits=SessionLimits(max_in_flight=1))
    session.deliver(message(), 1, False, 0.0)
    session.deliver(message(expires_at=10.0), 1, False, 0.0)
    give(session, p.PubAck(1))
    session.pump(11.0)
    assert session.outbound.dropped == 1
    assert session.outbound.in_flight == 0


def test_a_slow_client_loses_qos_0_and_keeps_qos_1_in_its_queue():
    session = live(limits=SessionLimits(max_unsent=100))
    for _ in range(20):
        session.deliver(message(b"x" * 20, 0), 0, False, 0.0)
    assert session.unsent <= 100
    assert session.dropped > 0
    session.outgoing.append(b"")
    session.unsent = 100
    session.deliver(message(), 1, False, 0.0)
    assert len(session.outbound.waiting) == 1


def test_forwarded_frames_are_bounded_by_whole_packets():
    session = live(limits=SessionLimits(max_unsent=25))
    frame = b"\x30\x05\0\1t\0x"
    assert session.forward(frame * 5, 5) == 3
    assert session.take() == frame * 3
    assert session.dropped == 2
    session.unsent = 25
    assert session.forward(frame, 1) == 0
    assert session.outgoing == []


def test_a_client_gets_no_packet_larger_than_it_takes():
    session = live(properties=PropertyMap({pr.MAXIMUM_PACKET_SIZE: 20}))
    assert not session.takes_frames
    session.deliver(message(b"x" * 20, 0), 0, False, 0.0)
    session.deliver(message(b"x" * 20), 1, False, 0.0)
    session.deliver(message(b"", 0), 0, False, 0.0)
    assert [each.payload for each in take(session)] == [b""]
    assert session.dropped + session.outbound.dropped == 2


def test_the_keep_alive_deadline_is_one_and_a_half_times_it():
    session = live(keep_alive=10)
    session.last_heard = 100.0
    assert session.next_deadline() == 115.0
    assert live(V311, keep_alive=0).next_deadline() is None
    session.goodbye(0)
    assert session.next_deadline() is None


@BOTH
def test_subscribe_and_unsubscribe_are_answered(version):
    session = live(version)
    assert give(session, p.Subscribe(1, [p.SubscriptionOptions("t")])) is not None
    assert give(session, p.Unsubscribe(2, ["t"])) is not None
    session.suback(1, [0, 2, 0x87])
    session.unsuback(2, [0x11])
    suback, unsuback = take(session)
    assert suback.reason_codes == ([0, 2, 0x87] if version == V5 else [0, 2, 0x80])
    assert unsuback.reason_codes == ([0x11] if version == V5 else [])


def test_a_client_too_small_for_an_answer_that_must_be_given_is_told_and_ended():
    session = live(properties=PropertyMap({pr.MAXIMUM_PACKET_SIZE: 20}))
    session.suback(1, [0] * 20)
    assert take(session) == [p.Disconnect(0x95)]
    assert session.state == OVER
