"""Which records of ordered topics wait, and which are passed over."""

import pytest

from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.uplink import ordered as policy
from edgecore.uplink.entry import Entry
from edgecore.uplink.ordered import Ordered, Turn

NOW, PARKED, PASSED = Turn.NOW, Turn.PARKED, Turn.PASSED


def entry(identifier, topic="a", lane=0, size=1):
    return Entry(identifier, b"x" * size, Message(topic, b"", 1, device("a")), 0.0, lane, ordered=True)


@pytest.fixture
def ordered(monkeypatch):
    monkeypatch.setattr(policy, "PARKED_OF_TOPIC", 2)
    return Ordered()


def take(ordered, *entries):
    return [ordered.take(one) for one in entries]


def again(ordered, after, upto, last, *entries, lane=0):
    reading = ordered.reading(lane, after)
    turns = [reading.take(one, is_new=one.id > last) for one in entries]
    reading.end(upto, max(last, upto))
    return turns


def test_one_may_go_some_are_parked_the_rest_is_passed_over(ordered):
    assert take(ordered, *map(entry, (1, 2, 3, 4, 5))) == [NOW, PARKED, PARKED, PASSED, PASSED]
    assert ordered.holds("a")
    assert not ordered.holds("b")


def test_those_that_are_parked_go_one_after_the_other(ordered):
    one, two, three = map(entry, (1, 2, 3))
    take(ordered, one, two, three)
    assert ordered.release(one) is two
    assert ordered.release(two) is three
    assert ordered.release(three) is None
    assert not ordered.holds("a")


def test_a_topic_that_was_passed_over_takes_nothing_new_until_it_was_read_again(ordered):
    one, two, three = map(entry, (1, 2, 3))
    take(ordered, one, two, three, entry(4))
    assert ordered.read_from(0) is None  # enough of it is in hand
    ordered.release(one)
    assert take(ordered, entry(6)) == [PASSED]
    ordered.release(two)
    ordered.release(three)
    assert ordered.read_from(0) == 3
    assert again(ordered, 3, 6, 6, entry(4), entry(6)) == [NOW, PARKED]
    assert ordered.read_from(0) is None
    assert take(ordered, entry(7)) == [PARKED]


def test_it_is_passed_over_again_where_there_is_no_room(ordered):
    for one in map(entry, (1, 2, 3)):
        ordered.take(one)
        ordered.release(one)
    take(ordered, *map(entry, range(1, 9)))
    ordered.release(entry(1)), ordered.release(entry(2)), ordered.release(entry(3))
    assert again(ordered, 3, 8, 8, *map(entry, range(4, 9))) == [NOW, PARKED, PARKED, PASSED, PASSED]
    for identifier in (4, 5, 6):
        ordered.release(entry(identifier))
    assert ordered.read_from(0) == 6


def test_a_reading_may_go_on_to_what_is_new(ordered):
    take(ordered, *map(entry, range(1, 5)))
    for identifier in (1, 2, 3):
        ordered.release(entry(identifier))
    turns = again(ordered, 3, 8, 4, entry(4), entry(5), entry(6, "b"), entry(7), entry(8))
    assert turns == [NOW, PARKED, NOW, PARKED, PASSED]
    for identifier in (4, 5, 7):
        ordered.release(entry(identifier))
    assert ordered.read_from(0) == 7


def test_a_reading_that_begins_behind_where_a_topic_begins_takes_none_of_it(ordered):
    take(ordered, *map(entry, range(1, 6)))
    assert again(ordered, 4, 9, 9, entry(5)) == [PASSED]
    assert again(ordered, 3, 9, 9, entry(3)) == [PASSED]


def test_a_topic_whose_records_are_gone_is_read_on_and_then_forgotten(ordered):
    take(ordered, *map(entry, range(1, 5)))
    for identifier in (1, 2, 3):
        ordered.release(entry(identifier))
    assert again(ordered, 3, 6, 9) == []
    assert ordered.read_from(0) == 6
    assert again(ordered, 6, 9, 9) == []
    assert ordered.read_from(0) is None
    assert not ordered.holds("a")


def test_the_topic_that_begins_first_is_read_first(ordered):
    for topic, start in (("a", 10), ("b", 1)):
        take(ordered, *(entry(start + n, topic) for n in range(4)))
        for n in range(3):
            ordered.release(entry(start + n, topic))
    assert ordered.read_from(0) == 3
    assert ordered.read_from(1) is None


@pytest.mark.parametrize(("bound", "value"), [("PARKED", 1), ("PARKED_BYTES", 1)])
def test_a_priority_parks_so_many_and_so_much(monkeypatch, bound, value):
    monkeypatch.setattr(policy, bound, value)
    ordered = Ordered()
    assert take(ordered, entry(1), entry(2), entry(3)) == [NOW, PARKED, PASSED]
    assert take(ordered, entry(4, "b"), entry(5, "b")) == [NOW, PASSED]
    assert take(ordered, entry(6, "c", lane=1), entry(7, "c", lane=1)) == [NOW, PARKED]
    ordered.release(entry(1))
    assert take(ordered, entry(8, "d"), entry(9, "d")) == [NOW, PARKED]


def test_so_many_topics_are_passed_over(monkeypatch):
    monkeypatch.setattr(policy, "PASSED", 2)
    monkeypatch.setattr(policy, "PARKED_OF_TOPIC", 0)
    ordered = Ordered()
    take(ordered, entry(1, "a"), entry(2, "a"), entry(3, "b"))
    assert not ordered.crowded(0)
    take(ordered, entry(4, "b"))
    assert ordered.crowded(0)
    assert not ordered.crowded(1)


def test_it_begins_anew_with_what_is_held(ordered):
    take(ordered, *map(entry, range(1, 6)))
    assert ordered.forget({"a": 1}) == [(0, 2), (0, 3), (0, 4)]
    assert ordered.read_from(0) is None
    assert take(ordered, entry(2), entry(9, "b")) == [PARKED, NOW]
