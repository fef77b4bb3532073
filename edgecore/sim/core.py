"""A core daemon as people use it: `edgecore init`, `device add`, `run` and the control socket.

Everything goes through public doors; nothing of the daemon is imported.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp

from edgecore.sim.device import Credentials, Endpoint
from edgecore.sim.processes import Child, DemonstrationError, read_note, until, verb

Status = dict[str, Any]

# Seconds. A start takes about one; the rest is for a machine that does other things too.
START: Final = 30.0
STOP: Final = 15.0
# A status is cheap: whoever gets none within this many seconds asks again.
_ASK: Final = aiohttp.ClientTimeout(total=2.0)


class Core:
    """A core under one folder (`--dir`). `certificates` holds what `device add` handed out."""

    def __init__(self, folder: Path, certificates: Path, log: Path) -> None:
        self.folder = folder
        self.port = 0
        self._certificates = certificates
        self._log = log
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running daemon. Raises DemonstrationError when there is none."""
        if self._child is None:
            raise DemonstrationError("the core was not started")
        return self._child

    @property
    def control_socket(self) -> Path:
        """Where operators ask."""
        return self.folder / "run" / "control.sock"

    @property
    def endpoint(self) -> Endpoint:
        """Where devices connect."""
        return Endpoint("localhost", self.port)

    def credentials(self, name: str) -> Credentials:
        """What `device add NAME` wrote."""
        folder = self._certificates
        return Credentials(folder / f"{name}.cert.pem", folder / f"{name}.key.pem", folder / "ca.pem")

    async def initialise(self, thing: str, *cloud: str) -> None:
        """`edgecore init`, with the `--cloud...` options given."""
        await verb("init", "--dir", str(self.folder), "--thing", thing, *cloud)

    async def configure(self, settings: str) -> None:
        """Add sections to its edgecore.toml, as with an editor."""
        file = self.folder / "edgecore.toml"
        written = await asyncio.to_thread(file.read_text)
        await asyncio.to_thread(file.write_text, f"{written}\n{settings}")

    async def add_devices(self, names: Iterable[str]) -> None:
        """`edgecore device add` for each, as many at a time as there are processors."""
        places = asyncio.Semaphore(os.cpu_count() or 1)

        async def add(name: str) -> None:
            async with places:
                out = str(self._certificates)
                await verb("device", "add", name, "--dir", str(self.folder), "--out", out)

        async with asyncio.TaskGroup() as group:
            for name in names:
                group.create_task(add(name))

    async def start(self, group: Path | None, *options: str) -> None:
        """`edgecore run`, on the port it had before; returns when devices can connect."""
        arguments = ["run", "--dir", str(self.folder), "--mqtt-port", str(self.port), *options]
        if group is not None:
            arguments += ["--group", str(group)]
        child = await Child.start("the core", self._log, *arguments)
        self._child = child
        self.port = await until("the core's MQTT port", START, lambda: self._look_for_port(child), child)

    async def _look_for_port(self, child: Child) -> int | None:
        """The port, once this very daemon (not one before it) says that it listens."""
        ports = await asyncio.to_thread(read_note, self.folder / "run" / "ports.json")
        return ports["mqtt"] if ports is not None and ports["pid"] == child.pid else None

    async def status(self) -> Status | None:
        """What the control socket says; None when nobody answers."""
        connector = aiohttp.UnixConnector(path=str(self.control_socket))
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_ASK) as session,
                session.get("http://core/status") as response,
            ):
                answer: Status = await response.json()
                return answer
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def stop(self) -> int:
        """End the daemon in order; gives its exit code."""
        return await self.child.stop(STOP) if self._child is not None else 0
