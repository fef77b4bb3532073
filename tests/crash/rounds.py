"""Kill rounds: load, SIGKILL at a random moment, restart, send again, drain, judge.

Each round has its own random numbers, from the seed and its number. Sessions, client notes, the broker's
folder and the numbers of the messages go on from round to round.

Two publishers (3.1.1 and 5) publish to a session that is away, to one that acknowledges slowly (each in
both versions), to one that is made in the middle of the load, and to retained topics, at QoS 1 and 2. The
first of a round's kills meets the load; others may meet the start, the sending again and the draining.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass

from tests.crash.crowd import Crowd
from tests.crash.house import House

# Seconds from the beginning of the load to the kill, and of further kills from what they meet, at most.
LOAD = 1.0
SETTLE = 0.15
DRAIN = 0.4
# Seconds that a will may take after a restart: the core waits a minute for the client to come back. That is
# long, so only one round in so many is about wills too.
WILLS = 90.0
WILLS_EVERY = 250
# A start is met up to so many times what the last whole one took.
START = 1.2
# How often a round has such a further kill.
FURTHER = 0.3


@dataclass
class Report:
    """What one round did: `kills` by what they met, `restart` in seconds."""

    number: int
    verdict: object
    kills: Counter
    restart: float
    seconds: float

    def record(self):
        """As a JSON object."""
        return {
            "number": self.number,
            "kills": dict(self.kills),
            **self.verdict.counts,
            "restart": round(self.restart, 2),
            "seconds": round(self.seconds, 2),
            **({"examples": self.verdict.examples} if self.verdict.examples else {}),
        }


class Rounds:
    """Rounds with one broker. `patience`: seconds for retained messages that are missing."""

    def __init__(self, broker, seed, patience=5.0):
        self.broker, self.seed = broker, seed
        self.house = House()
        self._takes = 0.0  # seconds of the last start
        self._crowd = Crowd(broker, self.house, random.Random(f"{seed}"), patience)

    async def begin(self):
        """Start the broker and make the sessions."""
        await self._start()
        await self._crowd.arrive()

    async def play(self, number):
        """One round; gives its Report."""
        rng = self._crowd.rng = random.Random(f"{self.seed}/{number}")
        began, kills = time.monotonic(), Counter()
        await self._load(rng, number)
        kills["load"] += 1
        restart = await self._restart(rng, kills)
        await self._crowd.check_retained()
        await self._settle(rng, kills)
        await self._drain(rng, kills)
        if number % WILLS_EVERY == WILLS_EVERY - 1:
            await self._wills(rng, kills)
        await self._crowd.part()
        await self._crowd.check_retained()
        for complaint in self.broker.complaints():
            self.house.law.fault("complaint", complaint)
        return Report(number, self.house.law.close(), kills, restart, time.monotonic() - began)

    async def _wills(self, rng, kills):
        """The wills of clients that were connected come, however often it is killed before they are due."""
        await self._crowd.mourn()
        await self._crowd.kill()
        kills["wills"] += 1
        await self._restart(rng, kills)
        await self._settle(rng, kills)
        await self._crowd.connect_subscribers()
        await self._crowd.drained(patience=WILLS)

    async def _load(self, rng, number):
        crowd = self._crowd
        await crowd.slow_down()
        crowd.load()
        moment = rng.uniform(0, LOAD)
        coming = asyncio.create_task(self._come(number, rng.uniform(0, moment)))
        await asyncio.sleep(moment)
        crowd.rest()
        await crowd.kill()
        await coming

    async def _come(self, number, moment):
        await asyncio.sleep(moment)
        await self._crowd.come(f"new{number}")

    async def _restart(self, rng, kills):
        while rng.random() < FURTHER:
            await self.broker.start_and_kill(rng.uniform(0, START * self._takes))
            kills["start"] += 1
        await self._start()
        return self._takes

    async def _start(self):
        began = time.monotonic()
        await self.broker.start()
        self._takes = time.monotonic() - began

    async def _settle(self, rng, kills):
        """Publishers send again what is owed, until all is acknowledged."""
        await self._crowd.connect_publishers()
        while rng.random() < FURTHER:
            await self._crowd.settled(within=rng.uniform(0, SETTLE))
            await self._again(kills, "settle")
        await self._crowd.settled()

    async def _drain(self, rng, kills):
        """Every subscriber gets what it is owed, up to a mark on every stream."""
        await self._crowd.connect_subscribers()
        self._crowd.mark()
        while rng.random() < FURTHER:
            await self._crowd.drained(within=rng.uniform(0, DRAIN))
            await self._again(kills, "drain")
            await self._crowd.connect_subscribers()
        await self._crowd.drained()

    async def _again(self, kills, what):
        await self._crowd.kill()
        kills[what] += 1
        await self._start()
        await self._crowd.connect_publishers()

    async def end(self):
        """Hang up everywhere and stop the broker; gives its exit code."""
        return await self._crowd.end()
