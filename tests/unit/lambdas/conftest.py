"""A bus in memory, functions written on the spot, and a running service."""

import asyncio
import contextlib
import textwrap
from dataclasses import replace

import pytest

from edgecore.base.backoff import Backoff
from edgecore.base.clock import SystemClock
from edgecore.base.group import FunctionSpec
from edgecore.base.identity import device
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.lambdas import FunctionsService, LambdasSettings
from edgecore.store import Database

SOON = Backoff(initial=0.01, maximum=0.05)


class FakeBus:
    """Keeps what was published. `answer` decides about each message."""

    def __init__(self):
        self.messages = []
        self.targets = {}
        self.arrived = asyncio.Event()
        self.answer = lambda message: Receipt(allowed=True, receivers=1)

    def publish(self, message):
        self.messages.append(message)
        self.arrived.set()
        return self.answer(message)

    def attach(self, target, subscriber):
        self.targets[target] = subscriber

    def detach(self, target, subscriber):
        if self.targets.get(target) is subscriber:
            del self.targets[target]

    async def wait_for(self, count, topic=None):
        """The messages (on `topic`) once there are `count` of them."""
        async with asyncio.timeout(10):
            while len(found := [m for m in self.messages if topic in (None, m.topic)]) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return found


class House:
    """A service, its bus and its database."""

    def __init__(self, service, bus, db, task):
        self.service = service
        self.bus = bus
        self.db = db
        self.task = task

    def send(self, name, payload=b"{}", qos=1, topic="in"):
        return self.bus.targets[f"function:{name}"].deliver(
            Message(topic, payload, qos, device("d")), qos, False
        )

    def status(self, name="f"):
        return self.service.status()["functions"][name]

    async def until(self, true, name="f"):
        """Wait until `true(status)`."""
        async with asyncio.timeout(10):
            while not true(self.status(name)):  # noqa: ASYNC110  a status has no event
                await asyncio.sleep(0.005)
        return self.status(name)

    async def stop(self):
        if self.task.done():
            return
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
def settings():
    return LambdasSettings(retry_backoff=SOON, restart_backoff=SOON, stop_grace=1.0)


@pytest.fixture
async def bus():
    return FakeBus()


@pytest.fixture
def spec():
    return FunctionSpec("f", "f", "app.handler", result="out")


@pytest.fixture
async def start(tmp_path, bus, settings, spec):
    """start(code, **what differs) writes functions and runs them: one "f", or several by name."""
    houses = []
    async with contextlib.AsyncExitStack() as stack:

        async def begin(code, changes=None, db=None, source=None, **fields):
            codes = code if isinstance(code, dict) else {"f": code}
            for name, text in codes.items():
                folder = tmp_path / name
                folder.mkdir(exist_ok=True)
                (folder / "app.py").write_text(textwrap.dedent(text))
            if db is None:
                db = await stack.enter_async_context(Database(tmp_path / "db.sqlite"))
            specs = {name: replace(spec, name=name, source=name, **fields) for name in codes}
            service = FunctionsService(
                replace(settings, **(changes or {})),
                specs,
                tmp_path,
                bus,
                db,
                SystemClock(),
                tmp_path / "run",
                lambda: 0.5,
                source,
            )
            ready = asyncio.Event()
            task = asyncio.create_task(service.run(ready.set))
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait((task, waiting), timeout=10, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if task.done():
                task.result()
            houses.append(House(service, bus, db, task))
            return houses[-1]

        yield begin
        for house in houses:
            await house.stop()
