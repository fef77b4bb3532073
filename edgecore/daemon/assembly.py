"""The one screen that shows the whole house: which units there are, in which order, made of what.

Nothing is decided or caught here. Each factory builds a fresh service from the group that runs now, so
that replacing a unit is all it takes to let it run something else.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecore.api import ApiService
from edgecore.base import identity
from edgecore.base.clock import Clock
from edgecore.base.errors import DeploymentError, OutboxError
from edgecore.base.group import NO_GROUP, ActiveGroup, DeviceSpec
from edgecore.base.interfaces import AsideMessages, Ready, Service, ShadowSummary
from edgecore.config import Config
from edgecore.daemon.health import Notifier, Watchdog
from edgecore.daemon.lifecycle import ESSENTIAL, NEVER
from edgecore.daemon.ports import Announced
from edgecore.daemon.supervisor import Supervisor, Unit
from edgecore.daemon.sys_topics import SysTopics
from edgecore.deployments import DeploymentsService, restore
from edgecore.inference import InferenceService
from edgecore.lambdas import FunctionsService
from edgecore.listener import KeptSessions, ListenerService, Sessions, TlsFiles
from edgecore.listener.books import Books
from edgecore.listener.registry import Revocation
from edgecore.router import Router
from edgecore.shadow import ShadowService
from edgecore.store import Database, RetainedStore, SessionStore
from edgecore.uplink import Link, RoleCredentials, UplinkService

routes_log = logging.getLogger(
    "edgecore.router"
)  # the router itself is pure and only says what is worth a line


@dataclass(frozen=True, slots=True)
class Wanted:
    """What this start was asked for: a local group, whether by force, how often to prove health."""

    group: Path | None = None
    force: bool = False
    watchdog: float | None = None


class House:
    """Everything that runs here, and the one place where rooms are handed to each other.

    Implements base Units and ShadowList. `tls`: the server's certificate, its key, and the CA of the
    devices; `renew` remakes the server's when it is time, and says whether it did.
    """

    def __init__(
        self,
        config: Config,
        wanted: Wanted,
        books: Books,
        tls: TlsFiles,
        notifier: Notifier,
        clock: Clock,
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        self._config = config
        self._wanted = wanted
        self._registry = books.registry
        self._passwords = books.passwords
        self._tls = tls
        self._renew = renew
        self._notifier = notifier
        self._clock = clock
        self._db = Database(config.paths.database, config.store, clock)
        self._link = Link(clock)
        # None where no role is named: then no function gets credentials.
        named = config.uplink is not None and config.uplink.role_alias
        self._credentials = RoleCredentials(config.uplink, clock) if config.uplink and named else None
        self._active = NO_GROUP
        self._router: Router | None = None
        self._kept: KeptSessions | None = None
        self._door: ListenerService | None = None
        self._documents: ShadowService | None = None
        self._back_door: UplinkService | None = None
        books.registry.on_revoked(self._revoked)
        books.registry.on_trust_changed(self._trust_changed)
        books.passwords.on_changed(self._password_changed)
        self.supervisor = Supervisor(self._units(), clock, random.random)

    def _units(self) -> list[Unit]:
        """The whole house: it starts in this order and stops in the other, the door first."""
        return [
            Unit("store", lambda: self._db, essential=True, policy=NEVER, stop_deadline=10.0),
            *([Unit("health", self._watchdog)] if self._wanted.watchdog else []),
            Unit("router", lambda: _Corridor(self), essential=True, policy=NEVER),
            Unit("shadow", self._shadow),
            Unit("lambdas", self._functions),
            Unit("inference", self._inference),
            Unit("uplink", self._uplink),
            Unit("deployments", self._deployments),
            Unit("api", self._api),
            Unit("sys", self._sys_topics),
            Unit("listener", self._listener, essential=True, policy=ESSENTIAL),
        ]

    # What runs --------------------------------------------------------------------------------------

    @property
    def router(self) -> Router:
        """The router, from the moment that its unit is ready: the units after it may ask."""
        if self._router is None:
            raise AssertionError("the router's unit has not started")
        return self._router

    def active(self) -> ActiveGroup:
        """The group that runs now."""
        return self._active

    async def activate(self, active: ActiveGroup, units: Sequence[str]) -> None:
        """Let this group run: its routes at once, then the named units, then its devices.

        Raises DeploymentError when a unit does not come up.
        """
        self._set(active)
        for name in units:
            await self.supervisor.replace(name)
            status = self.supervisor.statuses()[name]
            if status["state"] == "broken":
                raise DeploymentError(name, str(status["reason"]))
        self._recheck()

    def _recheck(self) -> None:
        """Let the door close on those who may no longer be in: revoked, or gone from the group."""
        if self._door is not None:
            self._door.recheck()

    async def _trust_changed(self) -> None:
        """Let the door's next handshakes go by the CA and the certificates that are trusted now."""
        if self._door is not None:
            await self._door.trust_changed()

    def _revoked(self, revocation: Revocation) -> None:
        """Let nothing of a revoked device go on: connections, sessions, wills, retained messages.

        Of one that holds another good certificate only the connections by the revoked ones end.
        """
        self._recheck()
        if revocation.last and self._passwords.record(revocation.device) is None:
            self._forget(revocation.device)

    def _password_changed(self, device: str) -> None:
        """Let nothing go on that came with a password that is no longer good."""
        self._recheck()
        if device in self._without_access():
            self._forget(device)

    def _without_access(self) -> set[str]:
        """The devices that are known and have no way to come in."""
        names = (record.name for record in self._registry.records() if not record.good)
        return {name for name in names if self._passwords.record(name) is None}

    def _forget(self, device: str) -> None:
        principal = identity.device(device)
        if self._kept is not None:
            self._kept.forget(principal)
        if self._router is not None:
            self._router.forget(principal)

    async def open_corridor(self) -> None:
        """Make the router, what it retained and the sessions that are kept; let the last group run again."""
        keeper = RetainedStore(self._db)
        await keeper.open()
        self._router = Router(self._clock, keeper, await keeper.load(), routes_log.warning)
        self._set(await restore(self._db, self._config.paths.artifacts))
        self._kept = KeptSessions(SessionStore(self._db), self._router, self._config.listener, self._clock)
        await self._kept.open()
        self._kept.review(self._admits)
        for device in self._without_access():
            self._forget(device)  # it may have been revoked while no core ran

    def _set(self, active: ActiveGroup) -> None:
        self._active = active
        self.router.set_rows(active.group.routes, active.group.devices)
        if self._kept is not None:
            self._kept.review(self._admits)

    def _admits(self, device: str) -> DeviceSpec | None:
        return self._active.group.devices.get(device)

    def shadows(self) -> Sequence[ShadowSummary]:
        """See base ShadowList."""
        return self._documents.shadows() if self._documents is not None else ()

    def _aside(self) -> AsideMessages:
        if self._back_door is None:
            raise OutboxError("the uplink has not started yet: try again in a moment")
        return self._back_door

    # What it is made of -----------------------------------------------------------------------------

    def _watchdog(self) -> Service:
        return Watchdog(self._notifier, self._db, self._wanted.watchdog or 0.0, self._clock)

    def _shadow(self) -> Service:
        specs = {device.thing: device.shadow for device in self._active.group.devices.values()}
        self._documents = ShadowService(
            self._config.shadow, specs, self.router, self._db, self._link, self._clock
        )
        return self._documents

    def _functions(self) -> Service:
        group, root = self._active.group, self._active.root
        return FunctionsService(
            self._config.functions,
            group.functions,
            root,
            self.router,
            self._db,
            self._clock,
            self._config.paths.run,
            credentials=self._credentials,
        )

    def _inference(self) -> Service:
        group, root = self._active.group, self._active.root
        return InferenceService(self._config.inference, group.cameras, root, self.router, self._clock)

    def _uplink(self) -> Service:
        rows = self._active.group.routes
        self._back_door = UplinkService(
            self._config.uplink, rows, self._link, self.router, self._db, self._clock
        )
        return self._back_door

    def _deployments(self) -> Service:
        return DeploymentsService(
            self._config.deployments,
            self._db,
            self,
            self._config.paths.artifacts,
            self._wanted.group,
            force=self._wanted.force,
            clock=self._clock,
        )

    def _api(self) -> Service:
        settings, run = self._config.api, self._config.paths.run
        devices, passwords = self._registry, self._passwords
        return ApiService(
            settings,
            self.router,
            devices,
            passwords,
            self.supervisor,
            self,
            self._aside,
            run,
            self._clock,
        )

    def _sys_topics(self) -> Service:
        return SysTopics(self._config.listener.sys_interval, self.router, self.supervisor, self._clock)

    def _listener(self) -> Service:
        self._door = ListenerService(
            self._config.listener,
            self.router,
            self._registry,
            self._admits,
            self._tls,
            self._clock,
            self._renew,
            Sessions(self._kept),
            self._passwords,
        )
        return Announced(self._door, self._config.paths.ports)


class _Corridor:
    """The router as a unit: it has no life of its own, but it must be there before what stands on it."""

    def __init__(self, house: House) -> None:
        self._house = house

    async def run(self, ready: Ready) -> None:
        await self._house.open_corridor()
        ready()
        await asyncio.Event().wait()

    def status(self) -> Mapping[str, object]:
        return self._house.router.status()
