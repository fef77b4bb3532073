"""The uplink: keeps the connections, drains the outbox, brings in what the cloud sends.

The only file of the room that starts tasks. Being offline is a state here and never an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import CloudError, OutboxError
from edgecore.base.group import Row
from edgecore.base.interfaces import AsideOutcome, Bus, Ready, SetAside
from edgecore.store import Database, DurableQueue, QueueBounds
from edgecore.uplink.aside import PAGE
from edgecore.uplink.client import CloudClient
from edgecore.uplink.clients import open_client
from edgecore.uplink.diagnosis import diagnose
from edgecore.uplink.inbound import Inbound
from edgecore.uplink.line import Diagnose, Line, OpenClient
from edgecore.uplink.link import Link
from edgecore.uplink.mapping import CLOUD_TARGET, limits_of, map_rows
from edgecore.uplink.network import watch
from edgecore.uplink.nocloud import NoCloud
from edgecore.uplink.outbox import LANES, Outbox
from edgecore.uplink.settings import UplinkSettings

_log = logging.getLogger(__name__)

OUTBOX: Final = "outbox"
ASIDE: Final = "outbox-aside"


class UplinkService:
    """The unit "uplink". `settings` is None when no cloud is configured; `link` is made once, outside."""

    def __init__(
        self,
        settings: UplinkSettings | None,
        rows: Sequence[Row],
        link: Link,
        bus: Bus,
        db: Database,
        clock: Clock,
        open_client: OpenClient = open_client,
        jitter: Callable[[], float] = random.random,
        diagnose: Diagnose = diagnose,
    ) -> None:
        self._inner: _WithoutCloud | _WithCloud
        if settings is None:
            self._inner = _WithoutCloud(rows, bus)
        else:
            self._inner = _WithCloud(settings, rows, link, bus, db, clock, open_client, jitter, diagnose)

    async def run(self, ready: Ready) -> None:
        """Run until cancelled. Ready means that the outbox takes messages, not that the cloud does."""
        await self._inner.run(ready)

    def status(self) -> dict[str, object]:
        """The state of the connection, of the outbox and of what comes in."""
        return self._inner.status()

    # -- base AsideMessages: what the cloud will never take

    async def set_aside(self, after: str = "", limit: int = PAGE) -> list[SetAside]:
        """See base AsideMessages."""
        return await self._outbox().aside.page(after, limit)

    async def find_aside(self, name: str) -> SetAside:
        """See base AsideMessages."""
        return await self._outbox().aside.find(name)

    async def retry_aside(self, names: Sequence[str] | None) -> AsideOutcome:
        """See base AsideMessages."""
        outbox = self._outbox()
        return await outbox.aside.retry(names, outbox.put_back)

    async def drop_aside(self, names: Sequence[str] | None) -> AsideOutcome:
        """See base AsideMessages."""
        return await self._outbox().aside.drop(names)

    def _outbox(self) -> Outbox:
        if isinstance(self._inner, _WithoutCloud):
            raise OutboxError(
                "no cloud is configured here, so there is no outbox: see [cloud] in edgecore.toml"
            )
        return self._inner.outbox


class _WithoutCloud:
    def __init__(self, rows: Sequence[Row], bus: Bus) -> None:
        self._rows = rows
        self._bus = bus
        self._target = NoCloud()

    async def run(self, ready: Ready) -> None:
        named = sum(CLOUD_TARGET in (*row.sources, *row.targets) for row in self._rows)
        if named:
            _log.warning("%d routes name the cloud, but none is configured: see [cloud]", named)
        self._bus.attach(CLOUD_TARGET, self._target)
        try:
            ready()
            await asyncio.get_running_loop().create_future()
        finally:
            self._bus.detach(CLOUD_TARGET, self._target)

    def status(self) -> dict[str, object]:
        return self._target.status()


class _WithCloud:
    def __init__(
        self,
        settings: UplinkSettings,
        rows: Sequence[Row],
        link: Link,
        bus: Bus,
        db: Database,
        clock: Clock,
        open_client: OpenClient,
        jitter: Callable[[], float],
        diagnose: Diagnose,
    ) -> None:
        queue = QueueBounds(settings.outbox_records, settings.outbox_bytes, "drop-oldest")
        aside = QueueBounds(settings.aside_records, settings.aside_bytes, "drop-oldest")
        self._outbox = Outbox(
            DurableQueue(db, OUTBOX, queue, LANES),
            DurableQueue(db, ASIDE, aside),
            settings,
            clock,
            self._wake,
            rows,
        )
        self._old = DurableQueue(db, OUTBOX, queue)
        self._settings = settings
        self._mapping = map_rows(rows, limits_of(settings))
        self._link = link
        self._bus = bus
        self._clock = clock
        self._jitter = jitter
        self._inbound = Inbound(bus, link, clock, limits_of(settings))
        self._lines = tuple(
            Line(
                replace(settings, client_id=settings.client_id_of(channel.number)),
                channel,
                clock,
                open_client,
                diagnose,
                jitter,
                self._changed,
                self._inbound.take,
                self._is_busy if channel.number == 0 else lambda: False,
            )
            for channel in self._outbox.channels
        )
        self._main = self._lines[0]
        self._up = asyncio.Event()
        self._look = asyncio.Event()
        self._subscribing = False
        self._subscribed = 0
        self._refused: dict[str, str] = dict(self._mapping.refused)

    @property
    def outbox(self) -> Outbox:
        """What waits for the cloud, and what it will never take."""
        return self._outbox

    async def run(self, ready: Ready) -> None:
        await self._outbox.open()
        await self._outbox.adopt(self._old)
        self._bus.attach(CLOUD_TARGET, self._outbox)
        try:
            ready()
            async with asyncio.TaskGroup() as group:
                for line in self._lines:
                    group.create_task(line.keep(), name="uplink client")
                    group.create_task(line.drain(), name="uplink outbox")
                group.create_task(self._keep_subscribed(), name="uplink subscriptions")
                group.create_task(self._keep_bounds(), name="uplink bounds")
                group.create_task(watch(self._network_changed), name="uplink network")
        finally:
            self._bus.detach(CLOUD_TARGET, self._outbox)

    # -- the tasks that are not of one line

    async def _keep_subscribed(self) -> None:
        """Subscribe at each connect; while the link stands, what failed is tried again."""
        while True:
            await self._up.wait()
            self._up.clear()
            delays = self._settings.backoff.delays(self._jitter)
            while self._main.client is not None and self._main.connection.connected:
                try:
                    self._subscribing = True
                    await self._subscribe(self._main.client)
                    break
                except CloudError as error:
                    _log.warning("the cloud subscriptions failed: %s", error)
                finally:
                    self._subscribing = False
                await asyncio.sleep(next(delays))

    async def _subscribe(self, client: CloudClient) -> None:
        wanted = {one.topic_filter for one in self._mapping.subscriptions}
        stale = self._link.routed - wanted
        if stale:  # of routes that are gone; the cloud keeps them with our session
            await client.unsubscribe(sorted(stale))
        refused = await client.subscribe(self._mapping.subscriptions)
        for topic_filter, reason in refused.items():
            _log.error("the cloud refused the subscription %s: %s", topic_filter, reason)
        self._refused = {**self._mapping.refused, **refused}
        self._link.routed = wanted - refused.keys()
        self._subscribed = len(self._link.routed)

    async def _keep_bounds(self) -> None:
        """Drop what is too old, and publish the alarm when the outbox begins or ends to drop."""
        while True:
            self._look.clear()
            alarm, due = await self._outbox.look()
            if alarm is not None:
                self._bus.publish(alarm)
            try:
                async with asyncio.timeout(max(0.0, due - self._clock.monotonic())):
                    await self._look.wait()
            except TimeoutError:
                continue  # it is time to look again

    # -- what is told

    def _is_busy(self) -> bool:
        return self._subscribing or self._link.busy

    def _changed(self, line: Line, reason: str) -> None:
        if not line.is_main:
            return
        if line.connection.connected and line.client is not None:
            self._up.set()
            if self._settings.broker == "aws":  # elsewhere there is no shadow service
                self._link.up(line.client)
        else:
            self._subscribed = 0
            self._link.down(reason)

    def _network_changed(self) -> None:
        for line in self._lines:
            line.hurry()

    def _wake(self) -> None:
        for line in self._lines:
            line.wake()
        if self._outbox.is_losing:
            self._look.set()

    def status(self) -> dict[str, object]:
        more = {line.connection.connected for line in self._lines[1:]}
        return {
            **self._main.status(),
            "endpoint": f"{self._settings.endpoint}:{self._settings.port}",
            "sessions_lost": self._main.sessions_lost,
            "subscriptions": self._subscribed,
            "subscriptions_refused": dict(self._refused),
            **({"lines": [line.status() for line in self._lines]} if more else {}),
            "outbox": self._outbox.status(),
            "inbound": {
                **self._inbound.status(),
                "overrun": sum(line.client.dropped for line in self._lines if line.client is not None),
            },
        }
