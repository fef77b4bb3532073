"""DeploymentsService: which group runs here. The only file of the room with a lifecycle.

At start it ends what a crash interrupted, then makes a deployment of the local group when it is another
one than before. The group that was active is there already: the daemon's assembly asked `restore`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from edgecore.base.clock import Clock, SystemClock
from edgecore.base.errors import ConfigError, DeploymentError
from edgecore.base.group import ActiveGroup, Group
from edgecore.base.interfaces import Ready, Units
from edgecore.deployments import artifacts, executor
from edgecore.deployments.executor import Executor
from edgecore.deployments.journal import Journal
from edgecore.deployments.manifest import group_folder, load_group
from edgecore.deployments.plan import decide
from edgecore.deployments.record import UNFINISHED, Deployment
from edgecore.deployments.settings import DeploymentsSettings
from edgecore.store import Database

_log = logging.getLogger(__name__)

# Seconds for which units that start later are held back, so that the listener meets the new group and
# turns no device away. A large group on a slow card may take longer: then they start without it.
_READY_AFTER: Final = 5.0


def check_local(place: Path, core_thing: str = "", settings: DeploymentsSettings | None = None) -> Group:
    """The group at `place`, when `edgecore run --group` may go on with it. Blocks.

    Raises ConfigError for a wrong file, DeploymentError for a folder that cannot be deployed.
    """
    group = load_group(place, core_thing)
    artifacts.scan(group_folder(place), settings or DeploymentsSettings())
    return group


async def restore(db: Database, artifacts_dir: Path) -> ActiveGroup:
    """The group that ran last, NO_GROUP when there was none: what the units start with."""
    journal = Journal(db)
    await journal.open()
    return await executor.restore(journal, artifacts_dir)


class DeploymentsService:
    """Deployments of this core. `local`: the folder that `run --group` named, or None."""

    def __init__(
        self,
        settings: DeploymentsSettings,
        db: Database,
        units: Units,
        artifacts_dir: Path,
        local: Path | None = None,
        *,
        force: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._journal = Journal(db)
        self._units = units
        self._artifacts = artifacts_dir
        self._local = local
        self._force = force
        self._executor = Executor(self._journal, units, artifacts_dir, settings, clock or SystemClock())
        self._active: Deployment | None = None
        self._last_failure = ""
        self._refused = ""
        self._history = 0
        self._busy = True

    async def run(self, ready: Ready) -> None:
        """Bring the wanted group up, then wait. Nothing else asks for deployments yet."""
        async with asyncio.TaskGroup() as tasks:
            start = tasks.create_task(self._start())
            await asyncio.wait({start}, timeout=_READY_AFTER)
            ready()
            await asyncio.Event().wait()

    def status(self) -> dict[str, object]:
        """Which deployment is active, what failed last, and why a local group was not taken.

        `state` is "activating" during a deployment, "active" with one, else "none".
        """
        active = self._active
        running = self._units.active()
        return {
            "state": "activating" if self._busy else "active" if active else "none",
            "active": active.number if active else 0,
            "origin": active.origin if active else "",
            "digest": active.digest if active else "",
            "group": running.group.name,
            "running": running.deployment,
            "history": self._history,
            "last_failure": self._last_failure,
            "refused": self._refused,
        }

    async def _start(self) -> None:
        self._busy = True
        try:
            await self._journal.open()
            await self._executor.finish()
            if self._local is not None:
                await self._deploy_local(self._local)
            await self._tidy()
        finally:
            self._busy = False

    async def _deploy_local(self, place: Path) -> None:
        try:
            folder, digest = await asyncio.to_thread(self._look_at, place)
            decision = decide(
                await self._journal.active(), await self._journal.last_of("local"), digest, force=self._force
            )
            self._refused = decision.refused
            if decision.refused:
                _log.error("group not deployed folder=%s reason=%r", folder, decision.refused)
            if decision.deploy:
                await self._executor.deploy(folder, digest, "local")
        except (ConfigError, DeploymentError) as error:
            # Also in the journal, if it came that far. The former group runs; the core stays up for it.
            self._last_failure = str(error)
            _log.error("group not deployed place=%s reason=%r", place, str(error))

    def _look_at(self, place: Path) -> tuple[Path, str]:
        """The group's folder and its digest. Blocks."""
        folder = group_folder(place)
        return folder, artifacts.digest_of(folder, self._settings)

    async def _tidy(self) -> None:
        """Learn what is to be shown, and remove the folders of deployments that nobody will go back to."""
        rows = await self._journal.history(self._settings.history)
        self._active = await self._journal.active()
        self._history = await self._journal.count()
        failed = next((row for row in rows if row.state == "failed"), None)
        if failed is not None and not self._last_failure:
            self._last_failure = f"deployment {failed.number}: {failed.reason}"
        good = [row.digest for row in rows if row.state in ("active", "superseded", *UNFINISHED)]
        keep = {*list(dict.fromkeys(good))[: self._settings.keep], self._units.active().digest}
        await asyncio.to_thread(artifacts.sweep, self._artifacts, keep)
