import pytest

from edgecore.base import identity
from edgecore.base.commit import Commit
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


class OneBatch:
    """A keeper that writes all of a turn in one commit, as the store does."""

    def __init__(self):
        self.erased, self.commit = [], Commit()

    def save(self, message):
        return self.commit

    def erase(self, topic):
        self.erased.append(topic)
        return self.commit


def test_forgetting_gives_the_bytes_back_and_each_commit_once():
    keeper = OneBatch()
    kept = retained.RetainedMessages(keeper)
    for topic in ("a", "b"):
        kept.put(message(topic))
    kept.put(Message("c", b"x", 1, identity.device("e"), retain=True))
    assert kept.forget(identity.device("d")) == (keeper.commit,)
    assert keeper.erased == ["a", "b"]
    assert kept._bytes == 2
    assert [each.topic for each in kept] == ["c"]
