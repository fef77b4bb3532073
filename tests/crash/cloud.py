"""A simulated cloud that is away while the core runs, and there to see what its outbox kept."""

from __future__ import annotations

import asyncio

from edgecore.mqtt import packets as p
from edgecore.sim.device import Credentials
from edgecore.sim.processes import Child, read_note, until
from edgecore.sim.simcloud import SimulatedCloud
from tests.crash.client import KEEP_ALIVE, WITHIN, ConnectionLostError, Door, Link
from tests.crash.house import CLOUD, number_of

WATCHER = "watcher"
START = 20.0
STOP = 10.0


class Cloud:
    """`edgecore sim cloud` in `folder`, on the same port whenever it runs."""

    def __init__(self, folder):
        self._folder = folder
        self._log = folder / "log"
        self._port = 0
        self._child = None

    async def prepare(self):
        """Make its certificates and find a port; gives the `--cloud` options of `edgecore init`."""
        self._folder.mkdir(parents=True)
        first = SimulatedCloud(self._folder, self._log, [WATCHER])
        await first.start()
        self._port = first.endpoint.port
        await first.stop()
        return first.options_for(self._port)

    async def start(self):
        """Run it."""
        options = ("--dir", str(self._folder), "--port", str(self._port), "--things", WATCHER)
        self._child = child = await Child.start("the simulated cloud", self._log, "sim", "cloud", *options)

        async def look():
            note = await asyncio.to_thread(read_note, self._folder / "cloud.json")
            return note if note is not None and note["pid"] == child.pid else None

        await until("the simulated cloud", START, look, child)

    async def stop(self):
        """End it."""
        if self._child is not None:
            await self._child.stop(STOP)

    def door(self):
        """Where the watcher connects."""
        stem = self._folder / "things" / WATCHER
        files = Credentials(
            stem.with_name(f"{WATCHER}.cert.pem"),
            stem.with_name(f"{WATCHER}.key.pem"),
            self._folder / "ca.pem",
        )
        return Door("127.0.0.1", self._port, files.context())


class Watcher:
    """Subscribes at the cloud to all that the core sends there, and tells the law of it."""

    def __init__(self, house):
        self._house = house
        self._streams = {stream.topic: stream for each in house.outward.values() for stream in each}
        self._link = self._task = None
        self._arrived = asyncio.Event()

    async def begin(self, door):
        """Subscribe, and take what comes from then on."""
        self._link = await Link.open(door, p.Connect(WATCHER, p.V5, True, KEEP_ALIVE))
        self._link.send(p.Subscribe(1, [p.SubscriptionOptions("c/#", 1)]))
        async with asyncio.timeout(WITHIN):
            (packet,) = await self._link.read()
        assert packet.reason_codes == [1], packet
        self._task = asyncio.create_task(self._serve())

    async def _serve(self):
        try:
            while True:
                for packet in await self._link.read():
                    assert isinstance(packet, p.Publish), packet
                    number = number_of(packet.payload)
                    self._house.law.arrived(CLOUD, self._streams[packet.topic], number, packet.dup)
                    if packet.qos:
                        self._link.send(p.PubAck(packet.packet_id))
                self._arrived.set()
        except ConnectionLostError:
            await self._link.close()

    async def drained(self, patience):
        """Wait until the marks have come; a fault when they have not after `patience` seconds."""
        law = self._house.law
        try:
            async with asyncio.timeout(patience):
                while not law.reached(CLOUD, self._house.goals):
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            law.fault("stalled", "the cloud did not get its streams to the end")

    async def end(self):
        """Hang up."""
        if self._link is not None:
            await self._link.close()
        if self._task is not None:
            await self._task
