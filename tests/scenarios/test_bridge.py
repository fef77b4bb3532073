"""A whole core whose cloud is a Mosquitto: the same outbox, the same routes, through an outage."""

import asyncio
import contextlib
import datetime as dt
import shutil
import socket
import threading

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgecore.sim.pki import ThrowawayAuthority

pytestmark = pytest.mark.xdist_group("scenario")

GROUP = """
[group]
name = "bridge"
[devices.gate]
[[routes]]
from = "device:gate"
topic = "dt/gate/#"
to = "cloud"
[[routes]]
from = "cloud"
topic = "cmd/${thing}/#"
to = "device:*"
"""
# As root it would take a user of its own, who may not read a test's folder.
CONFIGURATION = """
user root
listener {port} 127.0.0.1
cafile {pki}/ca.pem
certfile {pki}/server.cert.pem
keyfile {pki}/server.key.pem
require_certificate true
use_identity_as_username true
persistence true
persistence_location {folder}/
"""


class Mosquitto:
    """The broker at the other end, and somebody who listens there."""

    def __init__(self, folder):
        self.program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
        if self.program is None:
            pytest.skip("mosquitto is not installed (Debian: mosquitto)")
        self.folder, self.process, self.heard = folder, None, []
        now = dt.datetime.now(dt.UTC)
        authority = ThrowawayAuthority.load_or_create(folder / "pki", now)
        authority.server("server", ["127.0.0.1"], now)
        self.core = authority.client("core", "test-core", now)
        self.own = authority.client("observer", "observer", now)
        self.ca = authority.ca
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        words = {"port": self.port, "pki": folder / "pki", "folder": folder}
        (folder / "mosquitto.conf").write_text(CONFIGURATION.format(**words))

    async def start(self):
        command = [self.program, "-c", str(self.folder / "mosquitto.conf")]
        self.process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)

    async def stop(self):
        if self.process is not None:
            self.process.terminate()
            await self.process.wait()
        self.process = None

    @contextlib.asynccontextmanager
    async def observer(self):
        """Its session is kept: what comes while it is away is not lost for it."""
        client = Client(CallbackAPIVersion.VERSION2, "observer", protocol=MQTTProtocolVersion.MQTTv5)
        client.tls_set(str(self.ca), str(self.own.certificate), str(self.own.key))
        client.reconnect_delay_set(0.1, 0.2)
        kept, subscribed = Properties(PacketTypes.CONNECT), threading.Event()
        kept.SessionExpiryInterval = 3600
        client.on_connect = lambda this, *_: this.subscribe("dt/#", 1)
        client.on_subscribe = lambda *_: subscribed.set()
        client.on_message = lambda _c, _u, message: self.heard.append(message.payload)
        client.connect_async("127.0.0.1", self.port, clean_start=False, properties=kept)
        await asyncio.to_thread(client.loop_start)
        assert await asyncio.to_thread(subscribed.wait, 30)
        try:
            yield client
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)


async def is_refused(site):
    return await site.status("uplink", "status", "cause") == "connection refused"


async def test_nothing_is_lost_while_the_other_broker_is_away(site, eventually, tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = await asyncio.to_thread(Mosquitto, folder)
    site.write_group(GROUP)
    await site.core.initialise("test-core")
    await site.core.configure(
        f"""
[cloud]
broker = "mqtt"
endpoint = "127.0.0.1"
port = {broker.port}
certificate = "{broker.core.certificate}"
key = "{broker.core.key}"
ca = "{broker.ca}"
[uplink]
reconnect_min = "100ms"
reconnect_max = "500ms"
"""
    )
    await site.core.start(site.group)
    await site.core.add_devices(["gate"])
    commands, acknowledged = [], []
    try:
        await broker.start()
        async with (
            broker.observer() as observer,
            site.connected(
                "gate",
                subscriptions=["cmd/gate/#"],
                received=lambda _topic, payload: commands.append(payload),
            ) as gate,
        ):
            for number in range(100):
                if number == 50:
                    await eventually(lambda: len(broker.heard) == 50)
                    await broker.stop()
                    await eventually(lambda: is_refused(site))
                gate.publish("dt/gate/a", b"%d" % number, acknowledged=acknowledged.append)
            await eventually(lambda: len(acknowledged) == 100)
            assert await site.status("uplink", "status", "outbox", "records") == 50

            await broker.start()
            await eventually(lambda: len(set(broker.heard)) == 100)
            assert list(dict.fromkeys(broker.heard)) == [b"%d" % number for number in range(100)]
            await eventually(lambda: site.status("uplink", "status", "subscriptions"))
            observer.publish("cmd/gate/open", b"now", 1)
            await eventually(lambda: commands == [b"now"])
            assert await site.status("shadow", "status", "link") == "down"  # there is no shadow service
            del observer
    finally:
        await broker.stop()
