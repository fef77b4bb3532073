"""Flow control end to end, with the real daemon over real TLS: who does not read costs only itself.

Clients that do not read are sockets that nobody looks at. What the daemon may grow by is what its own settings
say, and a margin for what the allocator and the caches of a Python process take.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from edgecore.listener.wire import HIGH_WATER
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.properties import PropertyMap

pytestmark = pytest.mark.xdist_group("scenario")

MIB = 1024 * 1024
# All that may wait for those who do not read, as set below. Beside it HIGH_WATER for each of them, and a margin
# for what an allocator keeps for itself.
UNREAD = 16 * MIB
MARGIN = 32 * MIB
# Messages of each honest pair, at least.
HONEST = 100
# Messages that a publisher at QoS 1 has in flight, fewer than the core's receive maximum.
BURST = 100
# A wall for what must come to its end by itself; only a fault takes as long.
WITHIN = 60
CONNACK, PUBLISH, PUBACK, SUBACK = 0x20, 3, 0x40, 0x90
DEVICES = ["deaf", "loud", "honest"]
# Small bounds, so that little has to be sent until they are reached.
SETTINGS = """
[listener]
max_connections_per_device = 1000
max_unread = "16MiB"
max_unsent = "256KiB"
session_bytes = "1MiB"
sessions_bytes = "4MiB"
"""
GROUP = """
[group]
name = "flow"
[[routes]]
from = "device:*"
topic = "t/#"
to = "device:*"
""" + "".join(f"[devices.{name}]\n" for name in DEVICES)


class Client:
    """A device on a blocking socket: nothing is read that is not asked for, and the kernel keeps little."""

    def __init__(self, context, port, client_id, *, version=5, expiry=0):
        properties = PropertyMap({pr.SESSION_EXPIRY_INTERVAL: expiry}) if expiry else PropertyMap()
        connect = p.Connect(client_id, version, clean_start=not expiry, keep_alive=0, properties=properties)
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(WITHIN)
        try:
            plain.connect(("127.0.0.1", port))
            self.socket = context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise
        self.version, self.framer, self.inbox = version, Framer(MIB), []
        self.send(encode(connect, version))
        first, body = self.receive()
        assert (first, body[1]) == (CONNACK, 0)

    def subscribe(self, topic_filter, qos):
        self.send(encode(p.Subscribe(1, [p.SubscriptionOptions(topic_filter, qos)]), self.version))
        assert self.receive()[0] == SUBACK
        return self

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next packet: (first byte, body)."""
        while not self.inbox:
            data = self.socket.recv(65_536)
            if not data:
                raise ConnectionError("closed")
            self.inbox += self.framer.feed(data)
        return self.inbox.pop(0)

    def close(self):
        self.socket.close()


class Crowd(contextlib.ExitStack):
    """Clients of one core, closed at the end."""

    def __init__(self, site):
        super().__init__()
        self.port = site.core.port
        self.number = 0
        self.contexts = {name: site.core.credentials(name).context() for name in DEVICES}

    def client(self, device, client_id, **more):
        self.number += 1
        return self.enter_context(
            contextlib.closing(Client(self.contexts[device], self.port, client_id, **more))
        )


def resident(site):
    return int(Path(f"/proc/{site.core.child.pid}/statm").read_text().split()[1]) * 4096


class Growth:
    """The most that the daemon grew by."""

    def __init__(self, site):
        self.site, self.began, self.most = site, resident(site), 0

    def look(self):
        self.most = max(self.most, resident(self.site) - self.began)
        return self.most


class Pair(threading.Thread):
    """Two honest clients: each message at QoS 1 when the one before has arrived and was acknowledged."""

    def __init__(self, crowd, number):
        super().__init__(daemon=True)
        self.topic = f"t/honest/{number}"
        self.writer = crowd.client("honest", f"writer {number}")
        self.reader = crowd.client("honest", f"reader {number}").subscribe(self.topic, 1)
        self.enough, self.count, self.fault = threading.Event(), 0, None

    def run(self):
        try:
            while not (self.enough.is_set() and self.count >= HONEST):
                self.count += 1
                self.speak(self.count % 0xFFFF + 1, b"%d" % self.count)
        except (OSError, AssertionError) as error:
            self.fault = error

    def speak(self, packet_id, payload):
        self.writer.send(encode(p.Publish(self.topic, payload, 1, packet_id=packet_id), 5))
        first, body = self.reader.receive()
        assert first >> 4 == PUBLISH
        assert body.endswith(payload)
        id_at = 2 + int.from_bytes(body[:2], "big")
        self.reader.send(bytes((PUBACK, 2)) + body[id_at : id_at + 2])
        assert self.writer.receive() == (PUBACK, packet_id.to_bytes(2, "big"))


def publishes(topic, qos, number, size):
    packets = (p.Publish(topic, b"x" * size, qos, packet_id=qos and each + 1) for each in range(number))
    return b"".join(encode(each, 5) for each in packets)


# Each is answered with 1,000 bytes, and nothing is asked for.
SUBSCRIBES = encode(p.Subscribe(1, [p.SubscriptionOptions("x")] * 1000), 5)


async def flow(site):
    site.write_group(GROUP)
    await site.core.initialise("test-core")
    await site.core.configure(SETTINGS)
    await site.core.start(site.group)
    await site.core.add_devices(DEVICES)


class Flood(threading.Thread):
    """A client that sends the same again and again. `held_back`: TCP took no more of it for a while."""

    def __init__(self, client, data):
        super().__init__(daemon=True)
        self.client, self.data = client, data
        self.taken, self.held_back, self.enough = 0, threading.Event(), threading.Event()

    def run(self):
        self.client.socket.settimeout(1.5)
        while not self.enough.is_set():
            try:
                self.taken += self.client.socket.send(self.data)
            except (TimeoutError, ssl.SSLWantWriteError):
                self.held_back.set()
                return


class Burst(Flood):
    """The same from one who keeps to receive maximum: it waits for the acknowledgements of each burst."""

    def run(self):
        while not self.enough.is_set():
            self.client.send(self.data)
            self.taken += len(self.data)
            for _ in range(BURST):
                assert self.client.receive()[0] == PUBACK


def beside(crowd, growth, floods, until):
    """Let honest pairs speak while others flood, until that is true; hold all to what they must be."""
    pairs = [Pair(crowd, number) for number in range(3)]
    deadline = time.monotonic() + WITHIN
    for thread in (*floods, *pairs):
        thread.start()
    while not until() and time.monotonic() < deadline:
        growth.look()
        time.sleep(0.05)
    late = time.monotonic() >= deadline
    for thread in (*pairs, *floods):
        thread.enough.set()
    for thread in (*pairs, *floods):
        thread.join(WITHIN)
    assert [pair.fault for pair in pairs] == [None] * 3
    assert not late, [flood.taken for flood in floods]
    assert growth.look() < UNREAD + crowd.number * HIGH_WATER + MARGIN


def listener_status(site):
    status = asyncio.run(site.core.status())
    return status["units"]["listener"]["status"] if status else {}


def beside_bad_neighbours(site):
    def overflowed():
        return listener_status(site).get("kept", {}).get("dropped", {}).get("overflow", 0) > 0

    with Crowd(site) as crowd:
        deaf = [
            crowd.client("deaf", "deaf at 0").subscribe("t/flood/#", 0),
            crowd.client("deaf", "deaf at 1").subscribe("t/flood/#", 1),
            crowd.client("deaf", "deaf and kept", expiry=3600).subscribe("t/flood/#", 1),
            crowd.client("deaf", "deaf in 3.1.1", version=4).subscribe("t/flood/#", 1),
        ]
        flood = Flood(crowd.client("loud", "floods at 0"), publishes("t/flood/a", 0, 20, 4000))
        flood_1 = Burst(crowd.client("loud", "floods at 1"), publishes("t/flood/b", 1, BURST, 1000))
        careless = [
            Flood(crowd.client("loud", "reads no PUBACK"), publishes("t/alone", 1, 1000, 0)),
            Flood(crowd.client("loud", "reads no PINGRESP"), b"\xc0\0" * 4000),
            Flood(crowd.client("loud", "reads no SUBACK"), SUBSCRIBES),
        ]
        growth = Growth(site)
        beside(
            crowd,
            growth,
            [flood, flood_1, *careless],
            lambda: (
                all(each.held_back.is_set() for each in careless)
                and flood.taken > 10 * MIB
                and overflowed()  # the bound of the session that is kept
            ),
        )
        for each in deaf:
            assert each.receive()[0] >> 4 == PUBLISH  # it may begin to read at any time


async def test_who_does_not_read_costs_only_itself(site):
    await flow(site)
    await asyncio.to_thread(beside_bad_neighbours, site)
    status = await site.status("listener", "status")
    assert status["kept"]["dropped"]["overflow"] > 0
    assert status["refused"] == {}
    assert await site.status("listener", "restarts") == 0


def beside_a_deaf_crowd(site, number):
    def cut_off():
        return listener_status(site).get("refused", {}).get("slow", 0) > number // 2

    with Crowd(site) as crowd:
        for each in range(number):
            crowd.client("deaf", f"deaf {each}").subscribe(f"t/flood/{each}", each % 2)
        # Something else for each of them, so that nothing is shared.
        data = b"".join(publishes(f"t/flood/{each}", 0, 2, 12_000) for each in range(number))
        flood = Flood(crowd.client("loud", "flooder"), data)
        beside(crowd, Growth(site), [flood], cut_off)


async def test_many_who_do_not_read_share_one_bound(site):
    await flow(site)
    await asyncio.to_thread(beside_a_deaf_crowd, site, 500)
    assert await site.status("listener", "status", "unread_bytes") <= UNREAD
    assert await site.status("listener", "restarts") == 0
