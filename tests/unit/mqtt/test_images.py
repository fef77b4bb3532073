from edgecore.base.identity import CORE
from edgecore.base.message import Message, Properties
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.images import frame_of, message_properties, parts_of, properties_of, special_frame
from edgecore.mqtt.packets import V5, V311, Publish
from edgecore.mqtt.properties import PropertyMap


def test_a_frame_is_made_once_for_all_receivers():
    message = Message("a/b", b"x", 0, CORE)
    first = frame_of(message, V311, False, 0.0)
    assert first == b"\x30\x06\0\3a/bx"
    assert frame_of(message, V311, False, 0.0) is first
    assert frame_of(message, V5, False, 0.0) == b"\x30\x07\0\3a/b\0x"
    assert frame_of(message, V311, True, 0.0) == b"\x31\x06\0\3a/bx"


def test_parts_leave_room_for_the_packet_id():
    message = Message("a/b", b"x", 1, CORE)
    for _ in range(2):
        head, tail = parts_of(message, V311, 1, False, 0.0)
        assert head + b"\0\7" + tail == b"\x32\x08\0\3a/b\0\7x"
    head, tail = parts_of(message, V5, 2, True, 0.0)
    assert head + b"\0\7" + tail == b"\x35\x09\0\3a/b\0\7\0x"


def test_the_remaining_life_is_counted_down():
    message = Message("a", b"", 0, CORE, expires_at=110.0)
    for now, left in ((100.0, 10), (105.5, 4), (200.0, 0)):
        frame = frame_of(message, V5, False, now)
        packet = decode(frame[0], frame[2:], V5)
        assert packet.properties == {pr.MESSAGE_EXPIRY_INTERVAL: left}
        head, tail = parts_of(message, V5, 1, False, now)
        assert decode(head[0], head[2:] + b"\0\1" + tail, V5).properties == packet.properties
    assert frame_of(message, V311, False, 100.0) == b"\x30\x03\0\1a"


def test_what_travels_with_a_message_goes_there_and_back():
    travels = Properties(1, "text/plain", "r", b"c", (("a", "1"), ("a", "2")))
    message = Message("t", b"", 0, CORE, properties=travels)
    sent = properties_of(message, 0.0)
    assert message_properties(sent) == travels
    frame = frame_of(message, V5, False, 0.0)
    assert decode(frame[0], frame[2:], V5) == Publish("t", b"", properties=sent)


def test_nothing_travels_when_nothing_was_given():
    assert message_properties(None) is None
    assert message_properties(PropertyMap({pr.MESSAGE_EXPIRY_INTERVAL: 3})) is None
    assert properties_of(Message("t", b"", 0, CORE), 0.0) is None


def decoded(frame, version):
    ((first, body),) = Framer(1 << 20).feed(frame)
    return decode(first, body, version)


def test_a_frame_for_one_receiver_has_its_own_identifier_and_dup():
    message = Message("a/b", b"x", 1, CORE)
    frame = special_frame(message, V311, 1, True, 0.0, 7, True, (), 0, "a/b")
    assert frame == b"\x3b\x08\0\3a/b\0\7x"
    assert decoded(frame, V311) == Publish("a/b", b"x", 1, True, True, 7)
    assert message.images is None  # nobody else's


def test_a_frame_for_one_receiver_bears_its_subscription_identifiers_in_order_with_repeats():
    message = Message("a/b", b"x", 2, CORE, properties=Properties(content_type="c"))
    packet = decoded(special_frame(message, V5, 2, False, 0.0, 7, False, (5, 5, 1), 0, "a/b"), V5)
    assert packet.properties == {pr.CONTENT_TYPE: "c", pr.SUBSCRIPTION_IDENTIFIER: [5, 5, 1]}
    plain = decoded(
        special_frame(Message("a", b"", 0, CORE), V5, 0, False, 0.0, identifiers=(3,), topic="a"), V5
    )
    assert (plain.qos, plain.properties) == (0, {pr.SUBSCRIPTION_IDENTIFIER: [3]})
    assert message.properties == Properties(content_type="c")


def test_an_alias_stands_beside_its_topic_once_and_then_for_it():
    message = Message("a/long/topic", b"x", 1, CORE)
    first = special_frame(message, V5, 1, False, 0.0, 7, False, (), 2, "a/long/topic")
    again = special_frame(message, V5, 1, False, 0.0, 8, False, (), 2, "")
    assert (decoded(first, V5).topic, decoded(first, V5).properties) == ("a/long/topic", {pr.TOPIC_ALIAS: 2})
    assert (decoded(again, V5).topic, decoded(again, V5).properties) == ("", {pr.TOPIC_ALIAS: 2})
    assert len(again) == len(first) - len("a/long/topic")


def test_the_remaining_life_is_in_a_frame_for_one_receiver_too():
    message = Message("a", b"", 1, CORE, expires_at=110.0)
    packet = decoded(special_frame(message, V5, 1, False, 100.5, 7, True, (1,), 0, "a"), V5)
    assert packet.properties == {pr.MESSAGE_EXPIRY_INTERVAL: 9, pr.SUBSCRIPTION_IDENTIFIER: [1]}
    assert (
        decoded(special_frame(message, V311, 1, False, 100.5, 7, True, (), 0, "a"), V311).properties is None
    )
