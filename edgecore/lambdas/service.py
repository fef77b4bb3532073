"""The function runtime as a service: one task per function, attached to its route target."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random as chance
import secrets
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from edgecore.base.clock import Clock
from edgecore.base.errors import FunctionError
from edgecore.base.group import FunctionSpec
from edgecore.base.interfaces import Bus, CloudCredentials, Ready
from edgecore.lambdas.credentials import CredentialsDoor
from edgecore.lambdas.function import Function
from edgecore.lambdas.process import Program, program
from edgecore.lambdas.settings import LambdasSettings
from edgecore.store import Database

log = logging.getLogger(__name__)


class FunctionsService:
    """Runs the functions of a group. `root`: the folder that their sources are relative to.

    Each function gets a scratch folder of its own in `run_dir`, as TMPDIR; its working directory is its
    source, which it must not write.
    """

    def __init__(
        self,
        settings: LambdasSettings,
        functions: Mapping[str, FunctionSpec],
        root: Path,
        bus: Bus,
        db: Database,
        clock: Clock,
        run_dir: Path,
        random: Callable[[], float] = chance.random,
        credentials: CloudCredentials | None = None,
    ) -> None:
        self._settings = settings
        self._specs = functions
        self._root = root
        self._bus = bus
        self._db = db
        self._clock = clock
        self._run_dir = run_dir
        self._random = random
        self._functions: dict[str, Function] = {}
        wanting = [name for name, spec in functions.items() if spec.credentials]
        self._door = CredentialsDoor(credentials, secrets.token_urlsafe) if credentials and wanting else None
        if wanting and credentials is None:
            log.warning("%s: no AWS credentials: [cloud] role_alias is not set", ", ".join(wanting))

    async def run(self, ready: Ready) -> None:
        """Run until cancelled. Ready once events can be queued; never waits for user code."""
        async with contextlib.AsyncExitStack() as opened:
            if self._door is not None:
                await opened.enter_async_context(self._door.open())
            await self._run(ready)

    async def _run(self, ready: Ready) -> None:
        run = uuid.uuid4().int >> 64
        places = await asyncio.to_thread(self._prepare, self._environments())
        self._functions = {
            name: self._function(spec, *places[name], run) for name, spec in self._specs.items()
        }
        for function in self._functions.values():
            await function.open()
        with contextlib.ExitStack() as attached:
            for name, function in self._functions.items():
                target = f"function:{name}"
                self._bus.attach(target, function.intake)
                attached.callback(self._bus.detach, target, function.intake)
            async with asyncio.TaskGroup() as tasks:
                for name, function in self._functions.items():
                    tasks.create_task(function.run(), name=f"function:{name}")
                ready()
                if not self._functions:
                    await asyncio.get_running_loop().create_future()

    def status(self) -> dict[str, object]:
        """Each function's state, counts and last error."""
        functions = {name: function.status() for name, function in self._functions.items()}
        return {"functions": functions, **({"credentials": self._door.status()} if self._door else {})}

    async def invoke(self, name: str, payload: bytes) -> bytes:
        """Call a function and give its result as JSON (`null` for None), or the bytes that it returned.

        Raises FunctionError when it fails or does not exist, RefusedError when too many calls wait.
        """
        function = self._functions.get(name)
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise FunctionError(f"no function {name!r}; known: {known}", "ResourceNotFound")
        return await function.intake.invoke(payload)

    def _function(self, spec: FunctionSpec, folder: Path, program: Program, run: int) -> Function:
        return Function(
            spec,
            folder,
            program,
            self._settings,
            self._bus,
            self._db,
            self._clock,
            self._random,
            run,
        )

    def _environments(self) -> dict[str, dict[str, str]]:
        """What each function finds in its environment of this run."""
        door = self._door
        return {
            name: door.environment(name) if door and spec.credentials else {}
            for name, spec in self._specs.items()
        }

    def _prepare(self, environments: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[Path, Program]]:
        """Make the scratch folders; gives where each function's code is and how it is run."""
        places = {}
        for name, spec in self._specs.items():
            scratch = self._run_dir / "functions" / name
            scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = (self._root / spec.source).resolve()
            places[name] = folder, program(spec, folder, scratch, environments[name])
        return places
