"""The inference service: one pipeline per camera, each in a task of its own. The only file with tasks.

A camera whose model, source or optional extra fails is marked broken with the reason, in `status()` and on
its status topic; the other cameras go on. Being broken ends with a deployment or a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from edgecore.base.clock import Clock
from edgecore.base.group import CameraSpec
from edgecore.base.interfaces import Bus, Ready
from edgecore.inference.camera import Camera
from edgecore.inference.settings import InferenceSettings

_log = logging.getLogger(__name__)


class InferenceService:
    """Looks at every camera of the group. `root` is the folder that models and sources are relative to."""

    def __init__(
        self,
        settings: InferenceSettings,
        cameras: Mapping[str, CameraSpec],
        root: Path,
        bus: Bus,
        clock: Clock,
    ) -> None:
        self._cameras = [Camera(spec, settings, root, bus, clock) for spec in cameras.values()]

    async def run(self, ready: Ready) -> None:
        """Run every camera until cancelled. Ready at once: it waits for no model and no camera."""
        async with asyncio.TaskGroup() as tasks:
            for camera in self._cameras:
                tasks.create_task(self._run(camera), name=f"camera:{camera.name}")
            ready()
            await asyncio.Event().wait()

    def status(self) -> dict[str, object]:
        """Each camera's state and figures."""
        return {"cameras": {camera.name: camera.status() for camera in self._cameras}}

    async def _run(self, camera: Camera) -> None:
        try:
            await camera.run()
        except Exception as error:  # noqa: BLE001  whatever a model, OpenCV or a driver raises ends this camera only
            _log.exception("camera %s is broken", camera.name)
            camera.broke(error)
