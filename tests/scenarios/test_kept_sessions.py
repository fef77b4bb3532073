"""Sessions that are kept, and retained messages, through SIGKILL, with plain paho clients."""

import asyncio
import threading

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "kept"
[devices.writer]
[devices.reader]

[[routes]]
from = "device:*"
topic = "t/#"
to = "device:*"
"""
WITHIN = 20


class Client:
    """A paho client in a thread of its own, as a user writes it; its session is kept for an hour."""

    def __init__(self, site, name, version):
        it = site.core.credentials(name)
        protocol = MQTTProtocolVersion.MQTTv5 if version == 5 else MQTTProtocolVersion.MQTTv311
        clean = {} if version == 5 else {"clean_session": False}
        self.client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=protocol, **clean)
        self.client.tls_set(str(it.ca), str(it.certificate), str(it.key))
        self.version, self.port = version, site.core.port
        self.messages, self.present = [], None
        self._connected, self._subscribed = threading.Event(), threading.Event()
        self.client.on_message = lambda _client, _data, message: self.messages.append(message.payload)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._subscribed.set()

    def _on_connect(self, _client, _data, flags, _code, _properties):
        self.present = flags.session_present
        self._connected.set()

    def connect(self):
        options = {}
        if self.version == 5:
            options = {"clean_start": False, "properties": Properties(PacketTypes.CONNECT)}
            options["properties"].SessionExpiryInterval = 3600
        self.client.connect("localhost", self.port, **options)
        self.client.loop_start()
        assert self._connected.wait(WITHIN)
        return self

    def subscribe(self, qos):
        self.client.subscribe("t/#", qos)
        assert self._subscribed.wait(WITHIN)

    def publish(self, text, qos, retain=False):
        self.client.publish("t/x", text, qos, retain).wait_for_publish(WITHIN)

    def leave(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.mark.parametrize("version", [4, 5], ids=["3.1.1", "5"])
async def test_what_was_acknowledged_for_a_client_that_is_away_survives_sigkill(site, eventually, version):
    site.write_group(GROUP)
    await site.start("writer", "reader")
    reader = Client(site, "reader", version)
    await asyncio.to_thread(reader.connect)
    assert not reader.present
    await asyncio.to_thread(reader.subscribe, 2)
    await asyncio.to_thread(reader.leave)

    writer = Client(site, "writer", version)
    await asyncio.to_thread(writer.connect)
    for number in range(20):
        await asyncio.to_thread(writer.publish, f"{number}", 1 + number % 2)
    await asyncio.to_thread(writer.publish, "kept", 1, True)
    await site.core.child.kill()
    await asyncio.to_thread(writer.leave)
    await site.core.start(None)

    reader = Client(site, "reader", version)
    await asyncio.to_thread(reader.connect)
    assert reader.present
    wanted = [f"{number}".encode() for number in range(20)] + [b"kept"]
    await eventually(lambda: len(reader.messages) >= len(wanted))
    # paho hands over a QoS 2 message at its PUBREL: each QoS has its order.
    assert [each for each in reader.messages if each in wanted[1::2]] == wanted[1::2]
    assert [each for each in reader.messages if each in wanted[0::2]] == wanted[0::2]
    assert len(reader.messages) == len(wanted)
    newcomer = Client(site, "writer", version)
    await asyncio.to_thread(newcomer.connect)
    await asyncio.to_thread(newcomer.subscribe, 1)
    await eventually(lambda: newcomer.messages == [b"kept"])
    for client in (reader, newcomer):
        await asyncio.to_thread(client.leave)


async def test_status_shows_what_waits_for_whom(site):
    site.write_group(GROUP)
    await site.start("writer", "reader")
    reader = Client(site, "reader", 5)
    await asyncio.to_thread(reader.connect)
    await asyncio.to_thread(reader.subscribe, 1)
    await asyncio.to_thread(reader.leave)
    writer = Client(site, "writer", 5)
    await asyncio.to_thread(writer.connect)
    await asyncio.to_thread(writer.publish, "1", 1)
    kept = await site.status("listener", "status", "kept")
    assert (kept["sessions"], kept["queued"]) == (2, 1)
    await asyncio.to_thread(writer.leave)
