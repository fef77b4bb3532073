"""A simulated cloud on a real socket, and foreign clients of it."""

import asyncio
import contextlib
import json
import threading
from dataclasses import dataclass

import paho.mqtt.client as mqtt
import pytest

from edgecore.sim.cloud import serve

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
    task = asyncio.create_task(serve(folder, port, things=("lamp",), ready=ready.set, **options))
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
