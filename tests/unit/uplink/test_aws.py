"""The awsiotsdk client over real mutual TLS, against the simulated cloud."""

import asyncio
import contextlib
import datetime as dt
import shutil
import subprocess
import sys
import threading

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties

from edgecore.base.errors import PermanentCloudError, TransientCloudError, UnavailableError
from edgecore.base.identity import device
from edgecore.base.message import Message, Properties
from edgecore.sim.pki import ThrowawayAuthority
from edgecore.uplink import aws
from edgecore.uplink.aws import open_client
from edgecore.uplink.mapping import CloudSubscription
from edgecore.uplink.outcomes import Outcomes
from edgecore.uplink.trouble import Cause


class Events:
    """Keeps what the client tells."""

    def __init__(self):
        self.attempts = 0
        self.welcomes = []
        self.failures = []
        self.losses = []
        self.incoming = []

    def attempting(self):
        self.attempts += 1

    def succeeded(self, welcome):
        self.welcomes.append(welcome)

    def failed(self, trouble):
        self.failures.append(trouble)

    def lost(self, trouble):
        self.losses.append(trouble)

    def received(self, incoming):
        self.incoming.append(incoming)


@contextlib.asynccontextmanager
async def connected(settings, until):
    events = Events()
    client = await open_client(settings, events)
    try:
        while not events.welcomes:  # a broker that was just started does not listen yet
            events.failures.clear()
            await client.connect()
            await until(lambda: events.welcomes or events.failures)
        events.failures.clear()
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


async def test_the_cloud_says_what_it_allows(cloud, until):
    async with connected(cloud.settings(), until) as (_client, events):
        assert events.welcomes[0].receive_maximum == 100
        assert events.welcomes[0].session_present is False
        assert events.attempts == 1


async def test_a_message_arrives_with_all_its_properties(cloud, observer, until):
    await observer.subscribe("dt/#")
    properties = Properties(1, "application/json", "reply/to", b"\x00\xff", (("k", "1"), ("k", "2")))
    async with connected(cloud.settings(), until) as (client, _events):
        assert await outcome(client, message(properties=properties, expires_at=60.0)) is None
    await until(lambda: observer.messages)
    (one,) = observer.messages
    assert (one.topic, one.payload, one.qos) == ("dt/a", b"{}", 1)
    got = one.properties
    assert (got.PayloadFormatIndicator, got.ContentType, got.ResponseTopic) == (
        1,
        "application/json",
        "reply/to",
    )
    assert (got.CorrelationData, got.UserProperty) == (b"\x00\xff", [("k", "1"), ("k", "2")])
    assert 0 < got.MessageExpiryInterval <= 60


async def test_qos_0_and_retain(cloud, observer, until):
    async with connected(cloud.settings(), until) as (client, _events):
        assert await outcome(client, message("dt/kept", b"1", retain=True)) is None
        assert await outcome(client, message("dt/plain", b"2"), qos=0) is None
    await observer.subscribe("dt/kept")
    await until(lambda: observer.messages)
    assert observer.messages[0].retain


async def test_what_the_cloud_refuses_is_permanent(cloud, until):
    async with connected(cloud.settings(), until) as (client, _events):
        error = await outcome(client, message("$aws/events/x"))
    assert isinstance(error, PermanentCloudError)
    assert "0x87" in str(error)


async def test_what_the_library_refuses_is_permanent(cloud, until):
    async with connected(cloud.settings(aws_limits=True), until) as (client, _events):
        error = await outcome(client, message("a/b/c/d/e/f/g/h/i"))
    assert isinstance(error, PermanentCloudError)


async def test_offline_it_fails_at_once_and_for_now(cloud, until):
    async with connected(cloud.settings(), until) as (client, events):
        cloud.proxy.cut()
        await until(lambda: events.losses)
        error = await outcome(client, message())
        assert isinstance(error, TransientCloudError)
        with pytest.raises(TransientCloudError):
            await client.subscribe([CloudSubscription("a", 1)])


async def test_it_comes_back_by_itself_to_its_session(cloud, until):
    async with connected(cloud.settings(), until) as (client, events):
        cloud.proxy.cut()
        await until(lambda: events.losses)
        await client.connect()
        await until(lambda: events.failures)
        cloud.proxy.restore()
        await client.connect()
        await until(lambda: len(events.welcomes) == 2)
        assert events.welcomes[1].session_present is True


async def test_the_library_s_thread_keeps_its_state_between_callbacks_while_it_is_connected(
    cloud, until, monkeypatch
):
    """Else each PUBACK costs three system calls and an interrupt of the other cores."""
    kept, seen = threading.local(), []
    real = Outcomes._post

    def post(self, *arguments):
        seen.append(getattr(kept, "since", None))
        kept.since = len(seen)
        real(self, *arguments)

    monkeypatch.setattr(Outcomes, "_post", post)
    async with connected(cloud.settings(), until) as (client, events):
        for _ in range(3):
            assert await outcome(client, message()) is None
        assert seen == [None, 1, 1 + 1]
        cloud.proxy.cut()
        await until(lambda: events.losses)
        cloud.proxy.restore()
        await client.connect()
        await until(lambda: len(events.welcomes) == 2)
        assert await outcome(client, message()) is None
    assert seen[-1] is None, "it was given back when the library stopped"


async def test_a_message_comes_with_its_properties(cloud, observer, until):
    async with connected(cloud.settings(), until) as (client, events):
        assert await client.subscribe([CloudSubscription("cmd/#", 1)]) == {}
        properties = PahoProperties(PacketTypes.PUBLISH)
        properties.ContentType = "text/plain"
        properties.MessageExpiryInterval = 60
        await observer.publish("cmd/go", b"now", properties=properties)
        await observer.publish("cmd/quick", b"", qos=0)
        await until(lambda: len(events.incoming) == 2)
    first, second = events.incoming
    assert (first.topic, first.payload, first.qos) == ("cmd/go", b"now", 1)
    assert first.properties == Properties(content_type="text/plain")
    assert 0 < first.expires_in <= 60
    assert (second.payload, second.qos, second.properties, second.expires_in) == (b"", 0, None, None)
    second.acknowledge()  # nothing to send at QoS 0


async def test_what_is_not_acknowledged_comes_again_and_what_is_does_not(cloud, observer, until):
    async with connected(cloud.settings(), until) as (client, events):
        await client.subscribe([CloudSubscription("cmd/#", 1)])
        await observer.publish("cmd/1", b"")
        await observer.publish("cmd/2", b"")
        await until(lambda: len(events.incoming) == 2)
        events.incoming[0].acknowledge()
        # Acknowledgements are in order behind this: once it is back, the cloud has them.
        assert await outcome(client, message()) is None
        cloud.proxy.cut()
        await until(lambda: events.losses)
        cloud.proxy.restore()
        await client.connect()
        await until(lambda: len(events.incoming) == 3)
        assert events.incoming[2].topic == "cmd/2"
        events.incoming[1].acknowledge()  # of the connection that is gone: no effect, no error
        events.incoming[2].acknowledge()


async def test_subscriptions_are_sent_eight_at_a_time_and_refusals_come_back(cloud, until):
    wanted = [CloudSubscription(f"cmd/{number}", number % 2) for number in range(20)]
    wanted.append(CloudSubscription("$aws/rules/r/a", 1))
    async with connected(cloud.settings(), until) as (client, _events):
        refused = await client.subscribe(wanted)
        await client.unsubscribe([one.topic_filter for one in wanted])
    assert list(refused) == ["$aws/rules/r/a"]
    assert "NOT_AUTHORIZED" in refused["$aws/rules/r/a"]


async def test_an_impossible_filter_is_permanent(cloud, until):
    async with connected(cloud.settings(aws_limits=True), until) as (client, _events):
        with pytest.raises(PermanentCloudError):
            await client.subscribe([CloudSubscription("a/#/b", 1)])


async def test_a_port_that_nobody_listens_on_is_reported(cloud, until):
    events = Events()
    client = await open_client(cloud.settings(port=1), events)
    await client.connect()
    await until(lambda: events.failures)
    await client.stop()
    assert events.failures[0].cause is Cause.REFUSED


async def test_an_unknown_certificate_is_hinted_at(cloud, tmp_path, until):
    now = dt.datetime.now(dt.UTC)
    other = await asyncio.to_thread(ThrowawayAuthority.load_or_create, tmp_path / "other", now)
    pair = await asyncio.to_thread(other.client, "core", "core", now)
    events = Events()
    client = await open_client(cloud.settings(certificate=pair.certificate, key=pair.key), events)
    await client.connect()
    await until(lambda: events.failures)
    await client.stop()
    assert events.failures[0].cause is Cause.CLOSED
    assert "known and active" in events.failures[0].reason


async def test_after_stop_nothing_is_sent(cloud, until):
    async with connected(cloud.settings(), until) as (client, _events):
        pass
    assert isinstance(await outcome(client, message()), TransientCloudError)
    with pytest.raises(TransientCloudError):
        await client.unsubscribe(["a"])


async def test_one_that_is_stopped_before_it_began_says_that_it_stopped(cloud, caplog):
    """The library tells of no end where it had not begun: so a beginning is waited for."""
    for _ in range(8):  # it did not in most of these
        client = await open_client(cloud.settings(), Events())
        await client.connect()
        await client.stop()
    assert "did not stop" not in caplog.text


@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_library_that_does_not_say_that_it_stopped_is_waited_for_a_little(
    cloud, until, monkeypatch, caplog, is_connected
):
    """A group's deployment waits for it."""
    monkeypatch.setattr(aws.AwsClient, "_on_stopped", lambda self, _data: self._thread.release())
    monkeypatch.setattr(aws, "BREAK_OFF_SECONDS", 0.01)
    monkeypatch.setattr(aws, "STOP_SECONDS", 0.02)
    client = await open_client(cloud.settings(), events := Events())
    await client.connect()
    if is_connected:
        await until(lambda: events.welcomes)
    await client.stop()
    assert f"did not stop within {0.02 if is_connected else 0.01} s" in caplog.text


async def test_a_client_that_never_started_stops(cloud):
    client = await open_client(cloud.settings(), Events())
    await client.stop()


async def test_a_missing_certificate_says_what_to_look_at(cloud):
    with pytest.raises(PermanentCloudError, match=r"nowhere\.pem.*\[cloud\]"):
        await open_client(cloud.settings(certificate=cloud.folder / "nowhere.pem"), Events())


async def test_a_damaged_key_says_what_to_look_at(cloud):
    damaged = cloud.folder / "damaged.pem"
    damaged.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(PermanentCloudError, match="damaged"):
        await open_client(cloud.settings(key=damaged), Events())


async def test_without_the_extra_it_says_how_to_get_it(cloud, monkeypatch):
    monkeypatch.setitem(sys.modules, "awscrt.mqtt5", None)
    with pytest.raises(UnavailableError, match=r"edgecore\[aws\]"):
        await open_client(cloud.settings(), Events())


def test_the_room_is_imported_without_the_library():
    program = "import sys, edgecore.uplink; sys.exit('awscrt' in sys.modules or 'awsiot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_flood_at_qos_0_is_dropped_at_the_door(cloud, observer, until, monkeypatch):
    async with connected(cloud.settings(), until) as (client, events):
        monkeypatch.setattr("edgecore.uplink.inbox.MAX_WAITING", 0)
        await client.subscribe([CloudSubscription("cmd/#", 1)])
        await observer.publish("cmd/0", b"", qos=0)
        await observer.publish("cmd/1", b"", qos=1)
        await until(lambda: events.incoming)
        assert [one.topic for one in events.incoming] == ["cmd/1"]
        assert client.dropped == 1


@pytest.mark.parametrize("error", [None, ValueError("plain")])
def test_reasons_are_never_empty(error):
    assert aws._text(error)


def test_quota_passes_and_a_missing_permission_does_not():
    assert isinstance(aws._refusal(0x97, None), TransientCloudError)
    assert isinstance(aws._refusal(0x87, "not authorized"), PermanentCloudError)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="Debian's mosquitto is not installed")
async def test_mosquitto_is_served_too(tmp_path, cloud, until, unused_tcp_port):
    now = dt.datetime.now(dt.UTC)
    authority = await asyncio.to_thread(ThrowawayAuthority.load_or_create, cloud.folder, now)
    pair = await asyncio.to_thread(authority.server, "mosquitto", ("127.0.0.1",), now)
    configuration = tmp_path / "mosquitto.conf"
    configuration.write_text(
        f"listener {unused_tcp_port} 127.0.0.1\ncafile {cloud.folder}/ca.pem\ncertfile {pair.certificate}\n"
        f"keyfile {pair.key}\nrequire_certificate true\nallow_anonymous true\nuser root\n"
    )
    process = await asyncio.create_subprocess_exec(
        "mosquitto", "-c", str(configuration), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        async with connected(cloud.settings(port=unused_tcp_port), until) as (client, events):
            assert await client.subscribe([CloudSubscription("dt/#", 1)]) == {}
            assert await outcome(client, message(payload=b"hello")) is None
            await until(lambda: events.incoming)
            events.incoming[0].acknowledge()
            assert events.incoming[0].payload == b"hello"
    finally:
        process.terminate()
        await process.wait()


class TestKeyInAToken:
    async def test_the_library_is_told_of_it(self, cloud, tmp_path, monkeypatch):
        pin = tmp_path / "pin"
        pin.write_text("1234\n")
        told = {}

        sdk = aws._Sdk()
        monkeypatch.setattr(sdk.builder, "mtls_with_pkcs11", lambda **options: told.update(options))
        monkeypatch.setattr(sdk.io, "Pkcs11Lib", FakeLibrary)
        settings = cloud.settings(
            pkcs11_library=tmp_path / "lib.so", pkcs11_pin=pin, pkcs11_token="core", pkcs11_key="cloud"
        )
        client = aws.AwsClient(sdk, settings, Events(), asyncio.get_running_loop())
        await asyncio.to_thread(client.build)
        assert told["pkcs11_lib"].file == str(tmp_path / "lib.so")
        names = ("user_pin", "token_label", "private_key_label", "cert_filepath", "ca_filepath")
        assert [told[name] for name in names] == [
            "1234",
            "core",
            "cloud",
            str(cloud.folder / "core.cert.pem"),
            str(cloud.folder / "ca.pem"),
        ]

    async def test_a_library_that_is_none_says_what_to_look_at(self, cloud, tmp_path):
        with pytest.raises(PermanentCloudError, match=r"\[cloud\]"):
            await open_client(cloud.settings(pkcs11_library=tmp_path / "none.so"), Events())

    @pytest.mark.interop
    @pytest.mark.skipif(shutil.which("softhsm2-util") is None, reason="Debian's softhsm2 is not installed")
    async def test_a_token_in_software_opens_the_cloud(self, cloud, tmp_path, monkeypatch, until):
        tokens = tmp_path / "tokens"
        tokens.mkdir()
        (tmp_path / "softhsm2.conf").write_text(f"directories.tokendir = {tokens}\n")
        monkeypatch.setenv("SOFTHSM2_CONF", str(tmp_path / "softhsm2.conf"))
        pin = tmp_path / "pin"
        pin.write_text("1234")
        key = ("--import", str(cloud.folder / "core.key.pem"), "--id", "01", "--label", "cloud")
        for arguments in (
            ("--init-token", "--free", "--label", "core", "--so-pin", "5678", "--pin", "1234"),
            (*key, "--token", "core", "--pin", "1234"),
        ):
            made = await asyncio.create_subprocess_exec(
                "softhsm2-util", *arguments, stdout=subprocess.DEVNULL
            )
            assert await made.wait() == 0
        settings = cloud.settings(
            pkcs11_library="/usr/lib/softhsm/libsofthsm2.so",
            pkcs11_pin=pin,
            pkcs11_token="core",
            pkcs11_key="cloud",
            key=tmp_path / "nowhere.pem",
        )
        async with connected(settings, until) as (client, _events):
            assert await outcome(client, message()) is None


class FakeLibrary:
    """Stands for a PKCS#11 library."""

    class InitializeFinalizeBehavior:
        STRICT = 0

    def __init__(self, *, file, behavior):
        self.file, self.behavior = file, behavior


async def test_on_443_the_library_asks_for_mqtt(cloud, monkeypatch):
    """AWS IoT Core tells MQTT from HTTPS there by ALPN (facts: aws-iot-core.md 2.6)."""
    sdk = aws._Sdk()
    seen = []
    real = sdk.io.ClientTlsContext
    monkeypatch.setattr(
        sdk.io, "ClientTlsContext", lambda options: seen.append(options.alpn_list) or real(options)
    )
    for port in (443, 8883):
        client = aws.AwsClient(sdk, cloud.settings(port=port), Events(), asyncio.get_running_loop())
        await asyncio.to_thread(client.build)
    assert seen == [["x-amzn-mqtt-ca"], None]
