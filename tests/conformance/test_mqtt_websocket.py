"""MQTT over WebSocket: the statements of section 6 on real sockets, and the clients that people use."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import aiohttp
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edgecore.base.clock import SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.tls import fingerprint_of
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5, V311
from edgecore.router import Router

# What a stuck client is waited for; nothing here waits this long when it works.
PATIENCE = 20


class Book(dict):
    def lookup(self, fingerprint):
        return self.get(fingerprint)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """The core's own authority, and a certificate for `one`."""
    folder = tmp_path_factory.mktemp("pki")
    authority = CertificateAuthority.load_or_create(folder)
    authority.ensure_server_certificate(())
    issued = authority.issue_device("one")
    (folder / "one.pem").write_bytes(issued.certificate)
    (folder / "one.key").write_bytes(issued.key)
    return folder


@pytest.fixture
async def port(pki):
    """The WebSocket port of a listener that lets `one` publish and hear t/#."""
    specs = {"one": DeviceSpec("one", "one")}
    router = Router(SystemClock())
    router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], specs)
    book = Book({fingerprint_of(ssl.PEM_cert_to_DER_cert((pki / "one.pem").read_text())): "one"})
    files = TlsFiles(pki / "ca.pem", pki / "server.pem", pki / "server.key")
    settings = ListenerSettings("127.0.0.1", 0, websocket_port=0)
    listener = ListenerService(settings, router, book, specs.get, files, SystemClock())
    ready = asyncio.Event()
    task = asyncio.create_task(listener.run(ready.set))
    async with asyncio.timeout(PATIENCE):
        await ready.wait()
    yield listener.ports["websocket"]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.asynccontextmanager
async def aiohttp_client(pki, port, protocols=("mqtt",), **options):
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    context.load_cert_chain(pki / "one.pem", pki / "one.key")
    url = f"https://localhost:{port}/mqtt"
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession() as session,
        session.ws_connect(url, protocols=protocols, ssl=context, **options) as client,
    ):
        yield client


async def packets(client, version, count):
    """The next `count` packets, whatever the frames."""
    framer, found = Framer(1 << 20), []
    while len(found) < count:
        message = await client.receive()
        assert message.type is aiohttp.WSMsgType.BINARY, message
        found += [decode(first, body, version) for first, body in framer.feed(message.data)]
    return found


def named(number, words):
    return pytest.mark.parametrize(
        "version",
        [
            pytest.param(version, id=f"{standard}: MQTT-{number} {words}")
            for standard, version in ((3, V311), (5, V5))
        ],
    )


@named("6.0.0-1", "a text frame closes the connection")
async def test_text(port, pki, version):
    async with aiohttp_client(pki, port) as client:
        await client.send_bytes(encode(p.Connect("c", version), version))
        assert (await packets(client, version, 1))[0].reason_code == 0
        await client.send_str("\x10")
        message = await client.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1003)


@named("6.0.0-2", "packets cut anywhere, and several in a frame")
async def test_alignment(port, pki, version):
    data = encode(p.Connect("c", version), version) + encode(p.PingReq(), version) * 2
    async with aiohttp_client(pki, port) as client:
        for byte in data[:-2]:
            await client.send_bytes(bytes([byte]))
        await client.send_bytes(data[-2:] + encode(p.PingReq(), version) * 3)
        found = await packets(client, version, 6)
        assert [type(each) for each in found] == [p.ConnAck] + [p.PingResp] * 5


@named("6.0.0-4", "mqtt is the subprotocol that is chosen")
async def test_subprotocol(port, pki, version):
    async with aiohttp_client(pki, port, ("mqttv3.1", "mqtt")) as client:
        assert client.protocol == "mqtt"
        await client.send_bytes(encode(p.Connect("c", version), version))
        assert (await packets(client, version, 1))[0].reason_code == 0
    for offered in ((), ("mqttv3.1",)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with aiohttp_client(pki, port, offered):
                pass
        assert refused.value.status == 400


async def test_a_page_that_was_not_named_is_refused(port, pki):
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        async with aiohttp_client(pki, port, origin="https://evil.example"):
            pass
    assert refused.value.status == 403


async def test_a_client_without_a_certificate_is_refused(port, pki):
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(f"https://localhost:{port}/mqtt", protocols=("mqtt",), ssl=context)


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
@pytest.mark.parametrize("size", [5, 100_000])
async def test_paho_over_websocket(port, pki, version, size):
    loop, events = asyncio.get_running_loop(), asyncio.Queue()

    def put(*event):
        loop.call_soon_threadsafe(events.put_nowait, event)

    client = paho.Client(CallbackAPIVersion.VERSION2, "paho-one", protocol=version, transport="websockets")
    client.tls_set(pki / "ca.pem", pki / "one.pem", pki / "one.key")
    client.on_connect = lambda _c, _u, _f, reason, _p: put(str(reason))
    client.on_subscribe = lambda *_: put("subscribed")
    client.on_message = lambda _c, _u, message: put(message.topic, len(message.payload), message.qos)
    try:
        await asyncio.to_thread(client.connect, "localhost", port)
        client.loop_start()
        async with asyncio.timeout(PATIENCE):
            assert await events.get() == ("Success",)
            client.subscribe("t/#", 2)
            assert await events.get() == ("subscribed",)
            for qos in (0, 1, 2):
                client.publish("t/a", b"x" * size, qos)
                assert await events.get() == ("t/a", size, qos)
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
        client._reset_sockets()  # paho leaves its pair of wake-up sockets to the collector


async def test_awscrts_mqtt_5_client_over_websocket(port, pki):
    io, mqtt5 = pytest.importorskip("awscrt.io"), pytest.importorskip("awscrt.mqtt5")
    loop, events = asyncio.get_running_loop(), asyncio.Queue()

    def put(*event):
        loop.call_soon_threadsafe(events.put_nowait, event)

    context = io.TlsContextOptions.create_client_with_mtls_from_path(
        str(pki / "one.pem"), str(pki / "one.key")
    )
    context.override_default_trust_store_from_path(None, str(pki / "ca.pem"))
    client = mqtt5.Client(
        mqtt5.ClientOptions(
            "localhost",
            port,
            tls_ctx=io.ClientTlsContext(context),
            connect_options=mqtt5.ConnectPacket(client_id="aws-one"),
            websocket_handshake_transform=lambda transform_args: transform_args.set_done(),
            on_lifecycle_event_connection_success_fn=lambda _: put("connected"),
            on_lifecycle_event_connection_failure_fn=lambda data: put("failed", data),
            on_lifecycle_event_stopped_fn=lambda _: put("stopped"),
            on_publish_callback_fn=lambda data: put(data.publish_packet.topic, data.publish_packet.payload),
        )
    )
    client.start()
    try:
        async with asyncio.timeout(PATIENCE):
            assert await events.get() == ("connected",)
            for qos in (mqtt5.QoS.AT_MOST_ONCE, mqtt5.QoS.AT_LEAST_ONCE):
                wanted = mqtt5.SubscribePacket([mqtt5.Subscription(f"t/{int(qos)}", qos)])
                granted = await asyncio.wrap_future(client.subscribe(wanted))
                assert [int(code) for code in granted.reason_codes] == [int(qos)]
                packet = mqtt5.PublishPacket(topic=f"t/{int(qos)}", qos=qos, payload=b"x" * 50_000)
                await asyncio.wrap_future(client.publish(packet))
                assert await events.get() == (f"t/{int(qos)}", b"x" * 50_000)
    finally:
        client.stop()
        async with asyncio.timeout(PATIENCE):
            while await events.get() != ("stopped",):
                pass
