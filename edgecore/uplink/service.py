"""The uplink: keeps the connection, drains the outbox, brings in what the cloud sends.

The only file of the room that starts tasks. Being offline is a state here and never an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from edgecore.base.backoff import Backoff
from edgecore.base.clock import Clock
from edgecore.base.errors import CloudError, UnavailableError
from edgecore.base.group import Row
from edgecore.base.interfaces import Bus, Ready
from edgecore.store import Database, DurableQueue, QueueBounds
from edgecore.uplink.aws import open_client
from edgecore.uplink.client import ClientEvents, CloudClient, Incoming, Welcome
from edgecore.uplink.connection import Connection, Event
from edgecore.uplink.inbound import Inbound
from edgecore.uplink.link import Link
from edgecore.uplink.mapping import CLOUD_TARGET, map_rows
from edgecore.uplink.nocloud import NoCloud
from edgecore.uplink.outbox import Outbox
from edgecore.uplink.settings import UplinkSettings

_log = logging.getLogger(__name__)

OpenClient = Callable[[UplinkSettings, ClientEvents], Awaitable[CloudClient]]

OUTBOX: Final = "outbox"
ASIDE: Final = "outbox-aside"
# A missing extra or certificate is mended by a person: looked at again now and then.
REBUILD: Final = Backoff(initial=1.0, maximum=60.0)


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
    ) -> None:
        self._inner: _WithoutCloud | _WithCloud
        if settings is None:
            self._inner = _WithoutCloud(rows, bus)
        else:
            self._inner = _WithCloud(settings, rows, link, bus, db, clock, open_client, jitter)

    async def run(self, ready: Ready) -> None:
        """Run until cancelled. Ready means that the outbox takes messages, not that the cloud does."""
        await self._inner.run(ready)

    def status(self) -> dict[str, object]:
        """The state of the connection, of the outbox and of what comes in."""
        return self._inner.status()


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
    """Implements ClientEvents."""

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
    ) -> None:
        queue = QueueBounds(settings.outbox_records, settings.outbox_bytes, "drop-oldest")
        aside = QueueBounds(settings.aside_records, settings.aside_bytes, "drop-oldest")
        self._outbox = Outbox(
            DurableQueue(db, OUTBOX, queue), DurableQueue(db, ASIDE, aside), settings, clock, self._wake_up
        )
        self._settings = settings
        self._mapping = map_rows(rows)
        self._link = link
        self._bus = bus
        self._clock = clock
        self._open_client = open_client
        self._jitter = jitter
        self._connection = Connection(clock.now())
        self._inbound = Inbound(bus, link, clock)
        self._client: CloudClient | None = None
        # What the library still says of an attempt that we broke off is no news.
        self._stopping = False
        self._work = asyncio.Event()
        self._up = asyncio.Event()
        self._subscribed = 0
        self._refused: dict[str, str] = dict(self._mapping.refused)
        self._sessions_lost = 0

    async def run(self, ready: Ready) -> None:
        await self._outbox.open()
        self._bus.attach(CLOUD_TARGET, self._outbox)
        try:
            ready()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_client(), name="uplink client")
                group.create_task(self._drain(), name="uplink outbox")
                group.create_task(self._keep_subscribed(), name="uplink subscriptions")
        finally:
            self._bus.detach(CLOUD_TARGET, self._outbox)

    # -- the three tasks

    async def _keep_client(self) -> None:
        """Make the client and keep it; it reconnects by itself. What cannot be made is tried again."""
        delays = REBUILD.delays(self._jitter)
        while True:
            try:
                client = await self._open_client(self._settings, self)
            except (CloudError, UnavailableError) as error:
                _log.error("the uplink cannot start: %s", error)
                self._apply(Event.BLOCK, str(error))
                await asyncio.sleep(next(delays))
                continue
            try:
                self._client = client
                self._stopping = False
                client.start()
                await asyncio.get_running_loop().create_future()
            finally:
                self._apply(Event.STOP, "the core stops")
                self._stopping = True
                await client.stop()
                self._client = None
                self._outbox.close()

    async def _drain(self) -> None:
        """Pump the outbox whenever something happened, or when a failed record is due again."""
        while True:
            self._work.clear()
            due = await self._outbox.pump(self._client if self._connection.connected else None)
            delay = None if due is None else max(0.0, due - self._clock.monotonic())
            try:
                async with asyncio.timeout(delay):
                    await self._work.wait()
            except TimeoutError:
                continue  # the record is due

    async def _keep_subscribed(self) -> None:
        """Subscribe at each connect; while the link stands, what failed is tried again."""
        while True:
            await self._up.wait()
            self._up.clear()
            delays = self._settings.backoff.delays(self._jitter)
            while self._client is not None and self._connection.connected:
                try:
                    await self._subscribe(self._client)
                    break
                except CloudError as error:
                    _log.warning("the cloud subscriptions failed: %s", error)
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

    # -- what the client tells

    def attempting(self) -> None:
        """A connection is being made."""
        self._apply(Event.ATTEMPT)

    def succeeded(self, welcome: Welcome) -> None:
        """The cloud accepted us."""
        if not welcome.session_present and self._connection.connects:
            # Commands that were sent while we were away are gone, unless they were shadows or jobs.
            self._sessions_lost += 1
            _log.warning("the cloud did not keep our session: commands sent meanwhile are lost")
        self._apply(Event.SUCCEED)

    def failed(self, reason: str) -> None:
        """The connection was not made."""
        self._apply(Event.FAIL, reason)

    def lost(self, reason: str) -> None:
        """The connection ended."""
        self._apply(Event.LOSE, reason)

    def received(self, incoming: Incoming) -> None:
        """A message came."""
        self._inbound.take(incoming)

    def _apply(self, event: Event, reason: str = "") -> None:
        if self._stopping:
            return
        changed = self._connection.apply(event, self._clock.now(), reason)
        if changed and self._connection.connected and self._client is not None:
            _log.info("the cloud is connected: %s:%d", self._settings.endpoint, self._settings.port)
            self._outbox.connected()
            self._up.set()
            self._link.up(self._client)
        elif changed:
            _log.log(
                logging.INFO if event is Event.STOP else logging.WARNING, "the cloud is offline: %s", reason
            )
            self._subscribed = 0
            self._outbox.disconnected()
            self._link.down(reason)
            self._wake_up()
        elif event is Event.FAIL and self._connection.failures == 1:
            _log.warning("the cloud cannot be reached: %s", reason)

    def _wake_up(self) -> None:
        self._work.set()

    def status(self) -> dict[str, object]:
        connection = self._connection
        return {
            "state": connection.state.value,
            "connected": connection.connected,
            "since": connection.since,
            "reason": connection.reason,
            "last_error": connection.last_error,
            "endpoint": f"{self._settings.endpoint}:{self._settings.port}",
            "client_id": self._settings.client_id,
            "connects": connection.connects,
            "sessions_lost": self._sessions_lost,
            "subscriptions": self._subscribed,
            "subscriptions_refused": dict(self._refused),
            "outbox": self._outbox.status(),
            "inbound": {
                **self._inbound.status(),
                "overrun": self._client.dropped if self._client is not None else 0,
            },
        }
