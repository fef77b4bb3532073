"""The bridge's client against a real Mosquitto over mutual TLS, and over TLS with a password."""

import asyncio
import contextlib
import datetime as dt
import shutil
import socket
import ssl
import subprocess
from dataclasses import replace

import pytest

from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.identity import device
from edgecore.base.message import Message, Properties
from edgecore.sim.faults import Proxy
from edgecore.sim.pki import ThrowawayAuthority
from edgecore.uplink import bridge
from edgecore.uplink.bridge import open_bridge
from edgecore.uplink.mapping import CloudSubscription
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause

# As root it would take a user of its own, who may not read a test's folder.
CONFIGURATION = """
user root
listener {port} 127.0.0.1
cafile {pki}/ca.pem
certfile {pki}/server.cert.pem
keyfile {pki}/server.key.pem
require_certificate {by_certificate}
use_identity_as_username {by_certificate}
allow_anonymous false
{passwords}
acl_file {acl}
"""
ACL = "pattern readwrite dt/#\npattern readwrite cmd/#\n"


def program(name):
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin")
    if found is None:
        pytest.skip(f"{name} is not installed (Debian: mosquitto)")
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Mosquitto:
    """A broker that knows `core-7` by its certificate, or by the password "secret"."""

    def __init__(self, folder, *, by_certificate=True):
        self.folder, self.port = folder, free_port()
        now = dt.datetime.now(dt.UTC)
        authority = ThrowawayAuthority.load_or_create(folder / "pki", now)
        authority.server("server", ["localhost", "127.0.0.1"], now)
        pair = authority.client("core", "core-7", now)
        words = {"port": self.port, "pki": folder / "pki", "acl": folder / "acl", "passwords": ""}
        words["by_certificate"] = str(by_certificate).lower()
        if not by_certificate:
            subprocess.run(
                [program("mosquitto_passwd"), "-b", "-c", folder / "users", "core-7", "secret"], check=True
            )
            words["passwords"] = f"password_file {folder / 'users'}"
        (folder / "acl").write_text(ACL)
        (folder / "mosquitto.conf").write_text(CONFIGURATION.format(**words))
        (folder / "password").write_text("secret\n")
        self.settings = UplinkSettings(
            "127.0.0.1",
            pair.certificate if by_certificate else None,
            pair.key if by_certificate else None,
            "core-7",
            self.port,
            authority.ca,
            broker="mqtt",
            username="" if by_certificate else "core-7",
            password_file=None if by_certificate else folder / "password",
            aws_limits=False,
        )

    @contextlib.asynccontextmanager
    async def running(self):
        command = [program("mosquitto"), "-c", str(self.folder / "mosquitto.conf")]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        try:
            async with asyncio.timeout(10):
                while True:
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                        writer.close()
                        break
                    await asyncio.sleep(0.02)
            yield
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


class Events:
    """Keeps what the client tells."""

    def __init__(self):
        self.attempts, self.order = 0, []
        self.welcomes, self.failures, self.losses, self.incoming = [], [], [], []

    def attempting(self):
        self.attempts += 1

    def succeeded(self, welcome):
        self.welcomes.append(welcome)

    def failed(self, trouble):
        self.failures.append(trouble)

    def lost(self, trouble):
        self.losses.append(trouble)
        self.order.append("lost")

    def received(self, incoming):
        self.incoming.append(incoming)


@pytest.fixture
async def broker(tmp_path):
    made = await asyncio.to_thread(Mosquitto, tmp_path)
    async with made.running():
        yield made


@contextlib.asynccontextmanager
async def connected(settings):
    events = Events()
    client = await open_bridge(settings, events)
    try:
        await client.connect()
        yield client, events
    finally:
        await client.stop()


def message(topic="dt/a", payload=b"{}", **more):
    return Message(topic, payload, 1, device("a"), **more)


async def outcome(client, one, qos=1, now=0.0):
    done = asyncio.get_running_loop().create_future()
    client.publish(one, qos, now, done.set_result)
    async with asyncio.timeout(10):
        return await done


async def test_a_message_goes_there_and_back_with_all_its_properties(broker, until):
    properties = Properties(1, "application/json", "reply/to", b"\x00\xff", (("k", "1"), ("k", "2")))
    async with connected(broker.settings) as (client, events):
        assert [each.session_present for each in events.welcomes] == [False]
        assert await client.subscribe([CloudSubscription("dt/#", 1)]) == {}
        assert await outcome(client, message(properties=properties, expires_at=60.0)) is None
        assert await outcome(client, message("dt/b", b"0"), qos=0) is None
        await until(lambda: len(events.incoming) == 2)
        by_topic = {each.topic: each for each in events.incoming}
        came = by_topic["dt/a"]
        assert (came.payload, came.qos, came.properties) == (b"{}", 1, properties)
        assert 0 < came.expires_in <= 60
        assert (by_topic["dt/b"].qos, by_topic["dt/b"].properties) == (0, None)
        assert await client.subscribe([CloudSubscription("secret/#", 1)]) == {}  # as Mosquitto does
        await client.unsubscribe(["dt/#"])


async def test_what_was_not_acknowledged_comes_again(broker, until):
    async with connected(broker.settings) as (client, events):
        await client.subscribe([CloudSubscription("cmd/#", 1)])
        assert await outcome(client, message("cmd/1")) is None
        await until(lambda: events.incoming)
        await client.connect()  # an attempt ends the connection that there is
        await until(lambda: len(events.incoming) == 2)
        assert events.welcomes[1].session_present
        events.incoming[1].acknowledge()
        events.incoming[0].acknowledge()  # of a connection that is gone: nothing
        await client.connect()
        assert await outcome(client, message("cmd/2")) is None
        await until(lambda: len(events.incoming) == 3)
        assert events.incoming[2].topic == "cmd/2"


async def test_what_the_broker_refuses_is_permanent(broker):
    async with connected(broker.settings) as (client, _):
        error = await outcome(client, message("secret/x"))
        assert isinstance(error, PermanentCloudError)
        assert "0x87" in str(error)
        assert isinstance(await outcome(client, message("dt/#")), PermanentCloudError)


async def test_a_connection_that_is_cut_fails_what_is_in_flight(broker, run, until):
    proxy = Proxy("127.0.0.1", broker.port)
    async with run(proxy.run), connected(replace(broker.settings, port=proxy.port)) as (client, events):
        await until(lambda: events.welcomes)
        outcomes = []

        def done(error):
            outcomes.append(error)
            events.order.append("failed")

        client.publish(message(), 1, 0.0, done)
        proxy.cut()
        await until(lambda: outcomes)
        assert isinstance(outcomes[0], TransientCloudError)
        assert events.order == ["lost", "failed"]
        assert [each.cause for each in events.losses] == [Cause.CLOSED]
        assert isinstance(await outcome(client, message()), TransientCloudError)
        with pytest.raises(TransientCloudError):
            await client.subscribe([CloudSubscription("dt/#", 1)])
        proxy.restore()
        await client.connect()
        assert await outcome(client, message()) is None


async def test_a_password(tmp_path):
    broker = await asyncio.to_thread(lambda: Mosquitto(tmp_path, by_certificate=False))
    async with broker.running():
        async with connected(broker.settings) as (client, _):
            assert await outcome(client, message()) is None
        (tmp_path / "password").write_text("wrong")
        async with connected(broker.settings) as (_, events):
            assert [each.cause for each in events.failures] == [Cause.NOT_AUTHORISED]


async def test_nobody_there(broker):
    async with connected(replace(broker.settings, port=free_port())) as (client, events):
        assert [each.cause for each in events.failures] == [Cause.REFUSED]
        assert isinstance(await outcome(client, message()), TransientCloudError)
        with pytest.raises(TransientCloudError):
            await client.unsubscribe(["a"])
    async with connected(replace(broker.settings, endpoint="no-such-host.invalid")) as (_, events):
        assert [each.cause for each in events.failures] == [Cause.DNS]


@contextlib.asynccontextmanager
async def scripted(broker, *answers):
    """A server that says one of `answers` to each packet, and then nothing more: the settings to reach it."""

    async def talk(reader, writer):
        for answer in answers:
            await reader.read(10_000)
            writer.write(answer)
            await writer.drain()

    pki = broker.folder / "pki"
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    await asyncio.to_thread(context.load_cert_chain, pki / "server.cert.pem", pki / "server.key.pem")
    server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
    try:
        yield replace(broker.settings, port=server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def test_somebody_who_says_nothing(broker, monkeypatch):
    monkeypatch.setattr(bridge, "CONNACK_SECONDS", 0.2)
    async with scripted(broker, b"") as settings, connected(settings) as (_, events):
        assert [each.cause for each in events.failures] == [Cause.NO_ANSWER]


async def test_what_the_broker_says_at_the_end(broker, until):
    taken_over = bytes.fromhex("20 03 00 00 00  e0 01 8e")
    async with scripted(broker, taken_over) as settings, connected(settings) as (_, events):
        await until(lambda: events.losses)
        assert events.losses[0].cause is Cause.TAKEN_OVER
        assert events.welcomes[0].receive_maximum == 65_535
    refused = bytes.fromhex("20 03 00 9f 00")
    async with scripted(broker, refused) as settings, connected(settings) as (_, events):
        assert [each.cause for each in events.failures] == [Cause.THROTTLED]


async def test_a_broker_that_leaves_a_packet_unanswered_is_given_up(broker, until):
    async with scripted(broker, WELCOME, b"") as settings:
        async with connected(replace(settings, ack_timeout=1)) as (client, events):
            with pytest.raises(TransientCloudError, match="unanswered for 1 s"):
                await client.subscribe([CloudSubscription("a", 1)])
            assert [each.cause for each in events.losses] == [Cause.HALF_OPEN]
        async with connected(replace(settings, ack_timeout=1)) as (client, events):
            assert isinstance(await outcome(client, message()), TransientCloudError)
            await until(lambda: events.losses)


WELCOME = bytes.fromhex("20 03 00 00 00")


@pytest.mark.parametrize(
    "garbage",
    [
        "90 04 0001 00 05",
        "b0 04 0001 00 05",
        "20 03 00 63 00",
        "40 03 0001",
        "f0 02 55 00",
        "00 00",
    ],
)
async def test_what_cannot_be_read_is_the_end_of_the_connection_or_nothing(broker, until, garbage):
    answer = WELCOME + bytes.fromhex(garbage) + b"\xe0\x00"
    async with scripted(broker, answer) as settings, connected(settings) as (_, events):
        await until(lambda: events.losses)


async def test_answers_that_are_none_are_no_success(broker, until):
    suback = bytes.fromhex("90 05 0001 00 01 01")
    async with scripted(broker, WELCOME, suback) as settings, connected(settings) as (client, _):
        with pytest.raises(TransientCloudError, match="2 reason codes for one filter"):
            await client.subscribe([CloudSubscription("a", 1)])
    suback = bytes.fromhex("90 04 0001 00 05")
    async with scripted(broker, WELCOME, suback) as settings, connected(settings) as (client, _):
        with pytest.raises(TransientCloudError):  # paho cannot read it: the end of the connection
            await client.subscribe([CloudSubscription("a", 1)])
    for code in ("05", "83", "ff"):
        puback = bytes.fromhex(f"40 03 0001 {code}")
        async with scripted(broker, WELCOME, puback) as settings, connected(settings) as (client, _):
            assert isinstance(await outcome(client, message()), TransientCloudError)


async def test_files_that_cannot_be_used(broker, tmp_path):
    for wrong in (
        {"key": tmp_path / "none"},
        {"ca": tmp_path / "password"},
        {"password_file": tmp_path / "x"},
    ):
        with pytest.raises(PermanentCloudError, match=r"Check \[cloud\] in edgecore.toml"):
            await open_bridge(replace(broker.settings, **wrong), Events())
