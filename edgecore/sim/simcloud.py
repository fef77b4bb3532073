"""The simulated cloud as a process of its own: `edgecore sim cloud`, and its control door for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from edgecore.base.errors import EdgecoreError
from edgecore.sim.device import Credentials, Endpoint
from edgecore.sim.processes import Child, read_note, until

# Seconds.
_START: Final = 20.0
_STOP: Final = 10.0


class CloudControl:
    """Breaks and steers the simulated cloud that runs in `folder`, through its control door.

    Every method raises EdgecoreError with the cloud's own words for what it refuses.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "control.sock"

    async def status(self) -> dict[str, Any]:
        """Counts, and the faults that are on."""
        return await self._ask("GET", "/status")

    async def fault(self, name: str, value: float | str | None = None) -> None:
        """Put a fault on: see `edgecore sim cloud fault --help`."""
        await self._ask("POST", f"/faults/{name}", {} if value is None else {"value": str(value)})

    async def heal(self, name: str | None = None) -> None:
        """Take a fault off, or all of them."""
        await self._ask("POST", f"/faults/{name}/off" if name else "/faults/off")

    async def backup(self) -> None:
        """Keep the shadows as they are now."""
        await self._ask("POST", "/backup")

    async def restore(self) -> None:
        """Put back the shadows of the backup, with the versions of then."""
        await self._ask("POST", "/restore")

    async def read_policies(self) -> None:
        """Take policies and things as their files have them now."""
        await self._ask("POST", "/account")

    async def create_job(self, job_id: str, document: dict[str, Any], things: Iterable[str]) -> None:
        """A new job for `things`."""
        body = {"document": document, "things": list(things)}
        await self._ask("POST", f"/jobs/{quote(job_id, '')}", body)

    async def job(self, job_id: str) -> dict[str, Any]:
        """A job and the state of each of its executions."""
        return await self._ask("GET", f"/jobs/{quote(job_id, '')}")

    async def cancel_job(self, job_id: str, *, force: bool = False) -> None:
        """Cancel what is queued, and with `force` what runs."""
        await self._ask("POST", f"/jobs/{quote(job_id, '')}/cancel", {"force": force})

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        connector = aiohttp.UnixConnector(str(self._path))
        try:
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.request(method, f"http://cloud{path}", json=body) as response,
            ):
                answer: dict[str, Any] = json.loads(await response.text())
        except aiohttp.ClientError as error:
            raise EdgecoreError(f"{self._path}: no simulated cloud answers there ({error})") from error
        if response.status != 200:
            raise EdgecoreError(str(answer["error"]))
        return answer


class SimulatedCloud:
    """`edgecore sim cloud` in `folder`, with certificates for `things`; `options` are more of its own."""

    def __init__(self, folder: Path, log: Path, things: Iterable[str], options: Iterable[str] = ()) -> None:
        self.endpoint = Endpoint("localhost", 0)
        self.https = Endpoint("localhost", 0)
        self.control = CloudControl(folder)
        self._options = tuple(options)
        self._folder = folder
        self._log = log
        self._things = ",".join(things)
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it; returns when it listens."""
        options = ["--dir", str(self._folder), "--port", "0", "--things", self._things, *self._options]
        child = await Child.start("the simulated cloud", self._log, "sim", "cloud", *options)
        self._child = child
        self.endpoint = await until("the simulated cloud's port", _START, lambda: self._look(child), child)

    async def _look(self, child: Child) -> Endpoint | None:
        """Where it listens, once the file that says so is this very process's."""
        note = await asyncio.to_thread(read_note, self._folder / "cloud.json")
        if note is None or note["pid"] != child.pid:
            return None
        self.https = Endpoint("localhost", note["https_port"])
        return Endpoint("localhost", note["port"])

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
