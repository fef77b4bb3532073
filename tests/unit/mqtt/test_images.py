from edgecore.base.identity import CORE
from edgecore.base.message import Message, Properties
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode
from edgecore.mqtt.images import frame_of, message_properties, parts_of, properties_of
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
