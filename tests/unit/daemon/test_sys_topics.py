import asyncio
import contextlib
import math

import pytest

from edgecore import __version__
from edgecore.base.clock import ManualClock
from edgecore.base.identity import CORE
from edgecore.daemon.sys_topics import MEMORY, PREFIX, Loads, SysTopics, counts_of, read_heap

TRAFFIC = {
    "sockets": 9,
    "connects": 8,
    "received": 10,
    "sent": 20,
    "publishes_received": 3,
    "publishes_sent": 4,
    "bytes_received": 500,
    "bytes_sent": 600,
}
KEPT = {
    "sessions": 5,
    "away": 4,
    "expired": 6,
    "queued": 30,
    "in_flight": 2,
    "bytes": 1000,
    "dropped": {"overflow": 10, "too-large": 1, "expired": 100, "not-allowed": 100},
}
LISTENER = {
    "connected": 2,
    "sessions": 3,
    "most_connected": 5,
    "dropped": 1,
    "in_flight": 13,
    "traffic": TRAFFIC,
    "kept": KEPT,
}
ROUTER = {"subscriptions": 9, "shared_subscriptions": 2, "retained": 8, "retained_bytes": 50}
STATUSES = {"listener": {"status": LISTENER}, "router": {"status": ROUTER}}


class House:
    def __init__(self, statuses=STATUSES):
        self.all = statuses
        self.told = []

    def statuses(self):
        return self.all

    def publish(self, message):
        self.told.append(message)


def test_counts_have_mosquitto_s_names():
    assert counts_of(STATUSES) == {
        "clients/connected": 2,
        "clients/active": 2,
        "clients/disconnected": 4,
        "clients/inactive": 4,
        "clients/total": 6,
        "clients/maximum": 5,
        "clients/expired": 6,
        "connections/socket/count": 9,
        "messages/received": 10,
        "messages/sent": 20,
        "messages/inflight": 13,
        "messages/stored": 40,
        "publish/messages/received": 3,
        "publish/messages/sent": 4,
        "publish/messages/dropped": 12,
        "bytes/received": 500,
        "bytes/sent": 600,
        "store/messages/count": 40,
        "store/messages/bytes": 1050,
        "subscriptions/count": 7,
        "shared_subscriptions/count": 2,
        "retained messages/count": 8,
    }


@pytest.mark.parametrize("statuses", [{}, {"listener": {}}, {"listener": {"status": {"traffic": 3}}}])
def test_what_is_not_known_is_not_counted(statuses):
    assert counts_of(statuses) == {}


def test_a_sum_of_which_a_part_is_not_known_is_not_told():
    """The listener alone does not know what is retained, and a door without kept sessions nothing of them."""
    alone = counts_of({"listener": STATUSES["listener"]})
    assert "clients/total" in alone
    assert not {"store/messages/count", "messages/stored", "subscriptions/count"} & alone.keys()
    without = counts_of({"listener": {"status": {**LISTENER, "kept": {}}}, "router": STATUSES["router"]})
    assert without["clients/connected"] == 2
    assert not {"clients/total", "clients/inactive", "publish/messages/dropped"} & without.keys()


def test_loads_are_moving_averages_per_minute():
    loads, total = Loads(), {"messages/received": 0}
    assert loads.look(total, 10.0)["load/messages/received/1min"] == 0.0
    total = {"messages/received": 100}
    averages = loads.look(total, 10.0)
    assert averages["load/messages/received/1min"] == pytest.approx(600 * (1 - math.exp(-10 / 60)))
    assert averages["load/messages/received/15min"] == pytest.approx(600 * (1 - math.exp(-10 / 900)))
    assert set(averages) == {f"load/messages/received/{each}min" for each in (1, 5, 15)}
    for _ in range(1000):
        total = {"messages/received": total["messages/received"] + 100}
        averages = loads.look(total, 10.0)
    assert averages["load/messages/received/15min"] == pytest.approx(600, rel=1e-4)


def test_a_total_that_began_anew_is_no_negative_load():
    loads = Loads()
    loads.look({"bytes/sent": 1000}, 10.0)
    before = loads.look({"bytes/sent": 1000}, 10.0)["load/bytes/sent/1min"]
    assert 0 < loads.look({"bytes/sent": 10}, 10.0)["load/bytes/sent/1min"] < before


def test_memory_is_read_where_it_is_told(tmp_path):
    assert read_heap(MEMORY) > 1_000_000
    assert read_heap(tmp_path / "none") is None
    (tmp_path / "status").write_text("Name:\tx\n")
    assert read_heap(tmp_path / "status") is None


class Service:
    """The service, with a clock that moves when told and a sleep that ends when told."""

    def __init__(self, interval=10.0, memory=MEMORY):
        self.house, self.clock = House(), ManualClock()
        self.asleep, self.go = asyncio.Event(), asyncio.Event()
        self.ready = asyncio.Event()
        self.service = SysTopics(interval, self.house, self.house, self.clock, self._sleep, memory)

    async def _sleep(self, seconds):
        self.clock.advance(seconds)
        self.asleep.set()
        await self.go.wait()
        self.go.clear()

    async def until_asleep(self):
        async with asyncio.timeout(5):
            await self.asleep.wait()
        self.asleep.clear()
        told = {each.topic.removeprefix(PREFIX): each.payload.decode() for each in self.house.told}
        assert all(each.sender == CORE and each.retain and not each.qos for each in self.house.told)
        self.house.told.clear()
        return told

    @contextlib.asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.service.run(self.ready.set))
        try:
            async with asyncio.timeout(5):
                await self.ready.wait()
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_figures_are_told_at_once_and_then_what_has_changed():
    async with Service().running() as it:
        first = await it.until_asleep()
        assert first["version"] == f"edgecore version {__version__}"
        assert first["uptime"] == "0 seconds"
        assert first["clients/connected"] == "2"
        assert int(first["heap/current"]) > 0
        assert first["heap/maximum"] == first["heap/current"]
        assert not any(topic.startswith("load/") for topic in first)  # no time has passed
        it.house.all = {"router": STATUSES["router"], "listener": {"status": {**LISTENER, "connected": 3}}}
        it.go.set()
        second = await it.until_asleep()
        assert second["uptime"] == "10 seconds"
        assert second["clients/connected"] == "3"
        assert second["load/messages/received/1min"] == "9.21"
        assert second["load/sockets/1min"] == "8.29"
        assert second["load/connections/1min"] == "7.37"
        assert len([topic for topic in second if topic.startswith("load/")]) == 27
        assert "connects" not in second
        assert "version" not in second
        assert second["clients/total"] == "7"
        assert "clients/maximum" not in second
        assert it.service.status()["topics"] == len(first.keys() | second.keys())


async def test_the_most_memory_that_was_seen_stays_told(tmp_path):
    memory = tmp_path / "status"
    memory.write_text("RssAnon:\t5 kB\n")
    async with Service(memory=memory).running() as it:
        told = [await it.until_asleep()]
        for size in (9, 4):
            memory.write_text(f"RssAnon:\t{size} kB\n")
            it.go.set()
            told.append(await it.until_asleep())
    assert [each["heap/current"] for each in told] == ["5120", "9216", "4096"]
    assert [each.get("heap/maximum") for each in told] == ["5120", "9216", None]


async def test_an_interval_of_0_tells_nothing():
    async with Service(0.0).running() as it:
        assert it.house.told == []
        assert it.service.status() == {"interval": 0.0, "topics": 0}
