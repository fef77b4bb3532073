"""Drives a core under strace with one request at a time, for `order.judge`.

Each request has a durable target: a session that is away, a retained message, the outbox of a cloud that
cannot be reached.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from dataclasses import dataclass

from edgecore.mqtt import packets as p
from edgecore.sim.pki import ThrowawayAuthority
from tests.crash import order, strace
from tests.crash.brokers import ROLES, SETTINGS, Edgecore
from tests.crash.client import WITHIN, Link, persistent

GROUP = """
[group]
name = "one-by-one"

[devices.pub]

[devices.sub]

[[routes]]
from = "device:pub"
topic = ["m/#", "r/#", "n/#"]
to = "device:sub"

[[routes]]
from = "device:pub"
topic = "c/#"
to = "cloud"
"""
# Bytes of a write that strace shows: SQLite writes one page of 4,096 at a time.
SHOWN = 8192
# What is published, in turn: (topic, QoS, retain).
KINDS = (
    ("m/1", 1, False),
    ("r/1", 1, True),
    ("c/1", 1, False),
    ("m/2", 2, False),
    ("r/2", 2, True),
)
# Nobody is there to keep it: it is acknowledged at once, which the checker must see.
KEPT_BY_NOBODY = (("n/1", 1, False),)


@dataclass
class Run:
    """What one run under strace gave: a Finding, and how long the requests took."""

    finding: order.Finding
    seconds: float


async def prepare(folder):
    """A core with an unreachable cloud, under strace, and a session that is away."""
    cloud = await asyncio.to_thread(_unreachable_cloud, folder / "cloud")
    core = Edgecore(folder)
    await core.prepare(GROUP, SETTINGS, ROLES, cloud)
    await core.start()
    link = await Link.open(core.door("sub"), persistent("away", p.V5))
    link.send(p.Subscribe(1, [p.SubscriptionOptions("m/#", 2)]))
    assert (await link.read())[0].reason_codes == [2]
    await link.goodbye()
    await core.stop()
    return core


def _unreachable_cloud(folder):
    """The `--cloud` options of `edgecore init` for a place where nothing listens."""
    now = dt.datetime.now(dt.UTC)
    authority = ThrowawayAuthority.load_or_create(folder, now)
    ours = authority.client("core", "crash-core", now)
    options = ["--cloud", "localhost:1"]
    for name, file in (("cert", ours.certificate), ("key", ours.key), ("ca", authority.ca)):
        options += [f"--cloud-{name}", str(file)]
    return options


async def run(core, number, messages, kinds=KINDS):
    """Publish that many messages to the core under strace, one by one, and judge. `number`: of the run."""
    file = core.folder / "trace"
    core.under = strace.command(file, order.TRACED, SHOWN)
    await core.start()
    try:
        link = await Link.open(core.door("pub"), persistent("publisher", p.V5 if number % 2 else p.V311))
        since = time.time()
        marks = []
        for each in range(messages):
            marks += await _publish(link, kinds[each % len(kinds)], b"<message %d of %d>" % (each, number))
        until = time.time()
        await link.goodbye()
    finally:
        code = await core.stop()
    assert code == 0, core.log.read_text()[-2000:]
    calls = await asyncio.to_thread(strace.read, file)
    finding = order.judge(calls, link.address, _of_store, marks, since, until)
    file.unlink()
    return Run(finding, until - since)


def _of_store(path):
    return path.endswith((".sqlite", ".sqlite-wal"))


async def _publish(link, kind, payload):
    """Publish and wait for each answer; gives what each must be covered by (None: by nothing)."""
    topic, qos, retain = kind
    link.send(p.Publish(topic, payload, qos, retain, False, 1))
    await _answer(link, p.PubAck if qos == 1 else p.PubRec)
    if qos == 1:
        return [payload]
    link.send(p.PubRel(1))
    await _answer(link, p.PubComp)
    return [payload, None]


async def _answer(link, expected):
    async with asyncio.timeout(WITHIN):
        found = await link.read()
    assert len(found) == 1, found
    assert isinstance(found[0], expected), found
    assert found[0].reason_code == 0, found
