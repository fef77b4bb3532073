import pytest

from edgecore.base import identity
from edgecore.base.errors import RefusedError
from edgecore.base.message import Message
from edgecore.router import retained


def message(topic, payload=b"x"):
    return Message(topic, payload, 1, identity.device("d"), retain=True)


def test_the_last_message_of_a_topic_stays():
    kept = retained.RetainedMessages(known=[message("a", b"0")])
    assert kept.put(message("a", b"1")) is None
    assert [each.payload for each in kept] == [b"1"]
    assert len(kept) == 1


def test_an_empty_payload_erases_and_erasing_nothing_is_nothing():
    kept = retained.RetainedMessages()
    kept.put(message("a"))
    kept.put(message("a", b""))
    assert kept.put(message("a", b"")) is None
    assert len(kept) == 0


def test_bytes_are_bounded_and_given_back(monkeypatch):
    monkeypatch.setattr(retained, "MAX_RETAINED_BYTES", 10)
    kept = retained.RetainedMessages()
    kept.put(message("a", b"12345678"))
    with pytest.raises(RefusedError, match="erase some"):
        kept.put(message("b", b"12"))
    kept.put(message("a", b""))
    kept.put(message("b", b"12"))
    assert len(kept) == 1
