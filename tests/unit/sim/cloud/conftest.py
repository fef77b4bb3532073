"""A simulated cloud on a real socket, and foreign clients of it."""

import asyncio
import contextlib
import json
import threading
from dataclasses import dataclass

import paho.mqtt.client as mqtt
import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5
from edgecore.mqtt.properties import PropertyMap
from edgecore.sim.cloud import serve
from edgecore.sim.cloud.broker import Broker
from edgecore.sim.cloud.conversation import NOBODY, Conversation
from edgecore.sim.cloud.live import Live
from edgecore.sim.cloud.shadows import Shadows

PATIENCE = 20


async def until(condition):
    """Wait for a condition that callbacks bring about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  callbacks of foreign threads set no asyncio event
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def serving(folder, port=0, **options):
    """Run a cloud in `folder` until the block ends; gives its port."""
    ready = asyncio.Event()
    task = asyncio.create_task(serve(folder, port, ready=ready.set, **{"things": ("lamp",), **options}))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if task.done():
            task.result()
        yield json.loads((folder / "cloud.json").read_text())["port"]
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class World:
    """A broker without sockets; its time is `now`, and epoch seconds are 100 ahead."""

    def __init__(self, **options):
        self.live = Live()
        self.broker = Broker(Shadows(lambda _key, _shadow: None), self.live.wake, **options)
        self.broker.epoch = 100.0
        self.now = 0.0
        self.ids = 0

    def new_id(self):
        self.ids += 1
        return f"auto-{self.ids}"

    def client(self, **options):
        return Client(self, **options)

    def connected(self, client_id="core", version=V5, guest=NOBODY, **more):
        client = self.client(guest=guest)
        client.version = version
        client.send(p.Connect(client_id, version, **more))
        client.connack = client.received.pop(0) if client.received else None
        return client

    def tick(self, seconds):
        self.now += seconds
        self.broker.tick(self.now)
        self.live.flush(self.now)


class Client:
    """A client of it that speaks in packets."""

    def __init__(self, world, guest=NOBODY):
        self.world = world
        self.version = V5
        self.received = []
        self.closed = False
        self.delays = []
        self._framer = Framer(1_000_000)
        self.conversation = Conversation(
            world.broker,
            world.live,
            self._take,
            self._close,
            world.new_id,
            world.now,
            guest,
            self.delays.append,
        )

    def _take(self, data):
        self.received += [decode(first, body, self.version) for first, body in self._framer.feed(data)]

    def _close(self):
        self.closed = True

    def send(self, *packets):
        self.raw(b"".join(encode(packet, self.version) for packet in packets))

    def raw(self, data):
        self.conversation.data(data, self.world.now)

    def lost(self):
        self.conversation.lost(self.world.now)
        self.world.live.flush(self.world.now)

    def take(self):
        received, self.received = self.received, []
        return received

    def subscribe(self, *filters, qos=1, **options):
        self.send(p.Subscribe(1, [p.SubscriptionOptions(one, qos, **options) for one in filters]))
        answer = next(one for one in self.received if isinstance(one, p.SubAck))
        self.received.remove(answer)
        return answer.reason_codes

    def publish(self, topic, payload=b"x", qos=1, retain=False, **properties):
        found = {getattr(ids, name.upper()): value for name, value in properties.items()}
        number = 7 if qos else 0
        self.send(p.Publish(topic, payload, qos, retain, packet_id=number, properties=PropertyMap(found)))

    def got(self):
        """Topic and payload of what came; what can be acknowledged is."""
        came = [one for one in self.take() if isinstance(one, p.Publish)]
        acks = [p.PubAck(one.packet_id) for one in came if one.qos]
        if acks:
            self.send(*acks)
        return [(one.topic, one.payload) for one in came]


@pytest.fixture
def world():
    return World()


@pytest.fixture
def make_world():
    return World


class Paho:
    """A paho client in a thread of its own, as devices use it."""

    def __init__(
        self, folder, port, client_id="lamp", version=mqtt.MQTTv5, certificate="things/lamp", **options
    ):
        self.messages = []
        self.port = port
        self.subscribed = threading.Event()
        self.flags = None
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=version, **options
        )
        pair = (
            [str(folder / f"{certificate}.{kind}.pem") for kind in ("cert", "key")]
            if certificate
            else [None, None]
        )
        self.client.tls_set(str(folder / "ca.pem"), *pair)
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.on_connect = lambda _client, _data, flags, *_rest: setattr(self, "flags", flags)
        self.client.on_subscribe = lambda _c, _d, _mid, codes, _p: (
            setattr(self, "codes", codes),
            self.subscribed.set(),
        )

    async def __aenter__(self):
        await asyncio.to_thread(self.client.connect, "127.0.0.1", self.port)
        self.client.loop_start()
        await until(self.client.is_connected)
        return self

    async def __aexit__(self, *_error):
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)
        del self.client  # paho closes its wake-up sockets when it is collected

    async def subscribe(self, *filters):
        self.subscribed.clear()
        self.client.subscribe([(one, 1) for one in filters])
        await asyncio.to_thread(self.subscribed.wait, PATIENCE)
        return [code.value for code in self.codes]

    async def publish(self, topic, payload, qos=1):
        sent = self.client.publish(topic, payload, qos)
        await asyncio.to_thread(sent.wait_for_publish, PATIENCE)

    async def expect(self, count):
        await until(lambda: len(self.messages) >= count)
        return [(message.topic, message.payload) for message in self.messages]


@dataclass
class Tools:
    serving: object
    paho: object
    until: object


@pytest.fixture
def tools():
    return Tools(serving, Paho, until)
