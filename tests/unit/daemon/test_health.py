import asyncio
import os
import socket

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import StoreError
from edgecore.daemon.health import Notifier, Watchdog, watchdog_interval
from edgecore.store import Database


@pytest.fixture
def init_system(tmp_path):
    """The socket of a service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def told(receiver):
    return receiver.recv(4096).decode()


def test_says_when_the_core_is_up(init_system):
    Notifier(init_system.getsockname()).ready("core a is up")
    assert told(init_system) == "READY=1\nSTATUS=core a is up"


def test_says_that_the_core_stops(init_system):
    Notifier(init_system.getsockname()).stopping()
    assert told(init_system) == "STOPPING=1"


def test_speaks_to_an_abstract_socket():
    name = f"edgecore-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        receiver.settimeout(5)
        Notifier("@" + name).watchdog()
        assert told(receiver) == "WATCHDOG=1"


def test_without_an_init_system_there_is_nobody_to_tell():
    Notifier("").ready("up")


def test_an_init_system_that_is_gone_is_logged(tmp_path, caplog):
    Notifier(str(tmp_path / "gone")).watchdog()
    assert "init system not reached" in caplog.text


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_interval_is_half_of_what_is_allowed(environment, interval):
    assert watchdog_interval(environment, 7) == interval


class Steps:
    """A sleep that lets a test count the rounds."""

    def __init__(self):
        self.rounds = asyncio.Queue()
        self.go = asyncio.Event()

    async def __call__(self, seconds):
        self.rounds.put_nowait(seconds)
        await self.go.wait()
        self.go.clear()


async def test_each_ping_follows_a_write(tmp_path, init_system):
    clock = ManualClock(1000.0)
    async with Database(tmp_path / "db.sqlite") as db:
        steps = Steps()
        dog = Watchdog(Notifier(init_system.getsockname()), db, 15.0, clock, steps)
        async with asyncio.timeout(5):
            task = asyncio.create_task(dog.run(lambda: None))
            assert await steps.rounds.get() == 15.0
            assert told(init_system) == "WATCHDOG=1"
            clock.advance(15.0)
            steps.go.set()
            await steps.rounds.get()
        beats = await db.read(lambda c: c.execute("SELECT at FROM heartbeat").fetchall())
        assert beats == [(1015.0,)]
        assert dog.status() == {"checks": 2, "interval": 15.0, "check_seconds": 0.0}
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_store_that_cannot_write_gets_no_ping(tmp_path, init_system):
    db = Database(tmp_path / "db.sqlite")
    async with db:
        await db.migrate("health", ())
    dog = Watchdog(Notifier(init_system.getsockname()), db, 15.0, ManualClock())
    with pytest.raises(StoreError):
        await dog.run(lambda: None)
    init_system.setblocking(False)
    with pytest.raises(BlockingIOError):
        init_system.recv(10)
