from dataclasses import replace

import pytest

from edgecore.base.errors import RefusedError
from edgecore.lambdas import LambdasSettings
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.events import Event

SETTINGS = LambdasSettings(invoke_queue=2, memory_events=2, memory_bytes=100, retry_slots=2, max_event_age=60)


def event(name, arrived=0.0, payload=b""):
    return Event(name, "", payload, arrived)


def names(backlog, now=0.0):
    found = []
    while backlog.has_work(now):
        found.append(backlog.take(now).request_id)
    assert backlog.take(now) is None
    return found


def test_lanes_take_turns():
    backlog = Backlog(SETTINGS)
    for n in range(2):
        backlog.invoke(event(f"d{n}"))
        backlog.store(event(f"s{n}"))
        backlog.offer(event(f"m{n}"))
    assert names(backlog) == ["d0", "s0", "m0", "d1", "s1", "m1"]


def test_direct_calls_are_bounded():
    backlog = Backlog(SETTINGS)
    backlog.invoke(event("a"))
    backlog.invoke(event("b"))
    with pytest.raises(RefusedError):
        backlog.invoke(event("c"))
    assert [each.request_id for each in backlog.clear_direct()] == ["a", "b"]
    assert not backlog.has_work(0)


def test_memory_drops_the_oldest_by_number_and_by_size():
    backlog = Backlog(SETTINGS)
    for name in "abc":
        backlog.offer(event(name))
    assert (backlog.memory_count, backlog.dropped) == (2, {"overflow": 1})
    backlog.offer(event("big", payload=b"x" * 101))
    assert (backlog.memory_count, backlog.dropped) == (0, {"overflow": 4})
    backlog.offer(event("d", payload=b"x" * 100))
    assert names(backlog) == ["d"]


def test_retries_wait_until_they_are_due_in_order_of_time():
    backlog = Backlog(SETTINGS)
    backlog.retry(event("later"), 5)
    backlog.retry(event("sooner"), 3)
    assert (backlog.next_due, backlog.retry_count) == (3, 2)
    assert names(backlog, 2.9) == []
    assert names(backlog, 5) == ["sooner", "later"]
    assert backlog.next_due is None


def test_while_all_retry_slots_are_taken_no_stored_event_starts():
    backlog = Backlog(SETTINGS)
    backlog.store(event("s"))
    backlog.retry(event("a"), 5)
    assert backlog.has_work(0)
    backlog.retry(event("b"), 5)
    assert not backlog.has_work(0)
    assert names(backlog, 5) == ["a", "s", "b"]


def test_the_durable_queue_is_read_when_nothing_of_it_is_here():
    backlog = Backlog(SETTINGS)
    assert backlog.wants_stored
    backlog.store(event("s"))
    assert not backlog.wants_stored
    assert backlog.stored_count == 1


def test_outdated_events_are_taken_out():
    backlog = Backlog(replace(SETTINGS, max_event_age=10))
    backlog.store(event("old", 0))
    backlog.store(event("new", 5))
    backlog.retry(event("old retry", 1), 100)
    backlog.retry(event("new retry", 5), 99)
    backlog.offer(event("memory", 0))
    assert [each.request_id for each in backlog.outdated(11.5)] == ["old", "old retry"]
    assert backlog.next_due == 99
    assert sorted(names(backlog, 100)) == ["memory", "new", "new retry"]
