"""Foreign clients against the real listener: paho-mqtt in both versions, and Mosquitto's tools."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.properties import Properties

sys.path.insert(0, str(Path(__file__).parent))
from foreign import MOSQUITTO, Aws5, device, mosquitto, proves

VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
PLAIN = pytest.mark.parametrize(
    "version",
    [paho.MQTTv311, paho.MQTTv5],
    ids=["3: MQTT-7.0.0-2, 3: MQTT-7.1.1-1 paho over TLS", "5: MQTT-4.2.0-1 paho over TLS"],
)


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
@MOSQUITTO
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
async def test_mosquittos_tools_publish_and_receive(service, pki, version, qos):
    said = ("-t", "t/m", "-m", "from afar")
    subscriber = await asyncio.create_subprocess_exec(
        *mosquitto("mosquitto_sub", version, "two", service.port, "-q", qos, "-t", "t/#", "-C", "1"),
        stdout=asyncio.subprocess.PIPE,
        cwd=pki,
    )
    try:
        async with asyncio.timeout(10):
            while not service._router.status()["subscriptions"]:  # noqa: ASYNC110  the tool tells nobody
                await asyncio.sleep(0.01)
            publisher = await asyncio.create_subprocess_exec(
                *mosquitto("mosquitto_pub", version, "one", service.port, "-q", qos, *said), cwd=pki
            )
            assert await publisher.wait() == 0
            assert await subscriber.stdout.read() == b"from afar\n"
            assert await subscriber.wait() == 0
    finally:
        if subscriber.returncode is None:
            subscriber.kill()
            await subscriber.wait()


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
