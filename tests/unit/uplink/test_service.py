"""The uplink as a unit: with a client that the test drives, and over TLS with the simulated cloud."""

import asyncio

import pytest

from edgecore.base.clock import ManualClock, SystemClock
from edgecore.base.commit import Commit
from edgecore.base.errors import OutboxError, PermanentCloudError, TransientCloudError, UnavailableError
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.store import Database
from edgecore.uplink import Link, UplinkService
from edgecore.uplink import line as room
from edgecore.uplink.client import Incoming, Welcome
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause, Trouble

ROWS = (
    Row(("device:*",), ("dt/${thing}/#",), ("cloud",)),
    Row(("cloud",), ("cmd/${thing}/#",), ("device:*",)),
)


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "store.sqlite") as db:
        yield db


def number(index):
    return Message("dt/a/n", str(index).encode(), 1, device("a"))


class TestWithoutCloud:
    async def test_what_is_sent_there_is_dropped_and_it_says_so(self, bus, run, caplog):
        service = UplinkService(None, ROWS, Link(ManualClock()), bus, None, ManualClock())
        async with run(service.run):
            bus.targets["cloud"].deliver(number(1), 1, retain=False)
            assert service.status()["state"] == "not configured"
            assert service.status()["dropped"] == {"no cloud configured": 1}
            for asked in (service.set_aside(), service.find_aside("1-1"), service.retry_aside(None)):
                with pytest.raises(OutboxError, match=r"no cloud is configured here.* see \[cloud\]"):
                    await asked
        assert bus.targets == {}
        assert "2 routes name the cloud" in caplog.text

    async def test_without_routes_there_is_nothing_to_warn_of(self, bus, run, caplog):
        service = UplinkService(None, (), Link(ManualClock()), bus, None, ManualClock())
        async with run(service.run):
            pass
        assert caplog.text == ""


class Driven:
    """A service whose client the test drives."""

    def __init__(self, bus, db, client, errors=(), rows=ROWS, link=None, **more):
        self.clock = ManualClock()
        self.link = link or Link(self.clock)
        self.client = client
        self.events = None
        self._errors = list(errors)
        known = {"in_flight": 3, "reconnect_min": 0.001, "reconnect_max": 0.002, **more}
        settings = UplinkSettings("host", "c", "k", "core-7", **known)
        self.service = UplinkService(
            settings, rows, self.link, bus, db, self.clock, open_client=self._open, jitter=lambda: 0.0
        )

    async def _open(self, settings, events):
        if self._errors:
            raise self._errors.pop(0)
        self.events = events
        return self.client

    def connect(self, present=False):
        self.events.attempting()
        self.events.succeeded(Welcome(present, 100))

    @property
    def status(self):
        return self.service.status()


class TestDriven:
    async def test_it_is_ready_before_the_cloud_and_takes_messages(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            commit = bus.targets["cloud"].deliver(number(1), 1, retain=False)
            await until(lambda: commit.resolved)
            assert driven.status["connected"] is False
            assert driven.status["outbox"]["records"] == 1

    async def test_connected_it_subscribes_drains_and_tells_the_link(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        heard = []
        driven.link.watch(heard.append)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            await until(lambda: driven.status["subscriptions"] == 1)
            assert client.subscribed == ["cmd/+/#"]
            bus.targets["cloud"].deliver(number(1), 1, retain=False)
            await until(lambda: client.published)
            client.settle()
            await until(lambda: driven.status["outbox"]["records"] == 0)
        assert heard == [True, False]
        assert client.stopped == 1
        assert driven.status["state"] == "stopped"

    async def test_offline_is_a_state_with_a_reason(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            driven.clock.advance(10)
            driven.events.lost(Trouble(Cause.OTHER, "socket is closed"))
            driven.events.attempting()
            driven.events.failed(Trouble(Cause.OTHER, "refused"))
            status = driven.status
            assert (status["state"], status["connected"], status["reason"]) == ("waiting", False, "refused")
            assert status["since"] == driven.clock.now()
            assert not driven.link.connected

    async def test_an_attempt_that_the_stop_breaks_off_is_no_news(self, bus, db, client, run, until, caplog):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            await until(lambda: client.started)
        driven.events.attempting()
        driven.events.failed(Trouble(Cause.OTHER, "interrupted by user request"))
        assert "cannot be reached" not in caplog.text
        assert driven.status["state"] == "stopped"

    async def test_a_lost_session_is_counted(self, bus, db, client, run, until, caplog):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            driven.events.lost(Trouble(Cause.OTHER, "x"))
            driven.connect(present=True)
            assert driven.status["sessions_lost"] == 0
            driven.events.lost(Trouble(Cause.OTHER, "x"))
            driven.connect()
            assert driven.status["sessions_lost"] == 1
            assert "commands sent meanwhile are lost" in caplog.text

    async def test_a_failed_record_is_sent_again_without_being_woken(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            bus.targets["cloud"].deliver(number(1), 1, retain=False)
            await until(lambda: client.published)
            client.settle(TransientCloudError("quota"))
            driven.clock.advance(1)
            await until(lambda: client.published)
            client.settle()
            await until(lambda: driven.status["outbox"]["records"] == 0)

    async def test_subscriptions_that_fail_are_tried_again(self, bus, db, client, run, until):
        client.subscribe_errors = [TransientCloudError("timeout"), TransientCloudError("timeout")]
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            await until(lambda: driven.status["subscriptions"] == 1)

    async def test_refused_subscriptions_are_shown(self, bus, db, client, run, until):
        client.refuses = {"cmd/+/#": "NOT_AUTHORIZED (0x87)"}
        rows = (*ROWS, Row(("cloud",), ("x" * 300,), ("device:*",)))
        driven = Driven(bus, db, client, rows=rows)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            await until(lambda: len(driven.status["subscriptions_refused"]) == 2)
            assert driven.status["subscriptions"] == 0

    async def test_subscriptions_of_routes_that_are_gone_are_taken_back(self, bus, db, client, run, until):
        first = Driven(bus, db, client)
        async with run(first.service.run):
            await until(lambda: client.started)
            first.connect()
            await until(lambda: first.status["subscriptions"] == 1)
        second = Driven(bus, db, client, rows=(Row(("cloud",), ("other",), ("device:*",)),), link=first.link)
        async with run(second.service.run):
            await until(lambda: client.started == 2)
            second.connect(present=True)
            await until(lambda: second.status["subscriptions"] == 1)
        assert client.unsubscribed == ["cmd/+/#"]
        assert client.subscribed == ["cmd/+/#", "other"]

    async def test_what_the_cloud_sends_reaches_the_router(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        acknowledged = []
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.connect()
            driven.events.received(Incoming("cmd/a/go", b"", 1, None, None, lambda: acknowledged.append(1)))
        assert [message.topic for message in bus.published] == ["cmd/a/go"]
        assert acknowledged == [1]

    async def test_without_the_extra_it_is_unavailable_with_the_cure_and_takes_messages(
        self, bus, db, client, run, until, monkeypatch
    ):
        monkeypatch.setattr(room, "REBUILD", room.Backoff(initial=0.001, maximum=0.001))
        missing = UnavailableError("the cloud client is not installed: pip install 'edgecore[aws]'")
        driven = Driven(bus, db, client, errors=[missing, PermanentCloudError("no certificate")])
        states = []
        async with run(driven.service.run):
            await until(lambda: states.append(driven.status["reason"]) or client.started)
            assert any("edgecore[aws]" in reason for reason in states)
            assert bus.targets["cloud"].deliver(number(1), 1, retain=False) is not None

    async def test_it_says_on_the_bus_that_it_drops(self, bus, db, client, run, until):
        driven = Driven(bus, db, client, outbox_records=2)
        async with run(driven.service.run):
            for index in range(3):
                bus.targets["cloud"].deliver(number(index), 1, retain=False)
            await until(lambda: bus.published)
        (alarm,) = bus.published
        assert alarm.topic == "edgecore/alarm/outbox"
        assert b'"overflow": 1' in alarm.payload

    async def test_a_change_of_the_network_is_tried_at_once(self, bus, db, client, run, until):
        driven = Driven(bus, db, client, reconnect_min=1e6, reconnect_max=1e6)
        async with run(driven.service.run):
            await until(lambda: client.started)
            driven.events.attempting()
            driven.events.failed(Trouble(Cause.UNREACHABLE, "no route"))
            driven.clock.advance(1)
            driven.service._inner._network_changed()
            await until(lambda: client.started == 2)

    async def test_what_was_set_aside_can_be_looked_at(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            bus.targets["cloud"].deliver(Message("$SYS/x", b"1", 1, device("a")), 1, retain=False)
            (one,) = await driven.service.set_aside()
        assert (one.topic, one.payload) == ("$SYS/x", b"1")

    async def test_what_was_set_aside_is_sent_again_or_dropped(self, bus, db, client, run, until):
        driven = Driven(bus, db, client)
        async with run(driven.service.run):
            await until(lambda: driven.events)
            driven.connect()
            for index in (1, 2):
                bus.targets["cloud"].deliver(number(index), 1, retain=False)
            await until(lambda: len(client.published) == 2)
            client.settle(PermanentCloudError("refused with 0x87"))
            await until(lambda: driven.status["outbox"]["set_aside"] == 2)
            first, second = await driven.service.set_aside()
            assert await driven.service.find_aside(second.id) == second
            assert (await driven.service.retry_aside([second.id])).done == 1
            await until(lambda: client.published)
            assert [message.payload for message, _, _ in client.published] == [b"2"]
            client.settle()
            assert (await driven.service.drop_aside([first.id])).done == 1
            await until(lambda: driven.status["outbox"]["records"] == 0)
            assert (driven.status["outbox"]["set_aside"], driven.status["outbox"]["sent"]) == (0, 1)

    async def test_several_connections_have_ids_and_states_of_their_own(self, bus, db, client, run, until):
        driven = Driven(bus, db, client, connections=2)
        async with run(driven.service.run):
            await until(lambda: client.started == 2)
            assert [line["client_id"] for line in driven.status["lines"]] == ["core-7", "core-7-2"]


class TestOverTls:
    async def test_nothing_is_lost_when_the_link_is_cut_in_the_middle(
        self, cloud, observer, bus, db, run, until
    ):
        await observer.subscribe("dt/#")
        link, clock = Link(SystemClock()), SystemClock()
        service = UplinkService(cloud.settings(), ROWS, link, bus, db, clock)
        total = 600
        async with run(service.run):
            await until(lambda: service.status()["subscriptions"])
            for index in range(total):
                bus.targets["cloud"].deliver(number(index), 1, retain=False)
                if index == total // 2:
                    await until(lambda: len(observer.messages) > total // 6)
                    cloud.proxy.cut()
            await until(lambda: not link.connected)
            assert service.status()["outbox"]["records"] >= total // 3
            cloud.proxy.restore()
            await until(lambda: service.status()["outbox"]["records"] == 0)
            await until(lambda: len({message.payload for message in observer.messages}) == total)
            got = [int(message.payload) for message in observer.messages]
        firsts = list(dict.fromkeys(got))
        assert firsts == sorted(firsts)  # first deliveries in order
        assert len(got) - total <= cloud.settings().in_flight  # only what was in flight came twice

    async def test_what_was_not_sent_survives_a_restart(self, cloud, observer, bus, db, run, until):
        await observer.subscribe("dt/#")
        cloud.proxy.cut()
        first = UplinkService(cloud.settings(), ROWS, Link(SystemClock()), bus, db, SystemClock())
        async with run(first.run):
            commits = [bus.targets["cloud"].deliver(number(index), 1, retain=False) for index in range(10)]
            await until(lambda: all(commit.resolved for commit in commits))
        cloud.proxy.restore()
        second = UplinkService(cloud.settings(), ROWS, Link(SystemClock()), bus, db, SystemClock())
        async with run(second.run):
            await until(lambda: len(observer.messages) == 10)
            await until(lambda: second.status()["outbox"]["records"] == 0)

    async def test_a_command_is_acknowledged_only_when_durable(self, cloud, observer, bus, db, run, until):
        commit = Commit()
        bus.receipt = Receipt(allowed=True, receivers=1, commits=(commit,))
        service = UplinkService(cloud.settings(), ROWS, Link(SystemClock()), bus, db, SystemClock())
        async with run(service.run):
            await until(lambda: service.status()["subscriptions"])
            await observer.publish("cmd/a/go", b"1")
            await until(lambda: len(bus.published) == 1)
            cloud.proxy.cut()
            await until(lambda: not service.status()["connected"])
            commit.resolve()
            bus.receipt = Receipt(allowed=True, receivers=1)
            cloud.proxy.restore()
            await until(lambda: len(bus.published) == 2)  # it was not acknowledged, so it came again
            await until(lambda: service.status()["connected"])
            assert service.status()["sessions_lost"] == 0

    async def test_the_link_speaks_past_the_outbox(self, cloud, observer, bus, db, run, until):
        link = Link(SystemClock())
        got = []
        service = UplinkService(cloud.settings(), (), link, bus, db, SystemClock())
        async with run(service.run):
            await until(lambda: link.connected)
            await link.subscribe("$aws/things/a/shadow/update/+", lambda topic, _payload: got.append(topic))
            await link.publish("$aws/things/a/shadow/update", b'{"state":{"reported":{"x":1}}}')
            await until(lambda: len(got) == 2)
        assert got == ["$aws/things/a/shadow/update/documents", "$aws/things/a/shadow/update/accepted"]
        assert service.status()["outbox"]["sent"] == 0
        await asyncio.sleep(0)
