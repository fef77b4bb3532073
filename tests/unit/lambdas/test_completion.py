"""Fates that test_service.py cannot bring about: what the bus and the disk say at bad times."""

import logging

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import FunctionError, StoreError
from edgecore.base.interfaces import Receipt
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.completion import Completion
from edgecore.lambdas.events import Event
from edgecore.lambdas.outcome import Condition
from edgecore.lambdas.tally import Tally


class FakeQueue:
    def __init__(self):
        self.acked = []
        self.error = None

    def ack(self, ids):
        self.acked += ids
        commit = Commit()
        commit.resolve(self.error)
        return commit


class Desk:
    def __init__(self, bus, settings, spec):
        self.bus = bus
        self.queue = FakeQueue()
        self.backlog = Backlog(settings)
        self.clock = ManualClock(0.0)
        self.tally = Tally(logging.getLogger("t"), self.clock)
        self.woken = 0
        self.end = Completion(
            spec, settings, bus, self.queue, self.backlog, self.tally, self.clock, lambda: 1.0, self._wake
        )

    def _wake(self):
        self.woken += 1


@pytest.fixture
async def desk(bus, settings, spec):
    return Desk(bus, settings, spec)


def stored(attempts=1):
    return Event("id", "t", b"1", 0.0, 1, record=7, attempts=attempts)


async def test_an_event_is_acknowledged_after_its_result_is_durable(desk):
    commit = Commit()
    desk.bus.answer = lambda message: Receipt(allowed=True, commits=(commit,))
    desk.end.succeeded(stored(), b"2")
    assert desk.queue.acked == []
    commit.resolve()
    assert desk.queue.acked == [7]


async def test_a_result_that_could_not_be_stored_is_a_failed_attempt(desk):
    commit = Commit()
    desk.bus.answer = lambda message: Receipt(allowed=True, commits=(commit,))
    desk.end.succeeded(stored(), b"2")
    commit.resolve(StoreError("disk full"))
    assert desk.queue.acked == []
    assert (desk.backlog.retry_count, desk.woken) == (1, 1)
    assert "disk full" in desk.tally.last_error


async def test_attempts_wait_longer_each_time(desk):
    event = stored()
    desk.end.failed(event, FunctionError("no"))
    first = desk.backlog.next_due
    desk.backlog.take(1.0)
    event.attempts = 2
    desk.end.failed(event, FunctionError("no"))
    assert desk.backlog.next_due == first * 2
    desk.backlog.take(1.0)
    event.attempts = 3
    desk.end.failed(event, FunctionError("no"))
    assert desk.backlog.next_due is None
    assert desk.queue.acked == [7]


async def test_a_dead_letter_without_a_route_is_counted_and_the_event_is_over(desk):
    desk.bus.answer = lambda message: Receipt(allowed=False)
    desk.end.bury(stored(), Condition.EVENT_AGE_EXCEEDED, None)
    assert desk.queue.acked == [7]
    assert desk.tally.counts["dead_letter_errors"] == 1
    assert "no route lets core publish on edgecore/alarm/function/f" in desk.tally.last_error


async def test_an_event_that_cannot_be_removed_is_told(desk):
    desk.queue.error = StoreError("disk broken")
    desk.end.acknowledge(stored())
    assert "will run again after a restart: disk broken" in desk.tally.last_error
