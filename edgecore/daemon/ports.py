"""run/ports.json: which ports this core listens on, for whoever asked for any free one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from edgecore.base.interfaces import Ready


class Door(Protocol):
    """A service that listens for devices."""

    @property
    def ports(self) -> Mapping[str, int]:
        """The ports that it is bound to, by name, once it is ready."""
        ...

    async def run(self, ready: Ready) -> None:
        """Listen until cancelled."""
        ...

    def status(self) -> Mapping[str, object]:
        """What it says of itself."""
        ...


class Announced:
    """A door whose ports stand in the file at `path` exactly while it is open."""

    def __init__(self, door: Door, path: Path) -> None:
        self._door = door
        self._path = path

    async def run(self, ready: Ready) -> None:
        """Run the door; ready once its ports can be read."""
        bound = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                opened = group.create_task(self._door.run(bound.set))
                await bound.wait()
                await asyncio.to_thread(_write, self._path, {**self._door.ports, "pid": os.getpid()})
                ready()
                await opened
        finally:
            await asyncio.to_thread(self._path.unlink, missing_ok=True)

    def status(self) -> Mapping[str, object]:
        """The door's own."""
        return self._door.status()


def _write(path: Path, ports: Mapping[str, int]) -> None:
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(ports) + "\n")
    fresh.replace(path)
