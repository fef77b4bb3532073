"""Watches from the cloud's side: what arrives there, and what the cloud's shadows hold.

An MQTT client of the simulated cloud with a certificate of its own. It records and judges nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from edgecore.sim.controller import State, shadow_prefix
from edgecore.sim.crossings import Crossing
from edgecore.sim.device import Credentials, Device, Endpoint
from edgecore.sim.sequences import SequenceSet
from edgecore.sim.signals import Source, telemetry

# Crossings that are remembered: a busy junction's day. Overflow: the oldest go, and `forgotten` says
# before which frame nothing can be compared any more.
MAX_CROSSINGS: Final = 100_000


class Telemetry:
    """What arrived of the sensors' messages."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self.arrived: defaultdict[str, SequenceSet] = defaultdict(SequenceSet)
        self.duplicates = 0
        self.altered = 0
        self._sources = {source.topic: source for source in sources}

    def receive(self, topic: str, payload: bytes) -> None:
        """Record one message. It is unaltered when it is, byte for byte, the one with its number."""
        source = self._sources.get(topic)
        if source is None:
            self.altered += 1
            return
        number = json.loads(payload)["seq"]
        if payload != telemetry(source, number):
            self.altered += 1
        elif not self.arrived[source.thing].add(number):
            self.duplicates += 1


class CrossingRecord:
    """The crossings that arrived of one camera. `forgotten`: nothing before that frame is kept."""

    def __init__(self) -> None:
        self.crossings: dict[tuple[Crossing, int], None] = {}
        self.duplicates = 0
        self.forgotten = 0

    def receive(self, payload: bytes) -> None:
        """Record one message of the topic's `events`."""
        message = json.loads(payload)
        crossing = Crossing(message["frame"], message["line"], message["label"], message["direction"])
        key = (crossing, message["track"])
        if key in self.crossings:
            self.duplicates += 1
            return
        self.crossings[key] = None
        if len(self.crossings) > MAX_CROSSINGS:
            oldest, track = next(iter(self.crossings))
            del self.crossings[oldest, track]
            self.forgotten = max(self.forgotten, oldest.frame + 1)


class Observer:
    """The client. `cameras` maps the cameras' topics to what arrived of them; `timings` counts plans."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        credentials: Credentials,
        sources: Iterable[Source],
        cameras: Iterable[str],
    ) -> None:
        self.telemetry = Telemetry(sources)
        self.cameras = {topic: CrossingRecord() for topic in cameras}
        self.timings = 0
        self.timing: State = {}
        self._name = name
        self._tokens = itertools.count(1)
        self._asked: dict[str, asyncio.Future[State | None]] = {}
        self._loop = asyncio.get_running_loop()
        subscriptions = ["dt/#", *(f"{topic}/#" for topic in self.cameras)]
        shadows = ["$aws/things/+/shadow/get/accepted", "$aws/things/+/shadow/get/rejected"]
        self.device = Device(
            name, endpoint, credentials, subscriptions=subscriptions + shadows, received=self._receive
        )

    async def shadow(self, thing: str, within: float) -> State | None:
        """The cloud's copy of a thing's shadow `state`; None when it has none. Raises TimeoutError."""
        token = f"{self._name}-{next(self._tokens)}"
        answer: asyncio.Future[State | None] = self._loop.create_future()
        self._asked[token] = answer
        body = json.dumps({"clientToken": token}).encode()
        try:
            async with asyncio.timeout(within):
                self.device.publish(f"{shadow_prefix(thing)}/get", body)
                return await answer
        finally:
            del self._asked[token]

    def _receive(self, topic: str, payload: bytes) -> None:
        if topic.startswith("$aws/"):
            self._answer(topic, json.loads(payload))
        elif topic.startswith("dt/"):
            self.telemetry.receive(topic, payload)
        else:
            self._of_camera(topic, payload)

    def _of_camera(self, topic: str, payload: bytes) -> None:
        camera, _, kind = topic.rpartition("/")
        if kind == "timing":
            self.timings += 1
            self.timing = json.loads(payload)
        elif kind == "events" and camera in self.cameras:
            self.cameras[camera].receive(payload)

    def _answer(self, topic: str, document: State) -> None:
        answer = self._asked.get(document.get("clientToken") or "")
        if answer is not None and not answer.done():
            answer.set_result((document.get("state") or {}) if topic.endswith("/accepted") else None)
