"""Kill rounds: load, SIGKILL at a random moment, restart, send again, drain, judge.

Each round has its own random numbers, from the seed and its number. Sessions, client notes, the broker's
folder and the numbers of the messages go on from round to round.

Two publishers (3.1.1 and 5) publish to a session that is away, to one that acknowledges slowly (each in
both versions), to one that is made in the middle of the load, and to retained topics, at QoS 1 and 2. The
first of a round's kills meets the load; others may meet the start, the sending again and the draining.
Where the broker keeps wills over a restart, that of a client that was connected is due as well.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from edgecore.mqtt.packets import V5, V311, Will
from tests.crash.client import (
    ConnectionLostError,
    Mourned,
    Publisher,
    Subscriber,
    discard,
    payload_of,
    retained_on,
)
from tests.crash.law import Law, RetainedTopic, Stream

VERSIONS = {"3": V311, "5": V5}
TOPICS_PER_STREAM = 2
# Seconds from the beginning of the load to the kill, and of further kills from what they meet.
LOAD = 1.0
START = 0.9
SETTLE = 0.15
DRAIN = 0.4
# How often a round has such a further kill.
FURTHER = 0.3
# Seconds in which all that is owed must have come. Only a fault takes as long.
DRAINED = 30.0
# Messages in flight of one publisher.
WINDOWS = (1, 4, 20, 100, 400)
# One retained message in so many is an erasure.
ERASURES = 8
# Seconds between two acknowledgements of a slow subscriber.
PAUSES = (0.001, 0.01, 0.05)


@dataclass
class _Kills:
    """How many kills met what, in one round."""

    load: int = 0
    start: int = 0
    settle: int = 0
    drain: int = 0


@dataclass
class Report:
    """What one round did."""

    number: int
    verdict: object
    kills: _Kills
    seconds: float
    restart: float

    def record(self):
        """As a JSON object."""
        return {
            "number": self.number,
            "kills": {name: n for name, n in vars(self.kills).items() if n},
            **self.verdict.counts,
            "restart": round(self.restart, 2),
            "seconds": round(self.seconds, 2),
            **({"examples": self.verdict.examples} if self.verdict.examples else {}),
        }


class Rounds:
    """The house of clients around one broker. `patience`: seconds for retained messages that are missing."""

    def __init__(self, broker, seed, patience=5.0):
        self.broker, self.seed = broker, seed
        self._patience = patience
        self.law = Law()
        self.retained = {}
        self._rng = random.Random(f"{seed}")
        self._streams, self._kept, self._numbers = {}, {}, {}
        self._publishers = [self._publisher(name, version) for name, version in VERSIONS.items()]
        self._away = [self._subscriber(f"away{name}", version) for name, version in VERSIONS.items()]
        self._slow = [self._subscriber(f"slow{name}", version) for name, version in VERSIONS.items()]
        self._new = []
        self._goals = {}  # stream -> number that every subscriber must reach by the end of the round
        self._will = Stream("m/will", 1)
        if broker.keeps_wills:
            self._streams[self._will.topic] = self._will
        self._serving = []

    @property
    def _subscribers(self):
        return self._away + self._slow + self._new

    def _publisher(self, name, version):
        own = [Stream(f"m/{name}/{q}/{n}", q) for q in (1, 2) for n in range(TOPICS_PER_STREAM)]
        kept = [Stream(f"r/{name}/{q}/{n}", q) for q in (1, 2) for n in range(TOPICS_PER_STREAM)]
        self._streams.update({stream.topic: stream for stream in own})
        self._kept.update({stream.topic: stream for stream in kept})
        self.retained.update({stream.topic: RetainedTopic() for stream in kept})
        weighted = own * 3 + kept
        publisher = Publisher(
            f"pub{name}", version, self.law, lambda: self._next(self._rng.choice(weighted)), self._noted
        )
        publisher.streams = own
        return publisher

    def _subscriber(self, client_id, version):
        return Subscriber(client_id, version, self.law, "m/#", self._streams)

    def _next(self, stream):
        """The next message of a stream."""
        number = self._numbers[stream] = self._numbers.get(stream, 0) + 1
        size = 20_000 if self._rng.random() < 0.01 else self._rng.randrange(300)
        kept = self.retained.get(stream.topic)
        if kept is None:
            return stream, number, payload_of(number, size), False
        kept.sent = number
        if number % ERASURES == 0:
            kept.erased.add(number)
            return stream, number, b"", True
        return stream, number, payload_of(number, size), True

    def _noted(self, stream, number):
        kept = self.retained.get(stream.topic)
        if kept is not None:
            kept.acked = max(kept.acked, number)

    # One round

    async def begin(self):
        """Start the broker and make the sessions."""
        await self.broker.start()
        await self._connect_publishers()
        for subscriber in self._away + self._slow:
            await self._join(subscriber, "sub")
        for subscriber in self._away:
            await subscriber.link.goodbye()
        await self._reap(self._away)

    async def play(self, number):
        """One round; gives its Report."""
        rng = self._rng = random.Random(f"{self.seed}/{number}")
        began, kills = time.monotonic(), _Kills()
        await self._load(rng, kills, number)
        restart = await self._restart(rng, kills)
        await self._check_retained()
        await self._settle(rng, kills)
        await self._drain(rng, kills)
        await self._check_retained()
        for complaint in self.broker.complaints():
            self.law.fault("complaint", complaint)
        return Report(number, self.law.close(), kills, time.monotonic() - began, restart)

    async def _load(self, rng, kills, number):
        if not any(subscriber.link for subscriber in self._slow if self._is_up(subscriber)):
            pause = rng.choice(PAUSES)
            for subscriber in self._slow:
                await self._join(
                    subscriber,
                    "sub",
                    pause=lambda: rng.uniform(0, pause),
                    receive_maximum=rng.choice((1, 10, 200)),
                )
        for publisher in self._publishers:
            publisher.load(rng.choice(WINDOWS))
        moment = rng.uniform(0, LOAD)
        arriving = asyncio.create_task(self._arrive(rng, number, moment))
        await asyncio.sleep(moment)
        for publisher in self._publishers:
            publisher.loading = False
        await self._kill()
        kills.load += 1
        await arriving

    async def _arrive(self, rng, number, moment):
        """Within the load a new session is made, and a client with a will comes; the kill may be faster."""
        await asyncio.sleep(rng.uniform(0, moment))
        newcomer = self._subscriber(f"new{number}", rng.choice(list(VERSIONS.values())))
        self._new.append(newcomer)
        try:
            if self.broker.keeps_wills:
                await self._join_with_will(rng)
            await self._join(newcomer, "sub")
        except ConnectionLostError:
            self.law.count("too_late")

    async def _join_with_will(self, rng):
        """A will is accepted with CONNACK, and due when the kill ends the connection."""
        name = rng.choice(list(VERSIONS))
        stream, number, payload, _ = self._next(self._will)
        self.law.sent(stream, number)
        will = Will(stream.topic, payload, stream.qos)
        await self._join(Mourned(f"will{name}", VERSIONS[name]), "pub", will=will)
        self.law.acked(stream, number)
        self._goals[stream] = number

    async def _restart(self, rng, kills):
        while rng.random() < FURTHER:
            await self.broker.start_and_kill(rng.uniform(0, START))
            kills.start += 1
        began = time.monotonic()
        await self.broker.start()
        return time.monotonic() - began

    async def _check_retained(self):
        """What was acknowledged must be there by itself, also before anything is sent again."""

        def content(found):
            return all(kept.may_hold(found.get(topic)) for topic, kept in self.retained.items())

        found = await retained_on(self.broker.door("sub"), "reader", V5, "r/#", content, self._patience)
        for topic, kept in self.retained.items():
            self.law.count("retained_checked")
            if not kept.may_hold(found.get(topic)):
                text = f"{topic} holds {found.get(topic)}; acknowledged {kept.acked}, sent {kept.sent}"
                self.law.fault("retained", text)

    async def _settle(self, rng, kills):
        """Publishers send again what is owed, until all is acknowledged."""
        while True:
            again = rng.random() < FURTHER
            try:
                await self._connect_publishers()
                settled = asyncio.gather(*(publisher.settled.wait() for publisher in self._publishers))
                await asyncio.wait_for(settled, rng.uniform(0, SETTLE) if again else DRAINED)
            except (TimeoutError, ConnectionLostError) as error:
                if not again:
                    self.law.fault("stalled", f"the publishers are not acknowledged: {error!r}")
            if not again:
                return
            await self._kill()
            kills.settle += 1
            await self.broker.start()

    async def _drain(self, rng, kills):
        """Every subscriber gets what it is owed, up to a marker on every stream."""
        marked = False
        while True:
            again = rng.random() < FURTHER
            for subscriber in self._subscribers:
                if not self._is_up(subscriber):
                    await self._join(subscriber, "sub")
                subscriber.hurry()
            if not marked:
                self._publish_markers()
            marked = True
            for subscriber in self._subscribers:
                subscriber.want(self._goals)
            everyone = [each.drained.wait() for each in self._subscribers]
            everyone += [publisher.settled.wait() for publisher in self._publishers]
            try:
                await asyncio.wait_for(asyncio.gather(*everyone), rng.uniform(0, DRAIN) if again else DRAINED)
            except TimeoutError:
                if not again:
                    self._note_stalled()
            if not again:
                break
            await self._kill()
            kills.drain += 1
            await self.broker.start()
            await self._connect_publishers()
        await self._part(rng)

    def _publish_markers(self):
        for publisher in self._publishers:
            messages = [self._next(stream) for stream in publisher.streams]
            publisher.publish(*messages)
            self._goals.update({stream: number for stream, number, _, _ in messages})

    def _note_stalled(self):
        for subscriber in self._subscribers:
            if not subscriber.drained.is_set():
                text = f"{subscriber.client_id} did not get {subscriber.missing()} of its streams to the end"
                self.law.fault("stalled", text)

    async def _part(self, rng):
        """The sessions that are to be away leave, with or without a word; the others stay or connect anew."""
        leaving = self._away + self._new + (self._slow if rng.random() < 0.5 else [])
        for subscriber in leaving:
            await (subscriber.link.goodbye() if rng.random() < 0.5 else subscriber.link.close())
        await self._reap(leaving)
        for newcomer in self._new:
            await discard(self.broker.door("sub"), newcomer.client_id, newcomer.version)
            self.law.forget(newcomer.client_id)
        self._new.clear()

    # Connections

    async def _connect_publishers(self):
        for publisher in self._publishers:
            await self._join(publisher, "pub")

    async def _join(self, client, role, **options):
        await client.connect(self.broker.door(role), **options)
        self._serving.append((client, asyncio.create_task(client.serve())))

    def _is_up(self, client):
        return any(each is client and not task.done() for each, task in self._serving)

    async def _kill(self):
        self.broker.check()
        for client, task in self._serving:
            if task.done():
                self.law.fault("stalled", f"{client.client_id} was disconnected")
        await self.broker.kill()
        await asyncio.wait_for(asyncio.gather(*(task for _, task in self._serving)), DRAINED)
        self._serving.clear()

    async def _reap(self, clients):
        ended = [task for client, task in self._serving if client in clients]
        await asyncio.wait_for(asyncio.gather(*ended), DRAINED)
        self._serving = [pair for pair in self._serving if pair[0] not in clients]

    async def end(self):
        """Hang up everywhere and stop the broker; gives its exit code."""
        for client, _ in self._serving:
            await client.link.close()
        await asyncio.gather(*(task for _, task in self._serving), return_exceptions=True)
        self._serving.clear()
        return await self.broker.stop()
