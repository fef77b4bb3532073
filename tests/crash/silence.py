"""Silent cuts: the link carries nothing any more in the middle of a batch, and nobody is told until later.

A proxy between the uplink and the simulated cloud goes mute: in both directions, or only towards the core, so that
the PUBACKs are lost of messages that the cloud has. Some time later the connection is reset, as a router
does that has forgotten it. What was acknowledged to the publisher must be in the cloud in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

from edgecore.base.clock import SystemClock
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.sim.device import Credentials
from edgecore.sim.simcloud import SimulatedCloud
from edgecore.store import Database
from edgecore.uplink import Link, UplinkService, UplinkSettings
from tests.crash.client import KEEP_ALIVE, Door
from tests.crash.client import Link as Watch

WATCHER = "watcher"
ROWS = (Row(("device:*",), ("c/#",), ("cloud",)),)
BATCH = 200
TOPICS = 5
PATIENCE = 60.0
READ = 65_536
# Seconds from the batch's beginning to the silence, and from there to the reset, at most.
MOMENT = 0.03
UNTIL_RESET = 0.05


class MuteProxy:
    """Carries bytes to the target until it is mute; `reset` ends what stands and carries again."""

    def __init__(self, target):
        self._target = target
        self._tasks, self._writers = set(), set()
        self._mute = frozenset()
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self):
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                yield self
            finally:
                self.reset()
                if self._tasks:
                    await asyncio.wait(self._tasks)

    def mute(self, *directions):
        """Swallow what goes "up" or "down" from now on."""
        self._mute = frozenset(directions)

    def reset(self):
        """End every connection, and carry what comes anew."""
        self._mute = frozenset()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers |= {writer, far_writer}
            async with asyncio.TaskGroup() as pair:
                pair.create_task(self._pipe("up", reader, far_writer))
                pair.create_task(self._pipe("down", far_reader, writer))
        finally:
            self._tasks.discard(asyncio.current_task())

    async def _pipe(self, direction, reader, writer):
        with contextlib.suppress(OSError):
            while chunk := await reader.read(READ):
                if direction not in self._mute:
                    writer.write(chunk)
                    await writer.drain()
        writer.transport.abort()


class _Bus:
    def __init__(self):
        self.targets = {}

    def publish(self, _message):
        return Receipt(allowed=True)

    def attach(self, target, subscriber):
        self.targets[target] = subscriber

    def detach(self, target, _subscriber):
        self.targets.pop(target, None)


class _Watcher:
    """Subscribes at the cloud past the proxy, and counts."""

    def __init__(self):
        self.got = set()
        self.came = asyncio.Event()

    async def serve(self, door, ready):
        link = await Watch.open(door, p.Connect(WATCHER, p.V5, True, KEEP_ALIVE))
        link.send(p.Subscribe(1, [p.SubscriptionOptions("c/#", 1)]))
        await link.read()
        ready.set()
        try:
            while True:
                for packet in await link.read():
                    self.got.add(int(packet.payload))
                    if packet.qos:
                        link.send(p.PubAck(packet.packet_id))
                self.came.set()
        finally:
            await link.close()


async def play(folder: Path, cuts: int, seed: int = 1) -> list[dict[str, int]]:
    """That many cuts, one in each batch. Gives a row for each: `lost` is what never came."""
    cloud = SimulatedCloud(folder / "cloud", folder / "cloud.log", (WATCHER,))
    await cloud.start()
    try:
        async with MuteProxy(("127.0.0.1", cloud.endpoint.port)).listening() as proxy:
            return await _cut(folder, cloud, proxy, cuts, random.Random(seed))
    finally:
        await cloud.stop()


async def _cut(folder, cloud, proxy, cuts, rng):
    stem = folder / "cloud"
    settings = UplinkSettings(
        "localhost",
        stem / "core.cert.pem",
        stem / "core.key.pem",
        "core",
        port=proxy.port,
        ca=stem / "ca.pem",
        reconnect_min=0.02,
        reconnect_max=0.1,
        aws_limits=False,
    )
    watcher, bus, rows = _Watcher(), _Bus(), []
    credentials: Credentials = cloud.credentials(WATCHER)
    async with Database(folder / "core.db") as db, asyncio.TaskGroup() as group:
        ready, watching = asyncio.Event(), asyncio.Event()
        service = UplinkService(settings, ROWS, Link(SystemClock()), bus, db, SystemClock())
        tasks = [
            group.create_task(service.run(ready.set)),
            group.create_task(
                watcher.serve(Door("127.0.0.1", cloud.endpoint.port, credentials.context()), watching)
            ),
        ]
        await ready.wait()
        await watching.wait()
        acknowledged = set()
        for cut in range(cuts):
            for number in range(cut * BATCH, (cut + 1) * BATCH):
                message = Message(f"c/{number % TOPICS}", b"%d" % number, 1, device("a"))
                commit = bus.targets["cloud"].deliver(message, 1, retain=False)
                commit.when_done(lambda error, n=number: error or acknowledged.add(n))
            await asyncio.sleep(rng.uniform(0, MOMENT))
            proxy.mute(*rng.choice((("up", "down"), ("down",), ("up",))))
            await asyncio.sleep(rng.uniform(0, UNTIL_RESET))
            before = len(watcher.got)
            proxy.reset()
            lost = await _missing(watcher, acknowledged, (cut + 1) * BATCH)
            rows.append({"number": cut, "cut": 1, "messages": BATCH, "early": 0, "lost": lost})
            rows[-1]["after"] = (cut + 1) * BATCH - before
        aside = service.status()["outbox"]["set_aside"]
        rows[-1]["lost"] += aside
        for task in tasks:
            task.cancel()
    return rows


async def _missing(watcher, acknowledged, total):
    """How many of what was acknowledged have not come in the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while len(acknowledged) < total or not acknowledged <= watcher.got:
                watcher.came.clear()
                await watcher.came.wait()
    return len(acknowledged - watcher.got)
