import pytest

from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.listener import body_cache
from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import Single
from edgecore.listener.body_cache import BodyCache
from edgecore.listener.records import message_bytes


class Shelf:
    def __init__(self):
        self.asked = []

    def fetch(self, messages, answer):
        self.asked.append((tuple(messages), answer))


def entry(row, size=10):
    return Entry(row, size, row, 1)


def record(text):
    return message_bytes(Message("t", text, 1, CORE))


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def cache(shelf):
    told = []
    made = BodyCache(shelf, lambda: told.append(1))
    return made, told


def test_bodies_are_read_once_and_told_of(cache, shelf):
    bodies, told = cache
    bodies.load([entry(1), entry(2)])
    bodies.load([entry(1), entry(2), entry(3)])  # one reading at a time
    ((wanted, answer),) = shelf.asked
    assert wanted == (1, 2)
    answer([(1, record(b"1"), None)])
    assert told == [1]
    assert bodies.get(1).sample.payload == b"1"
    assert 2 in bodies
    assert bodies.get(2) is None  # its row is gone: counted when its turn comes
    bodies.load([entry(1), entry(2), entry(3)])
    assert shelf.asked[1][0] == (3,)


def test_a_record_that_cannot_be_read_is_none(cache, shelf):
    bodies, _ = cache
    bodies.load([entry(1)])
    shelf.asked[0][1]([(1, b"\xc1", None)])
    assert bodies.get(1) is None


def test_what_was_dropped_while_it_was_read_is_not_kept(cache, shelf):
    bodies, _ = cache
    bodies.load([entry(1), entry(2)])
    bodies.drop(1)
    shelf.asked[0][1]([(1, record(b"1"), None), (2, record(b"2"), None)])
    assert 1 not in bodies
    assert 2 in bodies


def test_an_answer_for_a_connection_that_is_gone_is_of_no_use(cache, shelf):
    bodies, told = cache
    bodies.load([entry(1)])
    bodies.clear()
    shelf.asked[0][1]([(1, record(b"1"), None)])
    assert 1 not in bodies
    assert told == []
    bodies.load([entry(1)])
    assert len(shelf.asked) == 2


def test_an_error_is_no_answer_and_it_may_be_asked_again(cache, shelf):
    bodies, told = cache
    bodies.load([entry(1)])
    shelf.asked[0][1](OSError())
    assert told == []
    bodies.load([entry(1)])
    assert len(shelf.asked) == 2


def test_what_is_read_ahead_is_bounded_and_at_least_one(cache, shelf, monkeypatch):
    monkeypatch.setattr(body_cache, "READ_AHEAD_BYTES", 25)
    bodies, _ = cache
    bodies.load([entry(1, 100), entry(2)])
    assert shelf.asked[0][0] == (1,)
    shelf.asked[0][1]([(1, record(b"1"), None)])
    bodies.drop(1)
    bodies.load([entry(2), entry(3), entry(4)])
    assert shelf.asked[1][0] == (2, 3)


def test_what_has_just_been_written_is_kept_while_there_is_room(cache, monkeypatch):
    monkeypatch.setattr(body_cache, "READ_AHEAD_BYTES", 25)
    bodies, _ = cache
    for row in (1, 2, 3, 4):
        bodies.offer(row, Single(Message("t", b"", 1, CORE), (), "", 1), 10)
    assert [row in bodies for row in (1, 2, 3, 4)] == [True, True, True, False]
    bodies.drop(1)
    bodies.drop(9)
    bodies.offer(4, Single(Message("t", b"", 1, CORE), (), "", 1), 10)
    assert 4 in bodies
