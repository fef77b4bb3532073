"""A core whose state lies on a small file system: filled, killed while full, and given room again."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from edgecore.mqtt import packets as p
from tests.crash.client import KEEP_ALIVE, WITHIN, Link
from tests.crash.house import payload_of

# The reserve takes 8 MiB of it, the write-ahead log up to 4.
MEGABYTES = 32
# Each message is kept twice, for two sessions: some 1,000 fill the disk. Far more is a fault.
SIZE = 8_000
MOST = 10_000
AT_ONCE = 10
# MQTT 5, 2.4: Quota exceeded.
QUOTA_EXCEEDED = 0x97


@cache
def why_not():
    """Why no file system can be mounted here, or ""."""
    if os.geteuid() != 0:
        return "mounting a small file system needs root"
    with tempfile.TemporaryDirectory() as folder:
        done = _mount(folder, 1)
        if done.returncode == 0:
            subprocess.run(["umount", folder], check=True)
    return f"a tmpfs cannot be mounted here: {done.stderr.strip()}" if done.returncode else ""


def _mount(folder, megabytes):
    words = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "none", str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


@asynccontextmanager
async def on_a_small_disk(folder, megabytes=MEGABYTES):
    """Put a small file system under a folder, with the files that are in it, until the block ends."""

    def mount():
        with tempfile.TemporaryDirectory() as aside:
            shutil.copytree(folder, aside, dirs_exist_ok=True)
            assert _mount(folder, megabytes).returncode == 0
            shutil.copytree(aside, folder, dirs_exist_ok=True)

    await asyncio.to_thread(mount)
    try:
        yield
    finally:
        await asyncio.to_thread(subprocess.run, ["umount", str(folder)], check=True)


async def fill(crowd):
    """Publish to absent sessions until the disk is full, in both versions and at both QoS.

    Gives (messages refused with 0x97 in MQTT 5, how the 3.1.1 publisher ended).
    """
    three, five = crowd.publishers
    house, number = crowd.house, 0
    before = house.refused["pub5", QUOTA_EXCEEDED]
    while house.refused["pub5", QUOTA_EXCEEDED] < before + 2 * AT_ONCE:
        assert number < MOST, "the disk does not fill"
        _publish(house, five, house.own["5"], number)
        async with asyncio.timeout(WITHIN):
            await five.settled.wait()
        number += AT_ONCE
    _publish(house, three, house.own["3"], 0)
    await crowd.ended(three)
    return house.refused[
        "pub5", QUOTA_EXCEEDED
    ] - before, "closed" if three.half.notes.waiting else "acknowledged"


def _publish(house, publisher, streams, number):
    """Ten messages, on streams of QoS 1 and 2 in turn."""
    for each in range(AT_ONCE):
        stream = streams[(number + each) % len(streams)]
        last = house.law.last_sent(stream) + 1
        publisher.publish((stream, last, payload_of(last, SIZE), False))


async def passes_at_once(door_in, door_out):
    """Whether a message at QoS 0 still goes from one client to another."""
    link = await Link.open(door_out, p.Connect("live", p.V5, True, KEEP_ALIVE))
    link.send(p.Subscribe(1, [p.SubscriptionOptions("m/live", 0)]))
    async with asyncio.timeout(WITHIN):
        await link.read()
    sender = await Link.open(door_in, p.Connect("sender", p.V5, True, KEEP_ALIVE))
    sender.send(p.Publish("m/live", b"0 "))
    async with asyncio.timeout(WITHIN):
        (found,) = await link.read()
    await sender.goodbye()
    await link.goodbye()
    return found.topic == "m/live" and found.payload == b"0 "


async def accepts(crowd):
    """Publish what is owed and one message more on every stream; whether none is refused."""
    before = sum(crowd.house.refused.values())
    await crowd.connect_publishers()
    crowd.mark()
    await crowd.settled()
    return sum(crowd.house.refused.values()) == before


def take_room(folder, megabytes):
    """Put a foreign file of that size on the disk; gives its path."""
    path = Path(folder) / "foreign"
    path.write_bytes(bytes(megabytes << 20))
    return path
