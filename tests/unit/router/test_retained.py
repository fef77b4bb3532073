import pytest

from edgecore.base import identity
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.message import Message
from edgecore.router import retained

NOW = 100.0


def message(topic, payload=b"x"):
    return Message(topic, payload, 1, identity.device("d"), retain=True)


def test_the_last_message_of_a_topic_stays():
    kept = retained.RetainedMessages(known=[message("a", b"0")])
    assert kept.put(message("a", b"1"), NOW) is None
    assert [each.payload for each in kept] == [b"1"]
    assert (len(kept), kept.bytes) == (1, 2)


def test_an_empty_payload_erases_and_erasing_nothing_is_nothing():
    kept = retained.RetainedMessages()
    kept.put(message("a"), NOW)
    kept.put(message("a", b""), NOW)
    assert kept.put(message("a", b""), NOW) is None
    assert (len(kept), kept.bytes) == (0, 0)


def test_bytes_are_bounded_and_given_back(monkeypatch):
    monkeypatch.setattr(retained, "MAX_RETAINED_BYTES", 10)
    kept = retained.RetainedMessages()
    kept.put(message("a", b"12345678"), NOW)
    with pytest.raises(RefusedError, match="erase some"):
        kept.put(message("b", b"12"), NOW)
    kept.put(message("a", b""), NOW)
    kept.put(message("b", b"12"), NOW)
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
        kept.put(message(topic), NOW)
    kept.put(Message("c", b"x", 1, identity.device("e"), retain=True), NOW)
    assert kept.forget(identity.device("d")) == (keeper.commit,)
    assert keeper.erased == ["a", "b"]
    assert kept._bytes == 2
    assert [each.topic for each in kept] == ["c"]


def matching(kept, topic_filter):
    return sorted(each.topic for each in kept.matching(topic_filter))


def test_a_filter_finds_what_it_matches():
    kept = retained.RetainedMessages(
        known=[message(topic) for topic in ("a", "a/b", "a/c", "a/c/d", "/a", "$x/a")]
    )
    kept.keep_in_memory(message("$SYS/a"))
    assert matching(kept, "#") == ["/a", "a", "a/b", "a/c", "a/c/d"]
    assert matching(kept, "a/#") == ["a", "a/b", "a/c", "a/c/d"]
    assert matching(kept, "+/+") == ["/a", "a/b", "a/c"]
    assert matching(kept, "a/+/#") == ["a/b", "a/c", "a/c/d"]
    assert matching(kept, "a/c") == ["a/c"]
    assert matching(kept, "b") == matching(kept, "b/#") == matching(kept, "a/+/+/+") == []
    assert matching(kept, "$x/+") == ["$x/a"]
    assert matching(kept, "$SYS/#") == ["$SYS/a"]


def test_erasing_leaves_no_node():
    kept = retained.RetainedMessages(known=[message(topic) for topic in ("a/b/c", "a/b")])
    kept.put(message("a/b/c", b""), NOW)
    assert matching(kept, "#") == ["a/b"]
    kept.put(message("a/b", b""), NOW)
    assert kept._tree._root.children == {}


def test_what_has_expired_makes_room(monkeypatch):
    monkeypatch.setattr(retained, "MAX_RETAINED", 2)
    keeper = OneBatch()
    sender = identity.device("d")
    kept = retained.RetainedMessages(keeper, [Message("a", b"x", 1, sender, expires_at=NOW), message("b")])
    with pytest.raises(RefusedError, match="full"):
        kept.put(message("c"), NOW - 1)
    kept.put(message("c"), NOW)
    assert keeper.erased == ["a"]
    assert matching(kept, "#") == ["b", "c"]
    assert kept._soonest == float("inf")


def test_topics_of_any_depth_need_no_deeper_stack():
    deep = "/".join("a" * 5000)
    kept = retained.RetainedMessages(known=[message(deep)])
    assert [matching(kept, each) for each in ("#", deep, "+/" * 4999 + "+")] == [[deep]] * 3
    kept.put(message(deep, b""), NOW)
    assert kept._tree._root.children == {}
