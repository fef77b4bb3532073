"""Foreign clients: Mosquitto's tools and plain paho, through a core made with `init`, `device add` and `run`."""

import asyncio
import json
import shutil
import subprocess
from contextlib import asynccontextmanager

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

pytestmark = pytest.mark.xdist_group("scenario")

ROWS = """
[devices.sensor-2]
[devices.sensor-3]

[[routes]]
from = "device:sensor-1"
topic = "talk/${thing}/#"
to = "device:sensor-2"
"""
VERSIONS = {"3.1.1": ("mqttv311", MQTTProtocolVersion.MQTTv311), "5": ("mqttv5", MQTTProtocolVersion.MQTTv5)}


class Mosquitto:
    """mosquitto_pub and mosquitto_sub with a device's certificate."""

    def __init__(self, site, name, version):
        for tool in ("mosquitto_pub", "mosquitto_sub"):
            if shutil.which(tool) is None:
                pytest.skip(f"{tool} is not installed (Debian: mosquitto-clients)")
        self.site = site
        it = site.core.credentials(name)
        files = ["--cafile", it.ca, "--cert", it.certificate, "--key", it.key]
        where = ["-h", "localhost", "-p", site.core.port, "-V", VERSIONS[version][0], "-q", "1"]
        self.options = [str(each) for each in [*where, *files]]

    def publish(self, topic, text):
        argv = ["mosquitto_pub", *self.options, "-t", topic, "-m", text]
        subprocess.run(argv, check=True, capture_output=True, timeout=20)

    @asynccontextmanager
    async def subscribed(self, topic_filter, count):
        """A mosquitto_sub that ends after `count` messages, from the moment that the core knows of it."""
        known = await self.site.status("router", "status", "subscriptions")
        argv = ["mosquitto_sub", *self.options, "-t", topic_filter, "-C", str(count), "-v"]
        process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        try:
            async with asyncio.timeout(20):
                # No event tells; the look itself takes some milliseconds.
                while await self.site.status("router", "status", "subscriptions") == known:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def lines_of(process):
    async with asyncio.timeout(20):
        out, _ = await process.communicate()
    return out.decode().splitlines()


def plain_paho(site, name, version):
    """A paho client with its loop in its own thread, as a user writes it."""
    it = site.core.credentials(name)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{name}-paho", protocol=VERSIONS[version][1])
    client.tls_set(str(it.ca), str(it.certificate), str(it.key))
    client.connect("localhost", site.core.port)
    client.loop_start()
    return client


def stop(client):
    client.disconnect()
    client.loop_stop()


@pytest.mark.interop
@pytest.mark.parametrize("version", VERSIONS)
async def test_foreign_clients_talk_by_routes_and_only_by_routes(site, eventually, version):
    site.write_group(ROWS, example="sensor-gateway")
    await site.start("sensor-1", "sensor-2", "sensor-3")
    sender, receiver, stranger = (Mosquitto(site, f"sensor-{number}", version) for number in (1, 2, 3))
    heard, granted = [], []
    async with receiver.subscribed("talk/#", 2) as listening:
        outsider = await asyncio.to_thread(plain_paho, site, "sensor-3", version)
        outsider.on_message = lambda _client, _data, message: heard.append(message.topic)
        outsider.on_subscribe = lambda _client, _data, _mid, codes, _properties: granted.extend(codes)
        await eventually(outsider.is_connected)
        outsider.subscribe("talk/#", 1)
        await eventually(lambda: granted)
        assert all(code.is_failure for code in granted)

        await asyncio.to_thread(sender.publish, "talk/sensor-1/a", "from mosquitto_pub")
        # Under another thing's name, and by a device without a row: neither goes anywhere.
        await asyncio.to_thread(stranger.publish, "talk/sensor-3/a", "not allowed")
        insider = await asyncio.to_thread(plain_paho, site, "sensor-1", version)
        insider.publish("talk/sensor-2/a", "not its own name", 1)
        insider.publish("talk/sensor-1/b", "from paho", 1).wait_for_publish(20)
        lines = await lines_of(listening)
        for client in (outsider, insider):
            await asyncio.to_thread(stop, client)
    assert lines == ["talk/sensor-1/a from mosquitto_pub", "talk/sensor-1/b from paho"]
    assert heard == []
    denied = await site.status("router", "status", "denied")
    # sensor-3's refused subscription counts, too.
    assert denied == {"device:sensor-1": 1, "device:sensor-3": 2}


@pytest.mark.interop
async def test_the_least_group_serves_a_device_and_its_operator(site, edgecore_verb, eventually):
    """deploy/sensor-gateway as it is: a shadow of its own, commands down, telemetry up."""
    site.write_group("", example="sensor-gateway")
    await site.start("sensor-1")
    device = Mosquitto(site, "sensor-1", "5")
    async with device.subscribed("$aws/things/sensor-1/shadow/update/accepted", 1) as listening:
        update = json.dumps({"state": {"reported": {"on": True}}})
        await asyncio.to_thread(device.publish, "$aws/things/sensor-1/shadow/update", update)
        (line,) = await lines_of(listening)
    assert json.loads(line.partition(" ")[2])["state"] == {"reported": {"on": True}}

    async with device.subscribed("cmd/sensor-1/#", 1) as listening:
        command = ["pub", "cmd/sensor-1/lamp", "on", "--qos", "1", "--dir", site.core.folder]
        code, _, err = await asyncio.to_thread(edgecore_verb, *command)
        assert code == 0, err
        assert await lines_of(listening) == ["cmd/sensor-1/lamp on"]

    watching = asyncio.create_task(
        asyncio.to_thread(edgecore_verb, "sub", "dt/#", "--count", 1, "--dir", site.core.folder)
    )
    await eventually(lambda: site.log_lines("operator subscribed", "dt/#"))
    await asyncio.to_thread(device.publish, "dt/sensor-1/temperature", '{"value": 21.5}')
    code, out, err = await watching
    assert (code, out) == (0, 'dt/sensor-1/temperature {"value": 21.5}\n'), err
