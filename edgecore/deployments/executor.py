"""Carries out deployments: folder to artifact, artifact to running units, each step journaled first.

What fails leaves the former group running, and a journal row that says why. Nobody else changes the
journal.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import ConfigError, DeploymentError, EdgecoreError
from edgecore.base.group import NO_GROUP, ActiveGroup
from edgecore.base.interfaces import Units
from edgecore.deployments import artifacts
from edgecore.deployments.journal import Journal
from edgecore.deployments.manifest import load_group
from edgecore.deployments.plan import plan
from edgecore.deployments.record import Deployment, Origin
from edgecore.deployments.settings import DeploymentsSettings

_log = logging.getLogger(__name__)

# A deployment in whose activation the core ends this often is what ends it.
MAX_ATTEMPTS: Final = 3


class Executor:
    """Takes deployments from a folder to their end."""

    def __init__(
        self, journal: Journal, units: Units, folder: Path, settings: DeploymentsSettings, clock: Clock
    ) -> None:
        self._journal = journal
        self._units = units
        self._artifacts = folder
        self._settings = settings
        self._clock = clock

    async def deploy(self, place: Path, digest: str, origin: Origin) -> None:
        """Make the group in the folder `place` run.

        Raises DeploymentError or ConfigError when it does not come up; then the former group runs.
        """
        try:
            await asyncio.to_thread(load_group, place)  # here, so that a fault names the file that was given
            await asyncio.to_thread(artifacts.stage, place, self._artifacts, digest, self._settings)
        except (DeploymentError, ConfigError) as error:
            await self._journal.add(
                origin, digest, "failed", self._clock.now(), str(error), self._settings.history
            )
            raise
        now = self._clock.now()
        staged = await self._journal.add(origin, digest, "staged", now, history=self._settings.history)
        await self.activate(staged)

    async def finish(self) -> None:
        """Bring what a crash interrupted to its end: the newest is tried again, unless it was too often."""
        unfinished = await self._journal.unfinished()
        if not unfinished:
            return
        *older, newest = unfinished
        for deployment in older:
            await self._fail(deployment, "a later deployment took its place")
        if newest.attempts >= MAX_ATTEMPTS:
            await self._fail(newest, f"the core ended {newest.attempts} times while activating it")
            return
        _log.info("interrupted deployment goes on deployment=%d state=%s", newest.number, newest.state)
        # Its end is in the journal and the log either way: there is nobody to tell.
        with contextlib.suppress(DeploymentError):
            await self.activate(newest)

    async def activate(self, deployment: Deployment) -> None:
        """Let a staged deployment run.

        Raises DeploymentError when it does not come up; then the former group runs.
        """
        former = self._units.active()
        units: tuple[str, ...] | None = None
        await self._journal.begin(deployment.number, self._clock.now())
        try:
            desired = await load_active(deployment, self._artifacts)
            units = plan(former, desired, await self._parts(former), await self._parts(desired))
            await self._apply(desired, units)
        except Exception as error:
            # Whatever a room raises here, the former group must come back.
            reason = self._reason(error)
            if units is not None:
                reason += await self._return_to(former, units)
            await self._fail(deployment, reason)
            raise DeploymentError("activate", reason) from error
        await self._journal.activated(deployment.number, self._clock.now())
        _log.info("group active deployment=%d group=%s", deployment.number, desired.group.name)

    async def _apply(self, desired: ActiveGroup, units: Sequence[str]) -> None:
        _log.info("activating group=%r replacing=%s", desired.group.name, ",".join(units) or "none")
        async with asyncio.timeout(self._settings.activation_timeout):
            await self._units.activate(desired, units)

    async def _return_to(self, former: ActiveGroup, units: Sequence[str]) -> str:
        """Bring the former group back; gives what to add to the reason when that failed too."""
        try:
            await self._apply(former, units)
        except Exception as error:  # noqa: BLE001  both failures must reach the journal
            reason = self._reason(error)
            _log.error("former group did not come back group=%r reason=%r", former.group.name, reason)
            return f"; the former group did not come back either: {reason}"
        return ""

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"not every unit was ready after {self._settings.activation_timeout:g} s"
        return str(error) or type(error).__name__

    async def _parts(self, active: ActiveGroup) -> Mapping[str, str]:
        return await asyncio.to_thread(artifacts.parts_of, active.group, active.root, self._settings)

    async def _fail(self, deployment: Deployment, reason: str) -> None:
        _log.error("deployment failed deployment=%d reason=%r", deployment.number, reason)
        await self._journal.failed(deployment.number, reason, self._clock.now())


async def load_active(deployment: Deployment, folder: Path) -> ActiveGroup:
    """The group of a deployment whose artifact is in `folder`. Raises ConfigError."""
    root = folder / deployment.digest
    group = await asyncio.to_thread(load_group, root)
    return ActiveGroup(group, root, deployment.number, deployment.digest)


async def restore(journal: Journal, folder: Path) -> ActiveGroup:
    """The group that ran last; when its folder cannot be read, the one before, and so on; else NO_GROUP."""
    rows = await journal.history(1000)
    usable = [row for row in rows if row.state == "active"] + [
        row for row in rows if row.state == "superseded"
    ]
    for deployment in usable:
        try:
            return await load_active(deployment, folder)
        except EdgecoreError as error:
            _log.error("group cannot be restored deployment=%d reason=%r", deployment.number, str(error))
    return NO_GROUP
