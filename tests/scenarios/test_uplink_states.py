"""What keeps a core from its cloud, over real TLS with the real client: each has a name in `edgecore status`.

And poison: a message at which the cloud ends the connection is found, set aside, and holds up nothing.
"""

import asyncio
import contextlib
import json

import pytest

from edgecore.base.clock import SystemClock
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.sim.cloud import serve
from edgecore.store import Database
from edgecore.uplink import Link, UplinkService, UplinkSettings, aws
from tests.doubles.running import running, started
from tests.doubles.scripted_cloud import HANG_UP, ScriptedCloud, listening

PATIENCE = 30
ROWS = (Row(("device:*",), ("dt/#", "$aws/rules/#"), ("cloud",)), Row(("cloud",), ("cmd/#",), ("device:*",)))


class Bus:
    def __init__(self):
        self.targets, self.published = {}, []

    def publish(self, message):
        self.published.append(message)
        return Receipt(allowed=True)

    def attach(self, target, subscriber):
        self.targets[target] = subscriber

    def detach(self, target, _subscriber):
        self.targets.pop(target, None)


class Core:
    """An uplink and what it needs."""

    def __init__(self, folder, port, db, endpoint="127.0.0.1", **more):
        known = {"reconnect_min": 0.02, "reconnect_max": 0.1, "ack_timeout": 20, "aws_limits": False, **more}
        settings = UplinkSettings(
            endpoint,
            folder / "core.cert.pem",
            folder / "core.key.pem",
            "core",
            port=port,
            ca=folder / "ca.pem",
            **known,
        )
        self.bus = Bus()
        self.service = UplinkService(settings, ROWS, Link(SystemClock()), self.bus, db, SystemClock())
        self.run = self.service.run

    def deliver(self, payload, topic="dt/a"):
        return self.bus.targets["cloud"].deliver(Message(topic, payload, 1, device("a")), 1, retain=False)

    @property
    def status(self):
        return self.service.status()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  the library's threads set no event
                await asyncio.sleep(0.005)

    async def has_cause(self, cause):
        await self.until(lambda: self.status["cause"] == cause)
        assert not self.status["connected"]
        return self.status["reason"]


@pytest.fixture
async def db(tmp_path):
    async with Database(tmp_path / "core.db") as database:
        yield database


@contextlib.asynccontextmanager
async def core_of(cloud, folder, db, **more):
    async with (
        listening(cloud, folder / "cloud"),
        running(Core(folder / "cloud", cloud.port, db, **more)) as core,
    ):
        yield core


@pytest.mark.parametrize(
    ("answer", "cause", "says"),
    [
        ([p.ConnAck(reason_code=0x87)], "not authorised", "NOT_AUTHORIZED"),
        ([HANG_UP], "not authorised", "certificate known and active"),
        ([p.ConnAck(reason_code=0x97)], "throttled", "QUOTA_EXCEEDED"),
    ],
)
async def test_what_the_cloud_refuses_at_the_door(tmp_path, db, answer, cause, says):
    cloud = ScriptedCloud({p.Connect: lambda _packet: answer})
    async with core_of(cloud, tmp_path, db) as core:
        assert says in await core.has_cause(cause)


@pytest.mark.parametrize(
    ("code", "cause"), [(0x8E, "taken over"), (0x97, "throttled"), (0x8D, "half-open link")]
)
async def test_why_the_cloud_disconnects(tmp_path, db, code, cause):
    cloud = ScriptedCloud({p.Subscribe: lambda _packet: [p.Disconnect(code)]})
    async with core_of(cloud, tmp_path, db, reconnect_min=20.0, reconnect_max=20.0) as core:
        await core.has_cause(cause)


async def test_a_half_open_link(tmp_path, db, monkeypatch):
    monkeypatch.setattr(aws, "PING_TIMEOUT_MS", 300)
    cloud = ScriptedCloud({p.PingReq: lambda _packet: []})
    async with core_of(cloud, tmp_path, db, keep_alive=1, reconnect_min=20.0, reconnect_max=20.0) as core:
        await core.has_cause("half-open link")


async def test_a_port_that_nobody_listens_on(tmp_path, db, unused_tcp_port):
    async with listening(ScriptedCloud(), tmp_path / "cloud"):
        pass  # for the certificates
    async with running(Core(tmp_path / "cloud", unused_tcp_port, db)) as core:
        await core.has_cause("connection refused")


async def test_a_name_that_has_no_address(tmp_path, db):
    async with listening(ScriptedCloud(), tmp_path / "cloud"):
        pass  # for the certificates
    # RFC 2606: no resolver knows a name under .invalid.
    async with running(Core(tmp_path / "cloud", 8883, db, "cloud.invalid")) as core:
        assert "[cloud] endpoint" in await core.has_cause("dns failure")


async def test_a_portal_that_speaks_http(tmp_path, db):
    async def portal(reader, writer):
        await reader.read(1)
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n")
        writer.close()

    async with listening(ScriptedCloud(), tmp_path / "cloud"):
        pass  # for the certificates
    server = await asyncio.start_server(portal, "127.0.0.1", 0)
    async with server, running(Core(tmp_path / "cloud", server.sockets[0].getsockname()[1], db)) as core:
        assert "sign in there" in await core.has_cause("captive portal")


class TestPoison:
    """The cloud ends the connection at one message, each way that AWS does."""

    @pytest.mark.parametrize(
        "answer", [[p.Disconnect(0x87)], [p.Disconnect(0x95)], [p.Disconnect(0x82)], [HANG_UP]]
    )
    async def test_it_is_found_within_seconds_and_the_others_arrive(self, tmp_path, db, answer):
        cloud = ScriptedCloud({p.Publish: lambda packet: answer if packet.payload == b"bad" else None})
        good = [b"%d" % number for number in range(60)]
        async with core_of(cloud, tmp_path, db) as core:
            for payload in (*good[:30], b"bad", *good[30:]):
                core.deliver(payload, f"dt/{len(payload)}")
            await core.until(lambda: core.status["outbox"]["records"] == 0)
            outbox = core.status["outbox"]
        assert set(cloud.published) == set(good)
        assert outbox["set_aside"] == 1
        assert "ends the connection" in outbox["set_aside_last"][0]["reason"]
        (aside,) = await core.service.set_aside()
        assert aside.payload == b"bad"

    async def test_one_that_is_refused_in_words_is_set_aside_at_once(self, tmp_path, db):
        def judge(packet):
            return [p.PubAck(packet.packet_id, 0x87)] if packet.payload == b"bad" else None

        cloud = ScriptedCloud({p.Publish: judge})
        async with core_of(cloud, tmp_path, db) as core:
            for payload in (b"1", b"bad", b"2"):
                core.deliver(payload)
            await core.until(lambda: core.status["outbox"]["records"] == 0)
            assert core.status["outbox"]["set_aside"] == 1
        assert (cloud.published, len(cloud.client_ids)) == ([b"1", b"2"], 1)

    async def test_a_link_that_fails_again_and_again_accuses_nobody(self, tmp_path, db):
        """Every third connection is lost in the middle of the batch, by the cloud's own fault: it says so."""
        count = iter(range(10_000))
        cloud = ScriptedCloud(
            {p.Publish: lambda _packet: [p.Disconnect(0x8B)] if next(count) % 40 == 39 else None}
        )
        payloads = [b"%d" % number for number in range(300)]
        async with core_of(cloud, tmp_path, db) as core:
            for payload in payloads:
                core.deliver(payload)
            await core.until(lambda: core.status["outbox"]["records"] == 0)
            assert core.status["outbox"]["set_aside"] == 0
        assert set(cloud.published) == set(payloads)


async def test_several_connections_share_the_outbox(tmp_path, db):
    cloud = ScriptedCloud()
    payloads = [b"%d" % number for number in range(200)]
    async with core_of(cloud, tmp_path, db, connections=3) as core:
        await core.until(lambda: all(line["connected"] for line in core.status["lines"]))
        for number, payload in enumerate(payloads):
            core.deliver(payload, f"dt/{number % 20}")
        await core.until(lambda: core.status["outbox"]["records"] == 0)
    assert set(cloud.client_ids) == {"core", "core-2", "core-3"}
    assert sorted(cloud.published) == sorted(payloads)
    for topic in range(20):
        own = [int(payload) for payload in cloud.published if int(payload) % 20 == topic]
        assert own == sorted(own)


async def test_basic_ingest_goes_to_the_simulated_cloud_by_a_row(tmp_path, db):
    folder = tmp_path / "sim"
    async with started(lambda ready: serve(folder, 0, ready=ready)):
        port = json.loads((folder / "cloud.json").read_text())["port"]
        async with running(Core(folder, port, db)) as core:
            core.deliver(b"{}", "$aws/rules/store/dt/a")
            await core.until(lambda: core.status["outbox"]["sent"] == 1)
