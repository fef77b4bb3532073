"""A traffic junction on one machine: lets it flow, cuts and kills in the middle, settles, compares.

What stands on the stage is stage.py's, the judgement tally.py's, how it looks summary.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.group import CameraSpec
from edgecore.sim import status as read
from edgecore.sim.crossings import TOLERANCE, Comparison, Interval, compare
from edgecore.sim.gauges import Gauges
from edgecore.sim.observer import CrossingRecord
from edgecore.sim.snapshot import Snapshot
from edgecore.sim.stage import CONNECT, Plan, Stage, Tell, running, staged
from edgecore.sim.tally import Camera, Kill, Outage, Shadows, Tallies, tally_messages
from edgecore.sim.truth import true_crossings

# Seconds; deadlines that only a fault reaches. A backlog of an outage drains within a few.
_SETTLE: Final = 60.0
# Seconds between two looks while settling.
_LOOK: Final = 0.2
# Without an end, cut and kill come after this many seconds.
_MIDDLE: Final = 10.0
_NOTES: Final = 5


class Junction:
    """One run. `tell` gets a line for each thing that begins or happens."""

    def __init__(self, plan: Plan, root: Path, clock: Clock, tell: Tell) -> None:
        self._plan = plan
        self._root = root
        self._clock = clock
        self._tell = tell
        self._phase = "starting"
        self._notes: deque[str] = deque(maxlen=_NOTES)
        self._gauges: Gauges | None = None
        self._last: Snapshot | None = None
        self._began = 0.0
        self._outage: Outage | None = None
        self._down: Kill | None = None
        self._faults: list[str] = []

    @property
    def started(self) -> bool:
        """Whether everything is connected, so that there is something to compare."""
        return self._gauges is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened last."""
        return tuple(self._notes)

    def snapshot(self) -> Snapshot | None:
        """All values of the moment, None until everything is connected."""
        if self._gauges is None:
            return None
        if self._last is not None:
            return dataclasses.replace(self._last, phase=self._phase)
        seconds = self._seconds()
        duration = self._plan.duration
        remaining = None if duration is None else max(0.0, duration - seconds)
        return self._gauges.snapshot(self._phase, seconds, remaining, self.notes)

    async def run(self, stop: asyncio.Event) -> Tallies:
        """Start, flow until the time is over or `stop` is set, settle, compare, end everything.

        Raises EdgecoreError when something cannot start or go on, TimeoutError when it does not in time.
        """
        async with staged(self._plan, self._root, self._clock, self._say) as stage:
            gauges = Gauges(stage)
            self._began = self._clock.monotonic()
            self._gauges = gauges
            async with running(gauges.look(), gauges.look_at_shadows()):
                await self._flow(stage, gauges, stop)
                seconds = self._seconds()
                intervals = await self._settle(stage, gauges)
            await self._end(stage)
            return await asyncio.to_thread(self._tallies, stage, gauges, seconds, intervals)

    def _seconds(self) -> float:
        """Since everything was connected."""
        return self._clock.monotonic() - self._began

    def _say(self, line: str) -> None:
        self._notes.append(line)
        self._tell(line)

    async def _flow(self, stage: Stage, gauges: Gauges, stop: asyncio.Event) -> None:
        """Let sensors measure, and do to the junction what the plan says."""
        self._phase = "running"
        self._say("running" if self._plan.duration else "running until Ctrl-C")
        async with running(stage.fleet.measure()):
            if not await self._until(self._middle(), stop):
                if self._plan.outage:
                    await self._cut(stage, gauges, stop)
                if self._plan.kill:
                    await self._kill(stage)
                await self._until(self._plan.duration, stop)

    def _middle(self) -> float | None:
        """When to cut or kill, in seconds from the beginning; None when neither is planned."""
        plan = self._plan
        if not plan.outage and not plan.kill:
            return plan.duration
        return _MIDDLE if plan.duration is None else max(0.0, (plan.duration - plan.outage) / 2)

    async def _until(self, seconds: float | None, stop: asyncio.Event) -> bool:
        """Wait for that second of the run, or until told to stop; whether told."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if seconds is None else max(0.0, seconds - self._seconds())):
                await stop.wait()
        return stop.is_set()

    async def _cut(self, stage: Stage, gauges: Gauges, stop: asyncio.Event) -> None:
        """Cut the link to the cloud for a while."""
        began = self._seconds()
        before, gauges.peak = gauges.outbox[-1], 0
        self._say(f"cutting the link to the cloud for {self._plan.outage:g} s")
        self._phase = "cloud outage"
        stage.proxy.cut()
        try:
            await self._until(began + self._plan.outage, stop)
        finally:
            stage.proxy.restore()
        self._outage = Outage(round(self._seconds() - began, 1), before, gauges.peak)
        self._say(f"the link is back; {gauges.peak} messages wait in the outbox")
        self._phase = "running"

    async def _kill(self, stage: Stage) -> None:
        """Kill the daemon without warning, start it again on the same folder and port."""
        began = self._seconds()
        self._phase = "core killed"
        self._say(f"killing the core, process {stage.core.child.pid}, with SIGKILL")
        await stage.core.child.kill()
        await stage.start_core()
        await stage.fleet.until_connected(CONNECT)
        self._down = Kill(round(self._seconds() - began, 1))
        self._say(f"the core is back after {self._down.down_seconds:g} s")
        self._phase = "running"

    async def _settle(self, stage: Stage, gauges: Gauges) -> dict[str, tuple[Interval, ...]]:
        """Wait until everything has come to rest, or the deadline. Gives the frames to compare.

        The camera goes on meanwhile; the frames are those of the moment when the sensors fell silent.
        """
        self._phase = "settling"
        self._say("settling: waiting for acknowledgements, outbox and shadows")
        starts = 2 if self._down else 1
        due = self._seconds() + _SETTLE
        await self._wait(due, stage, lambda: _looked_long_enough(stage, starts))
        intervals = {topic: record.intervals for topic, record in stage.watch.cameras.items()}
        gauges.drained, gauges.converged = False, set()
        await self._wait(due, stage, lambda: _at_rest(stage, gauges))
        return intervals

    async def _wait(self, due: float, stage: Stage, done: Callable[[], bool]) -> None:
        """Wait until `done()` or that second of the run; what is not done then, the tallies tell."""
        while not done() and self._seconds() < due:
            await stage.core.child.check()
            await asyncio.sleep(_LOOK)

    async def _end(self, stage: Stage) -> None:
        """End the daemon in order, and note whatever should not have been."""
        self._last = self.snapshot()
        self._phase = "ending"
        status = await stage.core.status()
        self._faults += read.unit_faults(status)
        self._faults += read.camera_faults(status)
        if stage.observer.device.connects > 1:
            self._faults.append("the observer lost its connection to the simulated cloud")
        if stage.watch.dropped:
            self._faults.append(f"the watch on the cameras lost {stage.watch.dropped} messages")
        if code := await stage.core.stop():
            words = await stage.core.child.last_words()
            self._faults.append(f"the core ended with exit code {code}: {words}")

    def _tallies(
        self, stage: Stage, gauges: Gauges, seconds: float, intervals: dict[str, tuple[Interval, ...]]
    ) -> Tallies:
        sensors, controllers = stage.fleet.sensors, stage.fleet.controllers
        arrived = stage.observer.telemetry
        rejections = [f"{one.thing}: {reason}" for one in controllers for reason in one.rejections]
        return Tallies(
            seconds=round(seconds, 1),
            seed=self._plan.seed or 0,
            devices=len(stage.fleet.devices),
            connects=sum(device.connects for device in stage.fleet.devices),
            messages=tally_messages(
                {sensor.source.thing: sensor.published for sensor in sensors},
                {sensor.source.thing: sensor.acknowledged for sensor in sensors},
                arrived.arrived,
                arrived.duplicates,
                arrived.altered,
            ),
            cameras={
                camera.name: _camera(camera, intervals[camera.topic], stage.observer.cameras[camera.topic])
                for camera in stage.group.cameras.values()
            },
            shadows=Shadows(
                things=len(controllers),
                converged=len(gauges.converged),
                deltas=sum(one.deltas for one in controllers),
                reports=sum(one.reports for one in controllers),
                differing={
                    one.thing: gauges.differing[one.thing]
                    for one in controllers
                    if one.thing not in gauges.converged
                },
            ),
            timings=stage.observer.timings,
            outbox=0 if gauges.drained else gauges.outbox[-1],
            outage=self._outage,
            kill=self._down,
            faults=(*self._faults, *rejections),
        )


def _looked_long_enough(stage: Stage, starts: int) -> bool:
    """Whether every camera has started that often, and has decided frames since."""
    records = stage.watch.cameras.values()
    return all(len(one.intervals) >= starts and one.intervals[-1].decided for one in records)


def _at_rest(stage: Stage, gauges: Gauges) -> bool:
    """Whether all is acknowledged, the outbox was seen empty since, and all shadows were seen equal."""
    if stage.fleet.outstanding:
        gauges.drained = False
    everything = len(gauges.converged) == len(stage.fleet.controllers)
    return gauges.drained and everything and not stage.fleet.outstanding


def _camera(camera: CameraSpec, intervals: tuple[Interval, ...], record: CrossingRecord) -> Camera:
    """Compare what arrived of a camera with what its scene shows."""
    kept = tuple(Interval(max(span.first, record.forgotten), span.last) for span in intervals)
    counted = [crossing for crossing, _ in record.crossings]
    if not kept:
        return Camera((), Comparison(0, len(counted)))
    last = max([kept[-1].last, *(crossing.frame for crossing in counted)])
    frames = Interval(max(0, kept[0].first - TOLERANCE), last + TOLERANCE)
    return Camera(kept, compare(true_crossings(camera, frames), counted, kept))
