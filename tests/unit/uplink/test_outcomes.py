"""Outcomes of publishes, brought to the loop many at a time."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from edgecore.uplink import outcomes as room
from edgecore.uplink.outcomes import SHARE, Outcomes


class Case:
    """Publishes whose outcomes come from another thread."""

    def __init__(self, monkeypatch, longest=60.0):
        monkeypatch.setattr(room, "LONGEST", longest)
        self.loop = asyncio.get_running_loop()
        self.told = []
        self.wakes = 0
        self.outcomes = Outcomes(self.loop, self._tell)
        self.futures = []
        self._real = self.loop.call_soon_threadsafe
        monkeypatch.setattr(self.loop, "call_soon_threadsafe", self._call_soon)

    def _call_soon(self, *call):
        self.wakes += 1
        return self._real(*call)

    def _tell(self, future, qos, done):
        assert threading.current_thread() is threading.main_thread()
        done((future.result(), qos))

    def publish(self, number):
        for _ in range(number):
            future = Future()
            self.futures.append(future)
            self.outcomes.expect(future, 1, self.told.append)

    def settle(self, number):
        gone, self.futures = self.futures[:number], self.futures[number:]
        start = len(self.told)

        def from_thread():
            for index, future in enumerate(gone):
                future.set_result(start + index)

        thread = threading.Thread(target=from_thread)
        thread.start()
        thread.join()


@pytest.fixture
async def case(monkeypatch):
    return Case(monkeypatch)


async def turn():
    for _ in range(3):
        await asyncio.sleep(0)


async def test_the_only_one_is_told_at_once(case):
    case.publish(1)
    case.settle(1)
    await turn()
    assert case.told == [(0, 1)]


async def test_many_are_told_together_in_their_order(case):
    case.publish(40)
    case.settle(39)
    assert case.wakes == 1
    await turn()
    assert case.told == [(number, 1) for number in range(39)]


async def test_few_of_many_wait_for_more(case):
    case.publish(40)
    case.settle(40 // SHARE - 1)
    await turn()
    assert (case.told, case.wakes) == ([], 0)
    case.settle(1)
    await turn()
    assert len(case.told) == 40 // SHARE


async def test_all_are_told_when_nothing_else_is_on_its_way(case):
    case.publish(40)
    while case.futures:
        case.settle(1)
        await turn()
    assert len(case.told) == 40


async def test_nothing_waits_for_what_never_comes(monkeypatch):
    case = Case(monkeypatch, longest=0.01)
    case.publish(40)
    case.settle(1)
    async with asyncio.timeout(5):
        while not case.told:  # noqa: ASYNC110  it is told by a timer
            await asyncio.sleep(0.01)
    assert case.wakes == 0
    case.settle(39)
    await turn()
    assert len(case.told) == 40


async def test_what_waits_can_be_told_now(case):
    case.publish(40)
    case.settle(1)
    case.outcomes.tell()
    assert len(case.told) == 1


async def test_after_the_end_nothing_waits_and_no_timer_goes_on(monkeypatch):
    case = Case(monkeypatch)
    case.publish(40)
    case.settle(1)
    timer = case.outcomes._timer
    case.outcomes.close()
    assert (len(case.told), timer.cancelled(), case.outcomes._timer) == (1, True, None)
    case.settle(1)
    await turn()
    assert len(case.told) == 2
    case.outcomes.close()
    assert case.outcomes._timer is None


async def test_one_that_fails_does_not_hold_up_the_others(case):
    failures = []
    case.loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))

    def fail(_outcome):
        raise ValueError("from a callback")

    future = Future()
    case.outcomes.expect(future, 1, fail)
    case.publish(2)
    future.set_result(None)
    case.settle(2)
    await turn()
    await turn()
    assert len(case.told) == 2
    assert [str(error) for error in failures] == ["from a callback"]


def test_a_loop_that_is_closed_ends_it_quietly():
    loop = asyncio.new_event_loop()
    outcomes, future, told = Outcomes(loop, lambda *_: told.append(1)), Future(), []
    outcomes.expect(future, 1, told.append)
    loop.close()
    future.set_result(None)
    assert told == []
