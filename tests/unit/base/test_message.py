from edgecore.base import identity
from edgecore.base.message import Message, Properties


def test_a_message_says_what_it_is_without_its_payload():
    message = Message("a/b", b"secret", 1, identity.device("d"))
    assert repr(message) == "Message('a/b', 6 bytes, qos=1, from=device:d)"


def test_expiry():
    assert not Message("a", b"", 0, identity.CORE).expired(1e12)
    message = Message("a", b"", 0, identity.CORE, expires_at=10.0)
    assert not message.expired(9.9)
    assert message.expired(10.0)


def test_a_moved_message_keeps_everything_else():
    properties = Properties(content_type="text/plain")
    message = Message("a", b"x", 1, identity.CORE, retain=True, properties=properties)
    moved = message.moved("b", 5.0)
    assert (moved.topic, moved.expires_at, moved.retain, moved.properties) == ("b", 5.0, True, properties)
    assert (moved.payload, moved.qos, moved.sender) == (b"x", 1, identity.CORE)


def test_a_moved_message_knows_where_it_was_published():
    message = Message("a", b"x", 1, identity.CORE)
    assert message.origin == ""
    assert message.moved("a", 5.0).origin == ""
    assert message.moved("b", None).moved("c", None).origin == "a"
    assert message.moved("b", None).moved("a", None).origin == ""
