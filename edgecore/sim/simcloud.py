"""The simulated cloud as a process of its own: `edgecore sim cloud`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edgecore.sim.device import Credentials, Endpoint
from edgecore.sim.processes import Child, read_note, until

# Seconds.
_START: Final = 20.0
_STOP: Final = 10.0


class SimulatedCloud:
    """`edgecore sim cloud` in `folder`, with certificates for `things`."""

    def __init__(self, folder: Path, log: Path, things: Iterable[str]) -> None:
        self.endpoint = Endpoint("localhost", 0)
        self._folder = folder
        self._log = log
        self._things = ",".join(things)
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it; returns when it listens."""
        options = ["--dir", str(self._folder), "--port", "0", "--things", self._things]
        child = await Child.start("the simulated cloud", self._log, "sim", "cloud", *options)
        self._child = child
        self.endpoint = await until("the simulated cloud's port", _START, lambda: self._look(child), child)

    async def _look(self, child: Child) -> Endpoint | None:
        """Where it listens, once the file that says so is this very process's."""
        note = await asyncio.to_thread(read_note, self._folder / "cloud.json")
        return Endpoint("localhost", note["port"]) if note is not None and note["pid"] == child.pid else None

    def credentials(self, thing: str) -> Credentials:
        """The certificate of one of the things."""
        stem = self._folder / "things" / thing
        return Credentials(
            stem.with_name(f"{thing}.cert.pem"), stem.with_name(f"{thing}.key.pem"), self._folder / "ca.pem"
        )

    def options_for(self, port: int) -> tuple[str, ...]:
        """The `--cloud...` options of `edgecore init`, to reach it through `port`."""
        files = ("core.cert.pem", "core.key.pem", "ca.pem")
        certificate, key, authority = (str(self._folder / name) for name in files)
        where = ("--cloud", f"localhost:{port}")
        return (*where, "--cloud-cert", certificate, "--cloud-key", key, "--cloud-ca", authority)

    async def stop(self) -> None:
        """End it."""
        if self._child is not None:
            await self._child.stop(_STOP)
