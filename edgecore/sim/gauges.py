"""What is looked at again and again while the junction runs: status, shadows, rates.

It only looks. The snapshot for the live summary is put together here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from edgecore.sim import status as read
from edgecore.sim.core import Status
from edgecore.sim.snapshot import CameraView, ControllerView, Snapshot
from edgecore.sim.stage import Stage
from edgecore.sim.tally import difference

# Seconds between two looks at the core's status, and at all shadows.
_LOOK: Final = 0.25
_SHADOWS_EVERY: Final = 1.0
# Seconds that a copy of a shadow may take to come.
_SHADOW: Final = 5.0
# Looks that rates are taken over, and that the sparklines remember.
_WINDOW: Final = 8
HISTORY: Final = 60


class Gauges:
    """The newest values, and their short history.

    `peak`: the deepest outbox since it was last set. `drained`: whether it was seen empty since it
    was last set to False. `differing`: why each thing's shadow did not agree at the last look.
    `converged`: things whose shadow agreed at some look since it was last emptied.
    """

    def __init__(self, stage: Stage) -> None:
        self.status: Status | None = None
        self.peak = 0
        self.drained = False
        self.converged: set[str] = set()
        self.differing: dict[str, str] = {
            controller.thing: "not looked at" for controller in stage.fleet.controllers
        }
        self.outbox: deque[int] = deque([0] * HISTORY, HISTORY)
        self.rates: deque[float] = deque([0.0] * HISTORY, HISTORY)
        self._stage = stage
        self._loop = asyncio.get_running_loop()
        self._samples: deque[tuple[float, int, dict[str, int]]] = deque(maxlen=_WINDOW)

    async def look(self) -> None:
        """Look at status and rates until cancelled."""
        while True:
            self.status = await self._stage.core.status()
            depth = read.outbox_depth(self.status)
            if depth is not None:
                self.peak = max(self.peak, depth)
                self.drained = self.drained or depth == 0
            self.outbox.append(self.outbox[-1] if depth is None else depth)
            self._sample()
            await asyncio.sleep(_LOOK)

    async def look_at_shadows(self) -> None:
        """Compare both copies of every controller's shadow until cancelled."""
        while True:
            await self.compare_shadows()
            await asyncio.sleep(_SHADOWS_EVERY)

    async def compare_shadows(self) -> None:
        """Compare them once."""
        things = [controller.thing for controller in self._stage.fleet.controllers]
        reasons = await asyncio.gather(*map(self._difference, range(len(things))))
        self.differing = dict(zip(things, reasons, strict=True))
        self.converged |= {thing for thing, reason in self.differing.items() if not reason}

    async def _difference(self, index: int) -> str:
        controller = self._stage.fleet.controllers[index]
        try:
            local, cloud = await asyncio.gather(
                controller.shadow(_SHADOW), self._stage.observer.shadow(controller.thing, _SHADOW)
            )
        except TimeoutError:
            return "no answer"
        return difference(local, cloud)

    def _sample(self) -> None:
        frames = {topic: record.frame for topic, record in self._stage.watch.cameras.items()}
        self._samples.append((self._loop.time(), self.acknowledged, frames))
        (start, before, _), (end, after, _) = self._samples[0], self._samples[-1]
        self.rates.append((after - before) / (end - start) if end > start else 0.0)

    @property
    def acknowledged(self) -> int:
        """Readings that the core has acknowledged."""
        return sum(len(sensor.acknowledged) for sensor in self._stage.fleet.sensors)

    def frame_rate(self, topic: str) -> float:
        """Frames a second of a camera."""
        if len(self._samples) < 2:
            return 0.0
        (start, _, before), (end, _, after) = self._samples[0], self._samples[-1]
        # After a restart numbers have jumped; that is no rate.
        return (after[topic] - before[topic]) / (end - start)

    def snapshot(self, phase: str, seconds: float, remaining: float | None, notes: Sequence[str]) -> Snapshot:
        """All values of the moment."""
        stage, arrived = self._stage, self._stage.observer.telemetry
        return Snapshot(
            phase=phase,
            seconds=seconds,
            remaining=remaining,
            devices=len(stage.fleet.devices),
            connected=sum(device.connected for device in stage.fleet.devices),
            published=sum(sensor.published for sensor in stage.fleet.sensors),
            acknowledged=self.acknowledged,
            arrived=sum(map(len, arrived.arrived.values())),
            duplicates=arrived.duplicates,
            outbox=read.outbox_depth(self.status),
            outbox_history=tuple(self.outbox),
            rates=tuple(self.rates),
            cloud_connected=read.cloud_connected(self.status),
            cameras=self._cameras(),
            controllers=self._controllers(),
            timing=stage.observer.timing,
            timings=stage.observer.timings,
            units=read.states(self.status),
            restarts=read.restarts(self.status),
            notes=tuple(notes),
        )

    def _cameras(self) -> tuple[CameraView, ...]:
        records = self._stage.watch.cameras
        return tuple(
            CameraView(
                name=camera.name,
                frame=records[camera.topic].frame,
                rate=self.frame_rate(camera.topic),
                infer_ms=records[camera.topic].infer_ms,
                objects=records[camera.topic].objects,
                lines=camera.lines,
                counts=records[camera.topic].counts,
            )
            for camera in self._stage.group.cameras.values()
        )

    def _controllers(self) -> tuple[ControllerView, ...]:
        return tuple(
            ControllerView(one.thing, one.applied, not self.differing[one.thing])
            for one in self._stage.fleet.controllers
        )
