"""Stand-ins for the uplink's neighbours, and a simulated cloud on a real socket."""

import asyncio
import json
import threading
from dataclasses import dataclass, field

import paho.mqtt.client as mqtt
import pytest
from running import started

from edgecore.base.interfaces import Receipt
from edgecore.sim.cloud import serve
from edgecore.sim.faults import Proxy
from edgecore.uplink import UplinkSettings

PATIENCE = 20


class Until:
    """Wait for a condition that callbacks bring about."""

    async def __call__(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  callbacks of foreign threads set no asyncio event
                await asyncio.sleep(0.005)


@pytest.fixture
def until():
    return Until()


class FakeClient:
    """A cloud client whose outcomes the test decides."""

    def __init__(self):
        self.published = []
        self.subscribed = []
        self.unsubscribed = []
        self.refuses = {}
        self.subscribe_errors = []
        self.started = self.stopped = self.dropped = 0

    async def connect(self):
        self.started += 1

    async def stop(self):
        self.stopped += 1

    def publish(self, message, qos, now, done):
        self.published.append((message, qos, done))

    async def subscribe(self, subscriptions):
        if self.subscribe_errors:
            raise self.subscribe_errors.pop(0)
        self.subscribed += [one.topic_filter for one in subscriptions]
        return {
            one.topic_filter: self.refuses[one.topic_filter]
            for one in subscriptions
            if one.topic_filter in self.refuses
        }

    async def unsubscribe(self, topic_filters):
        self.unsubscribed += topic_filters

    def settle(self, error=None):
        """Settle all that was published and not settled; gives the topics."""
        published, self.published = self.published, []
        for _, _, done in published:
            done(error)
        return [message.topic for message, _, _ in published]


@pytest.fixture
def client():
    return FakeClient()


@dataclass
class FakeBus:
    """Takes what the uplink publishes and attaches."""

    receipt: Receipt = field(default_factory=lambda: Receipt(allowed=True, receivers=1))
    published: list = field(default_factory=list)
    targets: dict = field(default_factory=dict)

    def publish(self, message):
        self.published.append(message)
        return self.receipt

    def attach(self, target, subscriber):
        self.targets[target] = subscriber

    def detach(self, target, subscriber):
        if self.targets.get(target) is subscriber:
            del self.targets[target]


@pytest.fixture
def bus():
    return FakeBus()


@pytest.fixture
def run():
    return started


@dataclass
class Cloud:
    """A simulated cloud behind a proxy that can be cut."""

    folder: object
    port: int
    proxy: Proxy

    def settings(self, **changes):
        known = {
            "endpoint": "127.0.0.1",
            "port": self.proxy.port,
            "certificate": self.folder / "core.cert.pem",
            "key": self.folder / "core.key.pem",
            "ca": self.folder / "ca.pem",
            "client_id": "core-7",
            "reconnect_min": 0.05,
            "reconnect_max": 0.2,
            "aws_limits": False,
        }
        return UplinkSettings(**{**known, **changes})


@pytest.fixture
async def cloud(tmp_path):
    folder = tmp_path / "cloud"
    async with started(lambda ready: serve(folder, 0, things=("observer",), ready=ready)):
        port = json.loads((folder / "cloud.json").read_text())["port"]
        proxy = Proxy("127.0.0.1", port)
        async with started(proxy.run):
            yield Cloud(folder, port, proxy)


class Observer:
    """A device of the cloud's own (paho, in a thread), which sees what arrives there."""

    def __init__(self, cloud, version=mqtt.MQTTv5):
        self.messages = []
        self.acknowledged = threading.Event()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="observer", protocol=version)
        self._client.tls_set(
            str(cloud.folder / "ca.pem"),
            str(cloud.folder / "things/observer.cert.pem"),
            str(cloud.folder / "things/observer.key.pem"),
        )
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.on_subscribe = lambda *_arguments: self.acknowledged.set()
        self._port = cloud.port

    async def __aenter__(self):
        await asyncio.to_thread(self._client.connect, "127.0.0.1", self._port)
        self._client.loop_start()
        await Until()(self._client.is_connected)
        return self

    async def __aexit__(self, *_error):
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        del self._client  # paho closes its wake-up sockets when it is collected

    async def subscribe(self, topic_filter):
        self.acknowledged.clear()
        self._client.subscribe(topic_filter, qos=1)
        await asyncio.to_thread(self.acknowledged.wait, PATIENCE)

    async def publish(self, topic, payload, qos=1, retain=False, properties=None):
        sent = self._client.publish(topic, payload, qos, retain, properties)
        await asyncio.to_thread(sent.wait_for_publish, PATIENCE)


@pytest.fixture
async def observer(cloud):
    async with Observer(cloud) as observer:
        yield observer
