"""Power cuts by replay: record what the core does to its folder, then start it from what a cut may leave.

The recording runs the real daemon under strace, with all clients of the kill rounds around it, over a kill
and a second start. Each client writes down with the time what happens to it. A cut is a line of the
trace: the disk holds what `image` says it may, and the clients remember what they had met before the next
line, so that everything acknowledged by then must be there.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import time
from dataclasses import dataclass

from edgecore.sim.processes import DemonstrationError
from tests.crash import image, strace
from tests.crash.brokers import ROLES, Edgecore
from tests.crash.client import ConnectionLostError, Link, RefusedError, persistent
from tests.crash.cloud import Cloud, Watcher
from tests.crash.crowd import DRAINED, Crowd
from tests.crash.house import House
from tests.crash.trace import TraceError

# Seconds.
LOAD = 0.8
# More than any one write.
SHOWN = 1 << 24
# A device that is made while the recording runs, and one that is revoked.
LATE, GONE = "late", "gone"


@dataclass
class Recording:
    """What was recorded: the beginning, the calls, and what the clients met (time, client, method, arguments).

    `devices`: (time, name, whether it may connect) of what `edgecore device` had reported.
    """

    core: Edgecore
    cloud: Cloud
    root: str
    base: dict
    calls: list
    journal: list
    devices: list


def ignored(path):
    """Not kept over a power cut (`run`), or not written by calls (`-shm`)."""
    return path.startswith("run/") or path.endswith("-shm")


def files_in(folder):
    """The files that a recording follows: path -> bytes."""
    found = {}
    for path in folder.rglob("*"):
        relative = str(path.relative_to(folder))
        if path.is_file() and not ignored(relative):
            found[relative] = path.read_bytes()
    return found


async def record(folder, seed, load=LOAD):
    """Play under strace, with `load` seconds of load before a kill and after it.

    Raises TraceError when the calls do not explain the files that are there at the end.
    """
    core, journal, rng = Edgecore(folder), [], random.Random(f"{seed}")
    cloud = Cloud(folder / "cloud")
    await core.prepare(devices=(*ROLES, GONE), cloud=await cloud.prepare())
    root = core.core.folder
    base = files_in(root)
    house = House(cloud=True, journal=lambda *event: journal.append((time.time(), *event)))
    crowd = Crowd(core, house, rng)
    core.under = strace.command(folder / "trace-0", image.TRACED, SHOWN)
    await core.start()
    await crowd.arrive()
    await _play(crowd, "one", load)
    await core.add_device(LATE)
    devices = [(time.time(), LATE, True)]
    await crowd.drained()
    await crowd.kill()
    core.under = strace.command(folder / "trace-1", image.TRACED, SHOWN)
    await core.start()
    await crowd.connect_publishers()
    await _play(crowd, "two", load)
    await core.revoke_device(GONE)
    devices.append((time.time(), GONE, False))
    await crowd.drained()
    await crowd.part()
    assert await crowd.end() == 0, core.log.read_text()[-2000:]
    calls = image.about(strace.read(folder / "trace-0", folder / "trace-1"), str(root))
    recording = Recording(core, cloud, str(root), base, calls, journal, devices)
    await asyncio.to_thread(_check, recording)
    return recording


async def _play(crowd, name, load):
    """Load, with everyone coming and going; in the end the last marks are out."""
    await crowd.slow_down()
    crowd.load()
    await asyncio.sleep(load / 2)
    await crowd.come(name)
    await asyncio.sleep(load / 2)
    crowd.rest()
    await crowd.settled()
    await crowd.connect_subscribers()
    crowd.mark()


def _check(recording):
    """The calls must explain the files: else something wrote that was not seen."""
    disk, replay = _replay(recording)
    replay.advance(replay.lines[-1])
    told, found = disk.now(), files_in(recording.core.core.folder)
    wrong = sorted(path for path in told.keys() | found.keys() if told.get(path) != found.get(path))
    if wrong:
        raise TraceError(f"the trace does not explain {', '.join(wrong)}")


def _replay(recording, **options):
    disk = image.Disk(recording.root, recording.base, ignored, **options)
    return disk, image.Replay(disk, recording.calls)


@dataclass
class Cut:
    """One power cut: after which line, how the unsynced was treated, how many changes it could drop."""

    line: int
    mode: str
    pending: int
    verdict: object
    seconds: float


async def end_on_a_disk_that_lies(recording, folder):
    """The control: at the end of the recording nothing is there of what was synced. Gives the Verdict."""
    disk, replay = _replay(recording, honest=False)
    replay.advance(replay.lines[-1])
    files = disk.after_a_cut(random.Random(1), "none")
    await recording.cloud.start()
    try:
        return await verify(recording, files, time.time(), random.Random(1), folder, patience=1.0)
    finally:
        await recording.cloud.stop()


async def cut_and_verify(recording, seed, number, folder):
    """Cut the power `number` times at random and start the core from each; gives the Cuts in turn."""
    rng = random.Random(f"{seed}/cuts")
    disk, replay = _replay(recording)
    lines = replay.lines
    await recording.cloud.start()
    try:
        for place in sorted(rng.randrange(len(lines)) for _ in range(number)):
            began, mode = time.monotonic(), rng.choice(image.MODES)
            replay.advance(lines[place])
            files = disk.after_a_cut(rng, mode)
            moment = replay.time_of(lines[place + 1]) if place + 1 < len(lines) else time.time()
            verdict = await verify(recording, files, moment, rng, folder)
            yield Cut(lines[place], mode, disk.pending, verdict, time.monotonic() - began)
    finally:
        await recording.cloud.stop()


async def verify(recording, files, moment, rng, folder, patience=DRAINED):
    """Start the core from `files` with the clients as they were at `moment`; gives the Verdict.

    `patience`: seconds for what must come.
    """
    house = House(cloud=True)
    for when, *event in recording.journal:
        if when >= moment:
            break
        house.play(*event)
    core = recording.core.copy(folder)
    await asyncio.to_thread(_write, files, core.core.folder, rng)
    crowd, watcher = Crowd(core, house, rng, min(patience, 5.0)), Watcher(house)
    await watcher.begin(recording.cloud.door())
    try:
        await core.start()
    except DemonstrationError as error:
        house.law.fault("not_started", str(error))
        await watcher.end()
        return house.law.close()
    try:
        await _recover(crowd, patience)
        await watcher.drained(patience)
        for when, name, known in recording.devices:
            if when < moment:
                await _check_device(crowd, name, known)
        for complaint in core.complaints():
            house.law.fault("complaint", complaint)
    finally:
        await crowd.hang_up()
        await core.kill()  # its end is not the subject, and an orderly one takes longer
        await watcher.end()
    shutil.rmtree(folder)
    return house.law.close()


async def _recover(crowd, patience):
    await crowd.check_retained()
    await crowd.connect_publishers()
    await crowd.settled()
    await crowd.connect_subscribers()
    crowd.mark()
    await crowd.drained(patience=patience)
    await crowd.check_retained()


async def _check_device(crowd, name, known):
    """What `edgecore device` had reported is so."""
    try:
        link = await Link.open(crowd.broker.door(name), persistent(name, 5))
        await link.close()
        found = True
    except (ConnectionLostError, RefusedError):
        found = False
    if found != known:
        crowd.house.law.fault("device", f"{name} may {'' if found else 'not '}connect")


def _write(files, folder, rng):
    """Put the files there, and beside each database an index that holds noise."""
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        if path.endswith("-wal"):
            place.with_name(place.name[: -len("wal")] + "shm").write_bytes(rng.randbytes(32_768))
