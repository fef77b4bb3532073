"""Calls from threads, brought to the loop."""

import asyncio
import threading

import pytest

from edgecore.uplink import inbox as room
from edgecore.uplink.inbox import Inbox


async def test_calls_from_threads_run_on_the_loop_in_order():
    inbox, done, seen = Inbox(asyncio.get_running_loop()), asyncio.Event(), []

    def from_thread():
        for number in range(1000):
            inbox.post(lambda number=number: seen.append((number, threading.current_thread())))
        inbox.post(done.set)

    thread = threading.Thread(target=from_thread)
    thread.start()
    async with asyncio.timeout(5):
        await done.wait()
    thread.join()
    assert [number for number, _ in seen] == list(range(1000))
    assert {thread for _, thread in seen} == {threading.current_thread()}


async def test_a_burst_wakes_the_loop_once(monkeypatch):
    loop = asyncio.get_running_loop()
    wakes = []
    real = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: (wakes.append(1), real(*call)))
    inbox, done = Inbox(loop), asyncio.Event()
    for _ in range(10):
        inbox.post(lambda: None)
    inbox.post(done.set)
    await done.wait()
    assert len(wakes) == 1


@pytest.mark.parametrize(("qos", "bound"), [(0, "MAX_WAITING"), (1, "MAX_WAITING_QOS_1")])
async def test_it_says_when_too_much_waits(monkeypatch, qos, bound):
    monkeypatch.setattr(room, bound, 2)
    inbox, done = Inbox(asyncio.get_running_loop()), asyncio.Event()
    assert inbox.offer(lambda: None, 1, qos)
    inbox.post(done.set)
    assert not inbox.offer(done.clear, 1, qos)
    await done.wait()
    assert inbox.offer(lambda: None, 1, qos)


@pytest.mark.parametrize(("qos", "bound"), [(0, "MAX_WAITING_BYTES"), (1, "MAX_WAITING_BYTES_QOS_1")])
async def test_it_says_when_too_many_bytes_wait(monkeypatch, qos, bound):
    monkeypatch.setattr(room, bound, 100)
    inbox, done = Inbox(asyncio.get_running_loop()), asyncio.Event()
    assert inbox.offer(lambda: None, 99, qos)
    assert inbox.offer(done.set, 50, qos)  # one more, however large, than what is within the bound
    assert not inbox.offer(lambda: None, 0, qos)
    await done.wait()
    assert inbox.offer(lambda: None, 0, qos)


async def test_a_flood_at_qos_0_keeps_no_qos_1_out():
    inbox = Inbox(asyncio.get_running_loop())
    while inbox.offer(lambda: None, 1000, 0):
        pass
    assert inbox.offer(lambda: None, 1000, 1)


async def test_a_failing_call_is_reported_and_holds_nothing_up():
    loop = asyncio.get_running_loop()
    reported = []
    loop.set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
    inbox, done = Inbox(loop), asyncio.Event()
    inbox.post([].pop)
    inbox.post(done.set)
    await done.wait()
    loop.set_exception_handler(None)
    assert [type(one) for one in reported] == [IndexError]


def test_a_closed_loop_is_no_error():
    loop = asyncio.new_event_loop()
    loop.close()
    inbox = Inbox(loop)
    inbox.post(lambda: None)
    assert not inbox._calls
