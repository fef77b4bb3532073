"""One connection: when it tries again, and what it makes of what the client tells."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import TransientCloudError
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import MemoryQueue, QueueBounds
from edgecore.uplink.client import Welcome
from edgecore.uplink.connection import State
from edgecore.uplink.line import HURRY_SECONDS, Line
from edgecore.uplink.outbox import LANES, Outbox
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause, Trouble
from tests.unit.uplink.conftest import FakeClient, Until

NEVER = 1_000_000.0


class Case:
    def __init__(self, *, reconnect=NEVER, found=None, busy=False, patience=NEVER):
        self.clock = ManualClock()
        self.client = FakeClient()
        self.changes = []
        self.looked = 0
        self.found = found
        settings = UplinkSettings(
            "h",
            Path("c"),
            Path("k"),
            "core",
            reconnect_min=reconnect,
            reconnect_max=reconnect,
            connect_timeout=patience,
        )
        bounds = QueueBounds(100, 10_000)
        self.outbox = Outbox(
            MemoryQueue("o", bounds, LANES), MemoryQueue("a", bounds), settings, self.clock, lambda: None
        )
        self.line = Line(
            settings,
            self.outbox.channels[0],
            self.clock,
            self._open,
            self._diagnose,
            lambda: 0.0,
            lambda line, _reason: self.changes.append(line.connection.connected),
            lambda _incoming: None,
            lambda: busy,
        )

    async def _open(self, _settings, _events):
        return self.client

    async def _diagnose(self, _settings, _now):
        self.looked += 1
        return self.found

    @contextlib.asynccontextmanager
    async def kept(self):
        task = asyncio.create_task(self.line.keep())
        await self.tries(1)
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def tries(self, number):
        await Until()(lambda: self.client.started >= number)

    def connect(self):
        self.line.attempting()
        self.line.succeeded(Welcome(session_present=True, receive_maximum=100))

    def fail(self, cause=Cause.REFUSED):
        self.line.attempting()
        self.line.failed(Trouble(cause, "so it was"))


async def test_it_tries_again_by_itself():
    case = Case(reconnect=0.001)
    async with case.kept():
        case.fail()
        await case.tries(2)
        case.connect()
        case.line.lost(Trouble(Cause.CLOSED, "gone"))
        await case.tries(3)
    assert case.changes == [True, False]


async def test_it_tries_at_once_when_the_network_comes_back():
    case = Case()
    async with case.kept():
        case.fail(Cause.UNREACHABLE)
        case.clock.advance(HURRY_SECONDS)
        await Until()(lambda: case.line.hurry() or case.client.started == 2)


async def test_a_network_that_comes_and_goes_does_not_make_it_try_all_the_time():
    case = Case()
    async with case.kept():
        case.fail()
        await Until()(lambda: case.line.hurry() or case.client.started == 2)
        case.fail()
        case.line.hurry()
        assert not case.line._again.is_set()
        case.clock.advance(HURRY_SECONDS)
        await Until()(lambda: case.line.hurry() or case.client.started == 3)


async def test_while_it_is_connected_the_network_is_no_matter():
    case = Case()
    async with case.kept():
        case.connect()
        case.line.hurry()
        assert not case.line._again.is_set()


async def test_one_that_was_taken_over_waits_as_long_as_it_may():
    case = Case()
    async with case.kept():
        assert case.line._delay(iter([1.0])) == 1.0
        case.connect()
        case.line.lost(Trouble(Cause.TAKEN_OVER, "by another"))
        assert case.line._delay(iter([1.0])) == NEVER


@pytest.mark.parametrize(
    ("cause", "found", "then"),
    [
        (Cause.TLS, Trouble(Cause.CAPTIVE_PORTAL, "portal"), Cause.CAPTIVE_PORTAL),
        (Cause.TLS, Trouble(Cause.CLOCK, "not yet valid"), Cause.CLOCK),
        (Cause.NO_ANSWER, Trouble(Cause.DNS, "no such name"), Cause.DNS),
        (Cause.CLOSED, None, Cause.NOT_AUTHORISED),
        (Cause.TLS, None, Cause.TLS),
    ],
)
async def test_what_says_too_little_is_looked_into(cause, found, then):
    case = Case(found=found)
    async with case.kept():
        case.fail(cause)
        await Until()(lambda: case.looked == 1 and case.line.connection.cause is then)
        assert case.line.status()["cause"] == then.value


async def test_an_attempt_that_takes_long_is_looked_into_while_it_goes_on():
    case = Case(found=Trouble(Cause.CLOCK, "not yet valid"), patience=0.001)
    async with case.kept():
        case.line.attempting()
        await Until()(lambda: case.line.connection.cause is Cause.CLOCK)
        assert (case.line.connection.state, case.client.started) == (State.CONNECTING, 1)
        case.line.failed(Trouble(Cause.TLS, "at last"))
        assert case.line.connection.cause is Cause.TLS
        await Until()(lambda: case.line.connection.cause is Cause.CLOCK)
    assert case.looked == 2


async def test_a_connection_that_stands_is_not_looked_into():
    case = Case(found=Trouble(Cause.CLOCK, "not yet valid"), patience=0.001, reconnect=0.001)

    async def connect_at_once():
        case.client.started += 1
        case.connect()

    case.client.connect = connect_at_once
    async with case.kept():
        await asyncio.sleep(0.01)  # ten times its patience
        case.line.lost(Trouble(Cause.REFUSED, "gone"))
        await case.tries(2)
    assert case.looked == 0


async def test_what_says_enough_is_not():
    case = Case(reconnect=0.001)
    async with case.kept():
        case.fail(Cause.REFUSED)
        await case.tries(2)
    assert case.looked == 0


@pytest.mark.parametrize("busy", [True, False])
async def test_a_probe_waits_until_nobody_else_can_be_blamed(busy):
    case = Case(busy=busy)
    async with case.kept():
        case.connect()
        case.outbox.deliver(Message("dt/a", b"", 1, device("a")), 1, retain=False)
        case.line.channel.pump(case.client)
        case.line.lost(Trouble(Cause.MESSAGE, "not authorised"))
        case.client.settle(TransientCloudError("offline"))
        case.connect()
        due = case.line.channel.pump(case.client)
        assert bool(case.client.published) is not busy
        assert (due is not None) is busy  # it is looked at again by itself
