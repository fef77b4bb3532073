"""Sets the stage: simulated cloud, link, core and devices, in the order in which they need each other.

Simulated cloud and core are processes of their own, devices are MQTT clients with certificates of
their own. What happens on the stage is junction.py's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.group import Group
from edgecore.deployments import load_group
from edgecore.sim.core import Core
from edgecore.sim.faults import Proxy
from edgecore.sim.fleet import Fleet, sources
from edgecore.sim.observer import Observer
from edgecore.sim.simcloud import SimulatedCloud
from edgecore.sim.site import Site
from edgecore.sim.watch import Watch

CORE_THING: Final = "junction-core"
OBSERVER: Final = "observer"
# Who watches a cut link heal does not want to wait for up to half a minute, as a site well may.
SETTINGS: Final = '[uplink]\nreconnect_max = "2s"\n'
# Seconds; a deadline that only a fault reaches.
CONNECT: Final = 30.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. Seconds; `duration` None: until told to stop; `outage` 0: none.

    `seed`: of the sensors' noise and the scene; None: the group's own scene.
    """

    group: Path
    duration: float | None = None
    period: float = 0.5
    outage: float = 0.0
    kill: bool = False
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """All that takes part in a run."""

    site: Site
    group: Group
    cloud: SimulatedCloud
    proxy: Proxy
    core: Core
    observer: Observer
    watch: Watch
    fleet: Fleet

    async def start_core(self) -> None:
        """Start the daemon, or start it again."""
        await self.core.start(self.site.group)


@contextlib.asynccontextmanager
async def staged(plan: Plan, root: Path, clock: Clock, tell: Tell) -> AsyncIterator[Stage]:
    """Everything started and connected; ended in the opposite order. Raises EdgecoreError, TimeoutError."""
    site = Site(root)
    await asyncio.to_thread(site.prepare, plan.group, clock.now(), plan.seed)
    group = await asyncio.to_thread(load_group, site.group)
    seed = plan.seed or 0
    async with contextlib.AsyncExitStack() as stack:
        tell("starting the simulated cloud")
        cloud = SimulatedCloud(site.cloud, site.logs / "cloud.log", [OBSERVER])
        stack.push_async_callback(cloud.stop)
        await cloud.start()
        proxy = Proxy(cloud.endpoint.host, cloud.endpoint.port)
        await stack.enter_async_context(serving(proxy.run))

        observer = Observer(
            OBSERVER,
            cloud.endpoint,
            cloud.credentials(OBSERVER),
            sources(group.devices, seed),
            [camera.topic for camera in group.cameras.values()],
        )
        await stack.enter_async_context(observer.device.running())
        await observer.device.until_connected(CONNECT)

        tell("starting the core")
        core = Core(site.core, site.certificates, site.logs / "core.log")
        stack.push_async_callback(core.stop)
        await core.initialise(CORE_THING, *cloud.options_for(proxy.port))
        await core.configure(SETTINGS)
        await core.start(site.group)
        watch = Watch(core.control_socket, [camera.topic for camera in group.cameras.values()])
        await stack.enter_async_context(running(watch.run()))

        tell(f"issuing certificates for {len(group.devices)} devices")
        await core.add_devices(group.devices)
        fleet = Fleet(group.devices, seed, plan.period, core.endpoint, core.credentials)
        await stack.enter_async_context(fleet.running())
        tell("connecting the devices")
        await fleet.until_connected(CONNECT)
        yield Stage(site, group, cloud, proxy, core, observer, watch, fleet)


@contextlib.asynccontextmanager
async def running(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run these beside the block; what one of them raises ends the block, the block's end ends them."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as errors:
        if len(errors.exceptions) > 1:
            raise
        raise errors.exceptions[0] from None


@contextlib.asynccontextmanager
async def serving(run: Callable[[Callable[[], None]], Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """Run a service beside the block, from the moment it is ready."""
    ready = asyncio.Event()
    async with running(run(ready.set)):
        await ready.wait()
        yield
