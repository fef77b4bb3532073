"""Foreign clients against the real listener: paho-mqtt in both versions, and Mosquitto's tools."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties

from edgecore.base.clock import SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.tls import fingerprint_of
from edgecore.router import Router

MOSQUITTO = shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")
VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
PLAIN = pytest.mark.parametrize(
    "version",
    [paho.MQTTv311, paho.MQTTv5],
    ids=["3: MQTT-7.0.0-2, 3: MQTT-7.1.1-1 paho over TLS", "5: MQTT-4.2.0-1 paho over TLS"],
)


def proves(name):
    """Name a test after the statements that it proves, as the rows of the tables are."""
    return pytest.mark.parametrize((), [pytest.param(id=name)])


class Book(dict):
    def lookup(self, fingerprint):
        return self.get(fingerprint)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """The core's own authority, and certificates for `one` and `two`."""
    folder = tmp_path_factory.mktemp("pki")
    authority = CertificateAuthority.load_or_create(folder)
    authority.ensure_server_certificate(())
    for name in ("one", "two"):
        issued = authority.issue_device(name)
        (folder / f"{name}.pem").write_bytes(issued.certificate)
        (folder / f"{name}.key").write_bytes(issued.key)
    return folder


@pytest.fixture
async def service(pki):
    specs = {name: DeviceSpec(name, name) for name in ("one", "two")}
    router = Router(SystemClock())
    router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], specs)
    book = Book()
    for name in specs:
        book[fingerprint_of(ssl.PEM_cert_to_DER_cert((pki / f"{name}.pem").read_text()))] = name
    files = TlsFiles(pki / "ca.pem", pki / "server.pem", pki / "server.key")
    listener = ListenerService(
        ListenerSettings("127.0.0.1", 0), router, book, specs.get, files, SystemClock()
    )
    ready = asyncio.Event()
    task = asyncio.create_task(listener.run(ready.set))
    async with asyncio.timeout(5):
        await ready.wait()
    yield listener
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


class Device:
    """A paho client whose callbacks end in a queue of the loop."""

    def __init__(self, pki: Path, name: str, version: int) -> None:
        self.events: asyncio.Queue = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(*event):
            loop.call_soon_threadsafe(self.events.put_nowait, event)

        self.client = paho.Client(CallbackAPIVersion.VERSION2, f"paho-{name}", protocol=version)
        self.client.tls_set(pki / "ca.pem", pki / f"{name}.pem", pki / f"{name}.key")
        self.client.on_connect = lambda _c, _u, _f, reason, _p: put("connect", str(reason))
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: put("subscribe", *map(str, reasons))
        self.client.on_publish = lambda _c, _u, mid, _r, _p: put("publish", mid)
        self.client.on_message = lambda _c, _u, message: put("message", message)
        self.client.on_disconnect = lambda _c, _u, _f, reason, _p: put("disconnect", str(reason))

    async def connect(self, port: int) -> None:
        await asyncio.to_thread(self.client.connect, "localhost", port)
        self.client.loop_start()
        assert await self.event("connect") == ("Success",)

    async def event(self, kind: str):
        async with asyncio.timeout(10):
            while True:
                found = await self.events.get()
                if found[0] == kind:
                    return found[1:]

    async def close(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)
        self.client._reset_sockets()  # paho leaves its pair of wake-up sockets to the collector


@contextlib.asynccontextmanager
async def device(pki, name, version, port):
    made = Device(pki, name, version)
    try:
        await made.connect(port)
        yield made
    finally:
        await made.close()


@PLAIN
async def test_paho_publishes_and_receives_at_every_qos(service, pki, version):
    async with (
        device(pki, "one", version, service.port) as one,
        device(pki, "two", version, service.port) as two,
    ):
        two.client.subscribe("t/#", 2)
        assert (await two.event("subscribe"))[0] in ("Granted QoS 2", "2")
        for qos in (0, 1, 2):
            one.client.publish("t/a", f"hello {qos}", qos)
            await one.event("publish")
            (message,) = await two.event("message")
            assert (message.topic, message.payload, message.qos) == ("t/a", f"hello {qos}".encode(), qos)


@VERSIONS
async def test_paho_gets_what_was_retained(service, pki, version):
    async with (
        device(pki, "one", version, service.port) as one,
        device(pki, "two", version, service.port) as two,
    ):
        one.client.publish("t/kept", "still here", 1, retain=True)
        await one.event("publish")
        two.client.subscribe("t/kept", 1)
        (message,) = await two.event("message")
        assert message.retain
        assert message.payload == b"still here"


async def test_paho_of_5_sees_properties(service, pki):
    async with (
        device(pki, "one", paho.MQTTv5, service.port) as one,
        device(pki, "two", paho.MQTTv5, service.port) as two,
    ):
        two.client.subscribe("t/#", 1)
        await two.event("subscribe")
        properties = Properties(paho.PacketTypes.PUBLISH)
        properties.UserProperty = [("a", "1"), ("a", "2")]
        properties.ContentType = "text/plain"
        properties.CorrelationData = b"\0\1"
        one.client.publish("t/a", "x", 1, properties=properties)
        (message,) = await two.event("message")
        assert message.properties.UserProperty == [("a", "1"), ("a", "2")]
        assert message.properties.ContentType == "text/plain"
        assert message.properties.CorrelationData == b"\0\1"


async def test_paho_of_5_hears_of_a_takeover(service, pki):
    async with device(pki, "one", paho.MQTTv5, service.port) as old:
        old.client.reconnect_delay_set(60, 60)  # or the two would take one another's place for ever
        async with device(pki, "one", paho.MQTTv5, service.port):
            assert await old.event("disconnect") == ("Session taken over",)


@pytest.mark.interop
@pytest.mark.skipif(not MOSQUITTO, reason="mosquitto-clients is not installed")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_mosquittos_tools_publish_and_receive(service, pki, version, qos):
    def command(tool, name, *more):
        tls = ("--cafile", "ca.pem", "--cert", f"{name}.pem", "--key", f"{name}.key")
        where = ("-h", "localhost", "-p", str(service.port), "-V", version, "-i", f"m-{name}")
        return (tool, *where, *tls, "-q", qos, *more)

    subscriber = await asyncio.create_subprocess_exec(
        *command("mosquitto_sub", "two", "-t", "t/#", "-C", "1"), stdout=asyncio.subprocess.PIPE, cwd=pki
    )
    try:
        async with asyncio.timeout(10):
            while not service._router.status()["subscriptions"]:  # noqa: ASYNC110  the tool tells nobody
                await asyncio.sleep(0.01)
            publisher = await asyncio.create_subprocess_exec(
                *command("mosquitto_pub", "one", "-t", "t/m", "-m", "from afar"), cwd=pki
            )
            assert await publisher.wait() == 0
            assert await subscriber.stdout.read() == b"from afar\n"
            assert await subscriber.wait() == 0
    finally:
        if subscriber.returncode is None:
            subscriber.kill()
            await subscriber.wait()


@pytest.fixture
def crt():
    """What awscrt's clients stand on: one thread of its event loop."""
    io = pytest.importorskip("awscrt.io")
    group = io.EventLoopGroup(1)
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))


class Aws5:
    """AWS's MQTT 5 client, whose callbacks end in a queue of the loop."""

    def __init__(self, pki, name, port, bootstrap):
        builder = pytest.importorskip("awsiot.mqtt5_client_builder")
        self.events: asyncio.Queue = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def put(kind):
            return lambda data: loop.call_soon_threadsafe(self.events.put_nowait, (kind, data))

        self.client = builder.mtls_from_path(
            str(pki / f"{name}.pem"),
            str(pki / f"{name}.key"),
            ca_filepath=str(pki / "ca.pem"),
            endpoint="localhost",
            port=port,
            client_id=f"aws5-{name}",
            client_bootstrap=bootstrap,
            on_publish_received=put("message"),
            on_lifecycle_connection_success=put("connect"),
            on_lifecycle_stopped=put("stopped"),
        )

    async def event(self, kind):
        async with asyncio.timeout(20):
            while True:
                found, data = await self.events.get()
                if found == kind:
                    return data


@proves("3: MQTT-7.0.0-1 the uplink's client is served here")
async def test_awscrts_mqtt_5_client_publishes_and_receives(service, pki, crt):
    mqtt5 = pytest.importorskip("awscrt.mqtt5")
    aws = Aws5(pki, "one", service.port, crt)
    aws.client.start()
    try:
        await aws.event("connect")
        for qos in (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE):
            wanted = mqtt5.SubscribePacket([mqtt5.Subscription(f"t/{int(qos)}", qos)])
            granted = await asyncio.wrap_future(aws.client.subscribe(wanted))
            assert [int(code) for code in granted.reason_codes] == [int(qos)]
            packet = mqtt5.PublishPacket(
                topic=f"t/{int(qos)}",
                qos=qos,
                payload=b"hello",
                content_type="text/plain",
                user_properties=[mqtt5.UserProperty("k", "v")],
            )
            await asyncio.wrap_future(aws.client.publish(packet))
            found = (await aws.event("message")).publish_packet
            assert (found.topic, found.payload, int(found.qos)) == (f"t/{int(qos)}", b"hello", int(qos))
            assert (found.content_type, found.user_properties[0].value) == ("text/plain", "v")
    finally:
        aws.client.stop()
        await aws.event("stopped")


async def test_awscrts_3_1_1_client_publishes_and_receives(service, pki, crt):
    mqtt = pytest.importorskip("awscrt.mqtt")
    builder = pytest.importorskip("awsiot.mqtt_connection_builder")
    connection = builder.mtls_from_path(
        str(pki / "one.pem"),
        str(pki / "one.key"),
        ca_filepath=str(pki / "ca.pem"),
        endpoint="localhost",
        port=service.port,
        client_id="aws3-one",
        clean_session=True,
        client_bootstrap=crt,
    )
    loop, messages = asyncio.get_running_loop(), asyncio.Queue()

    def arrived(topic, payload, **_):
        loop.call_soon_threadsafe(messages.put_nowait, (topic, bytes(payload)))

    async with asyncio.timeout(20):
        await asyncio.wrap_future(connection.connect())
        for qos in (mqtt.QoS.AT_MOST_ONCE, mqtt.QoS.AT_LEAST_ONCE):
            granted, _ = connection.subscribe(f"t/{int(qos)}", qos, arrived)
            assert int((await asyncio.wrap_future(granted))["qos"]) == int(qos)
            sent, _ = connection.publish(f"t/{int(qos)}", b"hello", qos)
            await asyncio.wrap_future(sent)
            assert await messages.get() == (f"t/{int(qos)}", b"hello")
        await asyncio.wrap_future(connection.disconnect())
