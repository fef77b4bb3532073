"""One camera from its source to its messages, at its pace.

Frames are due at a steady pace from the first one; a late frame is looked at at once, and none is left out.
Reading and inference happen in the camera's thread; everything else here runs on the loop.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from edgecore.base.clock import Clock
from edgecore.base.errors import EdgecoreError, UnavailableError
from edgecore.base.group import CameraSpec
from edgecore.base.identity import camera as camera_principal
from edgecore.base.interfaces import Bus
from edgecore.inference import messages
from edgecore.inference.blocking import CameraThread
from edgecore.inference.publisher import Publisher
from edgecore.inference.settings import InferenceSettings

if TYPE_CHECKING:
    from edgecore.inference.detection import Result
    from edgecore.inference.opening import Opened

AVERAGE_OVER = 50
"""Frames over which the shown times are averaged: five seconds."""


class Camera:
    """The task of one camera, and what is known of it."""

    def __init__(
        self, spec: CameraSpec, settings: InferenceSettings, root: Path, bus: Bus, clock: Clock
    ) -> None:
        self.name = spec.name
        self._spec, self._settings, self._root, self._clock = spec, settings, root, clock
        self._publisher = Publisher(spec, camera_principal(spec.name), bus, settings.in_flight)
        self._state, self._reason = "starting", ""
        self._first: int | None = None
        self._frame: int | None = None
        self._frames = self._events = 0
        self._behind = self._infer = self._total = 0.0

    async def run(self) -> None:
        """Look at every frame until the source ends or the task is cancelled. Raises what broke it."""
        async with CameraThread(self.name) as thread:
            opened = await thread.call(self._open)
            try:
                await self._look(thread, opened)
            finally:
                thread.later(opened.source.close)
        self._enter("ended")

    def broke(self, error: Exception) -> None:
        """Say that this camera is broken, and why."""
        named = isinstance(error, EdgecoreError)
        self._enter("broken", str(error) if named else f"{type(error).__name__}: {error}")

    def status(self) -> dict[str, object]:
        """State, reason, frame numbers, seconds behind its pace, mean times in ms, and message counts."""
        return {
            "state": self._state,
            "reason": self._reason,
            "first_frame": self._first,
            "frame": self._frame,
            "frames": self._frames,
            "crossings": self._events,
            "behind": round(self._behind, 3),
            "infer_ms": round(self._infer * 1000, 3),
            "frame_ms": round(self._total * 1000, 3),
            **self._publisher.status(),
        }

    def _open(self) -> Opened:
        try:
            from edgecore.inference.opening import open_camera  # noqa: PLC0415  optional extra
        except ImportError as error:
            cure = "install the optional extra: pip install 'edgecore[vision]'"
            raise UnavailableError(f"camera {self.name} needs numpy ({error}): {cure}") from error
        return open_camera(self._spec, self._settings, self._root, self._clock)

    async def _look(self, thread: CameraThread, opened: Opened) -> None:
        self._first = opened.source.first
        self._enter("running")
        due = opened.began + opened.source.delay
        while True:
            await self._publisher.room()
            await self._until(due)
            result = await thread.call(opened.step)
            if result is None:
                break
            self._take(result)
            self._publish(result, opened)
            due += opened.source.period
        if self._frame is not None:
            self._publish_counts(self._frame, self._clock.now(), opened)

    async def _until(self, due: float) -> None:
        """Wait until a frame is due. Sleeps at least once, so that a camera that is behind starves nobody."""
        now = self._clock.monotonic()
        self._behind = max(0.0, now - due)
        await asyncio.sleep(max(0.0, due - now))

    def _take(self, result: Result) -> None:
        self._frame = result.frame
        self._frames += 1
        self._events += len(result.crossings)
        share = 1 / min(self._frames, AVERAGE_OVER)
        self._infer += share * (result.infer_seconds - self._infer)
        self._total += share * (result.total_seconds - self._total)

    def _publish(self, result: Result, opened: Opened) -> None:
        for crossing in result.crossings:
            self._publisher.publish("events", messages.event(self.name, result.captured_at, crossing))
        self._publisher.publish("detections", messages.detections(self.name, result))
        if self._frames % self._spec.counts_every == 0:
            self._publish_counts(result.frame, result.captured_at, opened)

    def _publish_counts(self, frame: int, at: float, opened: Opened) -> None:
        counted = opened.pipeline.counts
        self._publisher.publish("counts", messages.counts(self.name, opened.source.first, frame, at, counted))

    def _enter(self, state: str, reason: str = "") -> None:
        self._state, self._reason = state, reason
        said = messages.status(self.name, state, reason, self._first, self._frame, self._clock.now())
        self._publisher.publish("status", said)
