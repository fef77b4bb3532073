"""A month offline in virtual time: a message a second, then a burst through the bound, then the cloud is back.

The outbox is the real one, on the real store; only the clock and the cloud are made up. It ends exact: each message
arrived once, or is in exactly one of the counts, and what is missing is what the rule says.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

from edgecore.base.clock import ManualClock
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.store import Database, DurableQueue, QueueBounds, StoreSettings
from edgecore.uplink.outbox import LANES, Outbox
from edgecore.uplink.settings import UplinkSettings

MONTH = 30 * 24 * 3600
BURST = 5_000_000
RECORDS = 1_000_000
# The share of each kind in a hundred messages, and its priority.
KINDS = {"alarm": (1, 9), "plain": (89, 4), "bulk": (10, 0)}
ROWS = tuple(
    Row(("device:*",), (f"{kind}/#",), ("cloud",), priority=rank) for kind, (_, rank) in KINDS.items()
)
SIZE = 200
# Virtual seconds between two looks for what is too old, as the uplink's own task has them.
LOOK = 30
# Messages delivered before the disk is waited for.
TURN = 2_000


def kind_of(number):
    """The kind of a message by its number."""
    place, upto = number % 100, 0
    for kind, (share, _) in KINDS.items():
        upto += share
        if place < upto:
            return kind
    raise AssertionError(place)


class _Cloud:
    """Acknowledges when it is told to. `got`: how often each number came; `disordered`: per topic."""

    def __init__(self, messages):
        self.got = bytearray(messages)
        self.disordered = 0
        self._last = {}
        self._waiting = []

    def publish(self, message, qos, now, done):
        number = int(message.payload)
        self.got[number] += 1
        self.disordered += number < self._last.get(message.topic, -1)
        self._last[message.topic] = number
        self._waiting.append(done)

    def acknowledge(self):
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(None)


async def play(folder: Path, scale: int) -> dict[str, int]:
    """A month, divided by `scale` with all its bounds. Gives what was counted; `unexplained` must be 0."""
    began = time.monotonic()
    seconds, burst, records = MONTH // scale, BURST // scale, RECORDS // scale
    clock = ManualClock()
    settings = UplinkSettings(
        "host",
        Path("c"),
        Path("k"),
        "core",
        outbox_records=records,
        outbox_bytes=2**40,
        outbox_age=31 * 86400.0,
    )
    bounds = QueueBounds(settings.outbox_records, settings.outbox_bytes)
    async with Database(folder / "core.db", StoreSettings(reserve_bytes=0)) as db:
        queue = DurableQueue(db, "outbox", bounds, LANES)
        woken = asyncio.Event()
        outbox = Outbox(queue, DurableQueue(db, "aside", bounds), settings, clock, woken.set, ROWS)
        await outbox.open()
        alarms = await _offline(outbox, clock, seconds, burst)
        cloud = _Cloud(seconds + burst)
        channel = outbox.channels[0]
        channel.connected()
        while queue.count:
            woken.clear()
            channel.pump(cloud)
            cloud.acknowledge()
            if queue.count:
                await woken.wait()  # something was acknowledged, or the disk has answered
        clock.advance(600)
        alarm, _ = await outbox.look()
        alarms += [alarm] if alarm is not None else []
        return _judge(outbox, cloud, alarms, records) | {"seconds": round(time.monotonic() - began)}


async def _offline(outbox, clock, seconds, burst):
    """A message a second, then the burst within a second. Gives the alarms."""
    alarms, commit = [], None
    for number in range(seconds + burst):
        topic = f"{kind_of(number)}/{number % 7}"
        commit = outbox.deliver(Message(topic, b"%0*d" % (SIZE, number), 1, device("a")), 1, retain=False)
        if number < seconds:
            clock.advance(1)
        if number < seconds and number % LOOK == 0:
            alarm, _ = await outbox.look()
            alarms += [alarm] if alarm is not None else []
        if number % TURN == 0:
            await _durable(commit)
    await _durable(commit)
    clock.advance(LOOK)
    alarm, _ = await outbox.look()
    return alarms + ([alarm] if alarm is not None else [])


async def _durable(commit):
    done = asyncio.get_running_loop().create_future()
    commit.when_done(lambda error: done.set_exception(error) if error else done.set_result(None))
    await done


def _judge(outbox, cloud, alarms, records):
    dropped = Counter(outbox.status()["dropped"])
    missing = cloud.got.count(0)
    kept = len(cloud.got) - missing
    spared = _spared(len(cloud.got), records)
    wrong = abs(missing - sum(dropped.values()))  # each drop explains one message
    wrong += abs(kept - min(records, len(cloud.got)))  # no more was dropped than had to be
    # Once each, and those that the rule spares.
    wrong += sum(times != (number >= spared[kind_of(number)]) for number, times in enumerate(cloud.got))
    states = [json.loads(alarm.payload)["state"] for alarm in alarms]
    wrong += states != ["dropping", "over"]
    return {
        "messages": len(cloud.got),
        "arrived": kept,
        "dropped": sum(dropped.values()),
        "unexplained": wrong,
        "disordered": cloud.disordered,
        "alarms": len(alarms),
    }


def _spared(messages, records):
    """From which number on the rule spares each kind: of the highest priorities all, of the next the newest."""
    first, left = {}, records
    for kind, _ in sorted(KINDS.items(), key=lambda item: -item[1][1]):
        number = messages
        while left and number:
            number -= 1
            left -= kind_of(number) == kind
        first[kind] = number
    return first
