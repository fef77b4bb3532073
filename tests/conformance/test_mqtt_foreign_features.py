"""Foreign clients and what MQTT keeps or adds: sessions, will delay, identifiers, shares, aliases."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.properties import Properties

sys.path.insert(0, str(Path(__file__).parent))
from foreign import MOSQUITTO, Aws5, Device, device, mosquitto

VERSIONS = pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])


async def run(pki, *command):
    """What a program says, once it has ended well."""
    started = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=pki)
    try:
        async with asyncio.timeout(20):
            said, _ = await started.communicate()
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()
    assert started.returncode == 0
    return said


# paho -----------------------------------------------------------------------------------------------


@VERSIONS
@pytest.mark.parametrize("qos", [1, 2])
async def test_paho_comes_back_to_what_came_meanwhile(service, pki, version, qos):
    async with device(pki, "one", version, service.port) as one:
        async with device(pki, "two", version, service.port, kept=True) as two:
            two.client.subscribe("t/#", 2)
            await two.event("subscribe")
        for number in range(3):
            one.client.publish("t/a", f"{number}", qos)
            await one.event("publish")
        async with device(pki, "two", version, service.port, kept=True, present=True) as two:
            for number in range(3):
                (message,) = await two.event("message")
                assert (message.payload, message.qos, message.dup) == (b"%d" % number, qos, False)


async def test_pahos_will_waits_for_its_delay(service, pki):
    async with device(pki, "one", paho.MQTTv5, service.port) as one:
        one.client.subscribe("t/#", 1)
        await one.event("subscribe")
        two = Device(pki, "two", paho.MQTTv5, kept=True)
        delay = Properties(paho.PacketTypes.WILLMESSAGE)
        delay.WillDelayInterval = 1
        two.client.will_set("t/w", "gone", 1, properties=delay)
        await two.connect(service.port)
        await two.drop()
        one.client.publish("t/first", "before the will", 1)
        assert (await one.event("message"))[0].topic == "t/first"
        (message,) = await one.event("message")
        assert (message.topic, message.payload) == ("t/w", b"gone")
        await two.close()


async def test_paho_sees_subscription_identifiers(service, pki):
    async with (
        device(pki, "one", paho.MQTTv5, service.port) as one,
        device(pki, "two", paho.MQTTv5, service.port) as two,
    ):
        for topic_filter, identifier in (("t/#", 7), ("t/+", 268_435_455)):
            named = Properties(paho.PacketTypes.SUBSCRIBE)
            named.SubscriptionIdentifier = identifier
            two.client.subscribe(topic_filter, 1, properties=named)
            await two.event("subscribe")
        one.client.publish("t/a", "x", 1)
        (message,) = await two.event("message")
        assert sorted(message.properties.SubscriptionIdentifier) == [7, 268_435_455]


async def test_pahos_share_a_subscription(service, pki):
    loop, arrived = asyncio.get_running_loop(), asyncio.Queue()
    async with (
        device(pki, "one", paho.MQTTv5, service.port) as one,
        device(pki, "two", paho.MQTTv5, service.port) as two,
    ):
        for member in (one, two):
            member.client.on_message = lambda _c, _u, message: loop.call_soon_threadsafe(
                arrived.put_nowait, message.payload
            )
            member.client.subscribe("$share/g/t/#", 1)
            await member.event("subscribe")
        for number in range(8):
            one.client.publish("t/a", f"{number}", 1)
            await one.event("publish")
        async with asyncio.timeout(10):
            assert sorted([await arrived.get() for _ in range(8)]) == [b"%d" % n for n in range(8)]


async def test_paho_gives_a_topic_an_alias(service, pki):
    async with (
        device(pki, "one", paho.MQTTv5, service.port) as one,
        device(pki, "two", paho.MQTTv5, service.port) as two,
    ):
        two.client.subscribe("t/#", 1)
        await two.event("subscribe")
        for topic in ("t/a", ""):
            named = Properties(paho.PacketTypes.PUBLISH)
            named.TopicAlias = 1
            one.client.publish(topic, "x", 1, properties=named)
            assert (await two.event("message"))[0].topic == "t/a"


# AWS's clients --------------------------------------------------------------------------------------


async def test_awscrts_mqtt_5_client_rejoins_its_session(service, pki, crt):
    mqtt5 = pytest.importorskip("awscrt.mqtt5")
    aws = Aws5(
        pki,
        "one",
        service.port,
        crt,
        session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
        session_expiry_interval_sec=3600,
    )
    async with device(pki, "two", paho.MQTTv5, service.port) as two:
        aws.client.start()
        assert not (await aws.event("connect")).negotiated_settings.rejoined_session
        wanted = mqtt5.SubscribePacket([mqtt5.Subscription("t/#", mqtt5.QoS.AT_LEAST_ONCE)])
        await asyncio.wrap_future(aws.client.subscribe(wanted))
        aws.client.stop()
        await aws.event("stopped")
        two.client.publish("t/a", "meanwhile", 1)
        await two.event("publish")
        aws.client.start()
        assert (await aws.event("connect")).negotiated_settings.rejoined_session
        assert (await aws.event("message")).publish_packet.payload == b"meanwhile"
        aws.client.stop()
        await aws.event("stopped")


async def test_awscrts_mqtt_5_client_and_aliases_both_ways(service, pki, crt):
    """It gives its topics aliases, and takes the server's: its own session is both publisher and receiver."""
    mqtt5 = pytest.importorskip("awscrt.mqtt5")
    aliases = mqtt5.TopicAliasingOptions(
        mqtt5.OutboundTopicAliasBehaviorType.LRU, 4, mqtt5.InboundTopicAliasBehaviorType.ENABLED, 4
    )
    aws = Aws5(pki, "one", service.port, crt, topic_aliasing_options=aliases)
    aws.client.start()
    settings = (await aws.event("connect")).negotiated_settings
    assert settings.topic_alias_maximum_to_server > 0
    assert settings.topic_alias_maximum_to_client == 4
    wanted = mqtt5.SubscribePacket([mqtt5.Subscription("t/#", mqtt5.QoS.AT_LEAST_ONCE)])
    await asyncio.wrap_future(aws.client.subscribe(wanted))
    for turn in range(3):
        for number in range(6):
            said = mqtt5.PublishPacket(topic=f"t/{number}", qos=mqtt5.QoS.AT_LEAST_ONCE, payload=b"%d" % turn)
            await asyncio.wrap_future(aws.client.publish(said))
            found = (await aws.event("message")).publish_packet
            assert (found.topic, found.payload) == (f"t/{number}", b"%d" % turn)
    aws.client.stop()
    await aws.event("stopped")


async def test_awscrts_3_1_1_client_comes_back_to_its_session(service, pki, crt):
    mqtt = pytest.importorskip("awscrt.mqtt")
    builder = pytest.importorskip("awsiot.mqtt_connection_builder")
    loop, messages = asyncio.get_running_loop(), asyncio.Queue()
    connection = builder.mtls_from_path(
        str(pki / "one.pem"),
        str(pki / "one.key"),
        ca_filepath=str(pki / "ca.pem"),
        endpoint="localhost",
        port=service.port,
        client_id="aws3-one",
        clean_session=False,
        client_bootstrap=crt,
    )
    connection.on_message(
        lambda topic, payload, **_: loop.call_soon_threadsafe(messages.put_nowait, (topic, bytes(payload)))
    )
    async with asyncio.timeout(20), device(pki, "two", paho.MQTTv311, service.port) as two:
        assert not (await asyncio.wrap_future(connection.connect()))["session_present"]
        granted, _ = connection.subscribe("t/#", mqtt.QoS.AT_LEAST_ONCE)
        await asyncio.wrap_future(granted)
        await asyncio.wrap_future(connection.disconnect())
        two.client.publish("t/a", "meanwhile", 1)
        await two.event("publish")
        assert (await asyncio.wrap_future(connection.connect()))["session_present"]
        assert await messages.get() == ("t/a", b"meanwhile")
        await asyncio.wrap_future(connection.disconnect())


# Mosquitto's tools ----------------------------------------------------------------------------------


@pytest.mark.interop
@MOSQUITTO
@pytest.mark.parametrize(
    ("version", "kept"),
    [("mqttv311", ("-c",)), ("mqttv5", ("-c", "-x", "3600"))],
    ids=["3.1.1", "5"],
)
async def test_mosquitto_sub_comes_back_to_what_came_meanwhile(service, pki, version, kept):
    listens = mosquitto("mosquitto_sub", version, "two", service.port, *kept, "-q", "1", "-t", "t/#")
    speaks = mosquitto("mosquitto_pub", version, "one", service.port, "-q", "1", "-t", "t/m", "-m")
    assert await run(pki, *listens, "-E") == b""
    for number in range(3):
        await run(pki, *speaks, f"{number}")
    assert await run(pki, *listens, "-C", "3") == b"0\n1\n2\n"


@pytest.mark.interop
@MOSQUITTO
async def test_mosquitto_subs_share_a_subscription(service, pki):
    shared = mosquitto("mosquitto_sub", "mqttv5", "two", service.port, "-t", "$share/g/t/#", "-C", "1")
    listener = asyncio.create_task(run(pki, *shared))
    async with device(pki, "one", paho.MQTTv5, service.port) as one, asyncio.timeout(20):
        while not listener.done():
            one.client.publish("t/m", "to one of us", 1)
            await one.event("publish")
    assert await listener == b"to one of us\n"
