"""The loop of one function where test_service.py does not reach: clocks and processes that misbehave."""

import asyncio

import pytest

from edgecore.base.errors import FunctionError
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.lambdas.process import Process

ECHO = "def handler(e, c): return e"


async def test_a_process_that_cannot_be_started_breaks_the_function(start, monkeypatch):
    def refuse(self, program):
        raise OSError("out of processes")

    monkeypatch.setattr(Process, "start", refuse)
    house = await start(ECHO)
    with pytest.raises(FunctionError, match="could not be started: out of processes"):
        await house.service.invoke("f", b"0")
    assert house.status()["state"] == "broken"


async def test_an_answer_that_came_in_time_counts_though_the_loop_was_busy(start):
    import time

    house = await start(ECHO, timeout=0.2)
    assert await house.service.invoke("f", b"1") == b"1"
    waiting = asyncio.create_task(house.service.invoke("f", b"2"))
    while house.status()["worker"] != "busy":  # noqa: ASYNC110  to hold the loop right then
        await asyncio.sleep(0)
    time.sleep(0.4)  # noqa: ASYNC251  the loop is held on purpose
    assert await waiting == b"2"
    assert house.status()["timeouts"] == 0


async def test_expired_events_are_skipped(start):
    house = await start(ECHO)
    message = Message("t", b"1", 1, device("d"), expires_at=1.0)
    house.bus.targets["function:f"].deliver(message, 1, False)
    house.send("f", b"2")
    (result,) = await house.bus.wait_for(1)
    assert result.payload == b"2"
    status = await house.until(lambda status: status["queued"] == 0)
    assert status["expired"] == 1


async def test_a_worker_that_dies_idle_is_replaced(start):
    import os

    house = await start(ECHO, pinned=True)
    status = await house.until(lambda status: status["worker"] == "idle")
    os.kill(status["pid"], 9)
    again = await house.until(lambda now: now["worker"] == "idle" and now["pid"] != status["pid"])
    assert again["worker_failures"] == 1
    assert again["last_error"] == "worker replaced while idle: it was killed by SIGKILL"


async def test_a_crash_of_the_loop_leaves_no_process(start, monkeypatch):
    house = await start(ECHO, pinned=True)
    await house.until(lambda status: status["worker"] == "idle")
    monkeypatch.setattr(house.service._functions["f"]._backlog, "outdated", lambda now: 1 / 0)
    house.send("f")
    with pytest.raises(ExceptionGroup):
        await house.task
