"""The clients of a house with their connections to one broker: what rounds and power cuts have in common."""

from __future__ import annotations

import asyncio

from tests.crash.client import (
    Bystander,
    ConnectionLostError,
    Publisher,
    Subscriber,
    discard,
    retained_on,
)
from tests.crash.house import VERSIONS, payload_of

# Seconds in which all that is owed must have come. Only a fault takes as long.
DRAINED = 30.0
# Messages in flight of one publisher.
WINDOWS = (1, 4, 20, 100, 400)
# One retained message in so many is an erasure.
ERASURES = 8
# One message in a hundred fills several pages of the database.
LARGE = 20_000
# Seconds between two acknowledgements of a slow subscriber, at most; and its receive maximum.
PAUSES = (0.001, 0.01, 0.05)
RECEIVE_MAXIMUM = (1, 10, 200)


class Crowd:
    """Clients around `broker`. `rng` may be replaced at any time. `patience`: seconds for a retained message."""

    def __init__(self, broker, house, rng, patience=5.0):
        self.broker, self.house, self.rng = broker, house, rng
        self._patience = patience
        self.publishers = [self._publisher(name) for name in VERSIONS]
        self.away = [self._subscriber(f"away{name}", version) for name, version in VERSIONS.items()]
        self.slow = [self._subscriber(f"slow{name}", version) for name, version in VERSIONS.items()]
        old = {*(each.client_id for each in self.away + self.slow)}
        new = [half for client_id, half in house.receivers.items() if client_id not in old]
        self.new = [self._subscriber(half.client_id, half.version) for half in new]
        self._serving = []

    @property
    def subscribers(self):
        """All of them."""
        return self.away + self.slow + self.new

    def _publisher(self, name):
        streams = self.house.own[name] * 3 + self.house.kept[name] + self.house.outward[name]
        return Publisher(self.house.senders[f"pub{name}"], lambda: self._message(self.rng.choice(streams)))

    def _subscriber(self, client_id, version):
        half = self.house.receiver(client_id, version)
        return Subscriber(half, "m/#", lambda goals: self.house.law.reached(client_id, goals))

    def _message(self, stream):
        """The next message of a stream, as (stream, number, payload, retain)."""
        number = self.house.law.last_sent(stream) + 1
        size = LARGE if self.rng.random() < 0.01 else self.rng.randrange(300)
        kept = stream.topic in self.house.retained
        erasing = kept and number % ERASURES == 0
        return stream, number, b"" if erasing else payload_of(number, size), kept

    # What they do

    async def arrive(self):
        """Every lasting session is made; those that are to be away leave again."""
        await self.connect_publishers()
        for subscriber in self.away + self.slow:
            await self._join(subscriber, "sub")
        await self.leave(self.away)

    async def connect_publishers(self):
        """Connect the publishers that are not connected, which send again what they owe."""
        for publisher in self.publishers:
            if not self.is_up(publisher):
                await self._join(publisher, "pub")

    async def connect_subscribers(self):
        """Connect whoever is not connected, and let all answer at once."""
        for subscriber in self.subscribers:
            if not self.is_up(subscriber):
                await self._join(subscriber, "sub")
            subscriber.hurry()

    async def slow_down(self):
        """Connect the slow subscribers, slow as they are, unless they are connected."""
        pause = self.rng.choice(PAUSES)
        for subscriber in self.slow:
            if not self.is_up(subscriber):
                most = self.rng.choice(RECEIVE_MAXIMUM)
                await self._join(
                    subscriber, "sub", pause=lambda: self.rng.uniform(0, pause), receive_maximum=most
                )

    def load(self):
        """Publishers begin to publish."""
        for publisher in self.publishers:
            publisher.load(self.rng.choice(WINDOWS))

    def rest(self):
        """Publishers publish nothing new."""
        for publisher in self.publishers:
            publisher.loading = False

    async def come(self, name):
        """A new session is made. `name`: of the newcomer. If the broker is too late for it, it has no claim."""
        version = self.rng.choice(list(VERSIONS))
        newcomer = self._subscriber(f"{name}-{version}", VERSIONS[version])
        self.new.append(newcomer)
        try:
            await self._join(newcomer, "sub")
        except ConnectionLostError:
            self.house.law.count("too_late")

    async def mourn(self):
        """Clients with a will connect, one of each version."""
        for half in self.house.mourned.values():
            stream, number, payload, _ = self._message(half.stream)
            await self._join(Bystander(half), "pub", stream=stream, number=number, payload=payload)

    async def part(self):
        """Those that are to be away leave, with or without a word; newcomers end; the slow ones may stay."""
        await self.leave(self.away + self.new + (self.slow if self.rng.random() < 0.5 else []))
        for newcomer in self.new:
            newcomer.half.leaves()
            await discard(self.broker.door("sub"), newcomer.client_id, newcomer.half.version)
        self.new.clear()

    async def leave(self, subscribers):
        """Disconnect them, with or without a word."""
        for subscriber in subscribers:
            await (subscriber.link.goodbye() if self.rng.random() < 0.5 else subscriber.link.close())
        ended = [task for client, task in self._serving if client in subscribers]
        await asyncio.wait_for(asyncio.gather(*ended), DRAINED)
        self._serving = [pair for pair in self._serving if pair[0] not in subscribers]

    # What must come of it

    async def check_retained(self):
        """What was acknowledged must be there by itself, also before anything is sent again."""
        retained, law = self.house.retained, self.house.law

        def content(found):
            return all(kept.may_hold(found.get(topic)) for topic, kept in retained.items())

        found = await retained_on(self.broker.door("sub"), "reader", "r/#", content, self._patience)
        for topic, kept in retained.items():
            law.count("retained_checked")
            if not kept.may_hold(found.get(topic)):
                text = f"{topic} holds {found.get(topic)}; acknowledged {kept.acked}, sent {kept.sent}"
                law.fault("retained", text)

    async def settled(self, within=None):
        """Whether the publishers are acknowledged `within` seconds; without it a fault when they are not."""
        everyone = asyncio.gather(*(publisher.settled.wait() for publisher in self.publishers))
        try:
            await asyncio.wait_for(everyone, DRAINED if within is None else within)
        except TimeoutError:
            if within is None:
                self.house.law.fault("stalled", "the publishers are not acknowledged")

    async def taken(self):
        """Wait until every subscriber has got all that was acknowledged so far, and has answered it."""
        streams = self.house.streams.values()
        await self._reached({stream: self.house.law.last_acked(stream) for stream in streams}, DRAINED)

    def mark(self):
        """Publish one message more on every stream that is not retained: what came before it must come first."""
        for publisher, name in zip(self.publishers, VERSIONS, strict=True):
            messages = [self._message(stream) for stream in self.house.own[name] + self.house.outward[name]]
            publisher.publish(*messages)
            self.house.goals.update({stream: number for stream, number, _, _ in messages})

    async def drained(self, within=None, patience=DRAINED):
        """Wait until every subscriber has got all marks, `within` seconds.

        Without `within` it is a fault when they have not got them after `patience` seconds.
        """
        if await self._reached(self.house.goals, patience if within is None else within, self.publishers):
            return
        for each in self.subscribers if within is None else ():
            if not each.drained.is_set():
                behind = self.house.law.behind(each.client_id, self.house.goals)
                text = f"{each.client_id} did not get {behind} of its streams to the end"
                self.house.law.fault("stalled", text)

    async def _reached(self, goals, within, publishers=()):
        for subscriber in self.subscribers:
            subscriber.want(goals)
        everyone = [each.drained.wait() for each in self.subscribers]
        everyone += [publisher.settled.wait() for publisher in publishers]
        try:
            await asyncio.wait_for(asyncio.gather(*everyone), within)
        except TimeoutError:
            return False
        return True

    # Connections

    async def _join(self, client, role, **options):
        await client.connect(self.broker.door(role), **options)
        self._serving.append((client, asyncio.create_task(client.serve())))

    def is_up(self, client):
        """Whether the client is connected."""
        return any(each is client and not task.done() for each, task in self._serving)

    async def ended(self, client):
        """Wait until the broker has ended the client's connection."""
        task = next(task for each, task in self._serving if each is client)
        await asyncio.wait_for(asyncio.shield(task), DRAINED)

    async def kill(self, *, complete=True):
        """Kill the broker, and see every connection end. `complete`: that any was lost before is a fault."""
        self.broker.check()
        for client, task in self._serving:
            if complete and task.done():
                self.house.law.fault("stalled", f"{client.client_id} was disconnected")
        await self.broker.kill()
        await asyncio.wait_for(asyncio.gather(*(task for _, task in self._serving)), DRAINED)
        self._serving.clear()

    async def end(self):
        """Hang up everywhere and stop the broker; gives its exit code."""
        await self.hang_up()
        return await self.broker.stop()

    async def hang_up(self):
        """Close every connection without a word."""
        for client, _ in self._serving:
            await client.link.close()
        await asyncio.gather(*(task for _, task in self._serving), return_exceptions=True)
        self._serving.clear()
