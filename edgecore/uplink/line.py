"""One connection to the cloud: makes its client, keeps it connected, drains its part of the outbox.

When to try again is decided here, whatever client is used: after a pause that doubles, with jitter; at once
when the network comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from edgecore.base.backoff import Backoff
from edgecore.base.clock import Clock
from edgecore.base.errors import CloudError, UnavailableError
from edgecore.uplink.channel import Channel
from edgecore.uplink.client import ClientEvents, CloudClient, Incoming, Welcome
from edgecore.uplink.connection import Connection, Event, State
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import UNCLEAR, Cause, Trouble
from edgecore.uplink.window import Evidence

_log = logging.getLogger(__name__)

OpenClient = Callable[[UplinkSettings, ClientEvents], Awaitable[CloudClient]]
Diagnose = Callable[[UplinkSettings, float], Awaitable[Trouble | None]]

# A missing extra or certificate is mended by a person: looked at again now and then.
REBUILD: Final = Backoff(initial=1.0, maximum=60.0)
# A connection that is ended sooner (taken over, refused for what it sent) does not reset the backoff. AWS
# allows one CONNECT a second of a client id.
STABLE_SECONDS: Final = 5.0
# A network that comes and goes does not make the core try more often than this.
HURRY_SECONDS: Final = 1.0


class Line:
    """Implements ClientEvents.

    `changed(line, reason)` is called when it is up or down; `received` gets what comes; `busy`: whether
    something else than the outbox waits for the cloud's answer, which then may be what it took offence at.

    Its two coroutines, `keep` and `drain`, are run by the uplink's service.
    """

    def __init__(
        self,
        settings: UplinkSettings,
        channel: Channel,
        clock: Clock,
        open_client: OpenClient,
        diagnose: Diagnose,
        jitter: Callable[[], float],
        changed: Callable[[Line, str], None],
        received: Callable[[Incoming], None],
        busy: Callable[[], bool],
    ) -> None:
        self.channel = channel
        self.client: CloudClient | None = None
        self.connection = Connection(clock.now())
        self.sessions_lost = 0
        self._settings = settings
        self._clock = clock
        self._open_client = open_client
        self._diagnose = diagnose
        self._jitter = jitter
        self._changed = changed
        self._received = received
        channel.busy = busy
        # What the library still says of an attempt that we broke off is no news.
        self._stopping = False
        self._work = asyncio.Event()
        self._ended = asyncio.Event()
        self._again = asyncio.Event()
        self._up_at = 0.0
        self._hurried_at = -HURRY_SECONDS

    @property
    def is_main(self) -> bool:
        """Whether it carries subscriptions and shadow sync."""
        return self.channel.number == 0

    def wake(self) -> None:
        """There is something to send or to settle."""
        self._work.set()

    def hurry(self) -> None:
        """The network changed: try again now, if there is no connection."""
        now = self._clock.monotonic()
        if self.connection.state is State.WAITING and now >= self._hurried_at + HURRY_SECONDS:
            self._hurried_at = now
            self._again.set()

    # -- the two coroutines

    async def keep(self) -> None:
        """Make the client and keep it connected. What cannot be made is tried again."""
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
                self.client = client
                self._stopping = False
                await self._keep_connected(client)
            finally:
                self._apply(Event.STOP, "the core stops")
                self._stopping = True
                await client.stop()
                self.client = None
                self.channel.close()

    async def _keep_connected(self, client: CloudClient) -> None:
        delays = self._settings.backoff.delays(self._jitter)
        while True:
            self._ended.clear()
            self._again.clear()
            await client.connect()
            await self._until_ended()
            if self._clock.monotonic() - self._up_at >= STABLE_SECONDS and not self.connection.failures:
                delays = self._settings.backoff.delays(self._jitter)
            if await self._pause(delays):
                delays = self._settings.backoff.delays(self._jitter)

    async def _until_ended(self) -> None:
        """Wait for the end of the attempt, or of the connection; an attempt that takes long is looked into.

        The library holds back a failed handshake for 10 to 30 s, against those who measure time.
        """
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._ended.wait()
        except TimeoutError:
            if not self.connection.connected:
                self._explain(await self._diagnose(self._settings, self._clock.now()))
            await self._ended.wait()

    async def _pause(self, delays: Iterator[float]) -> bool:
        """Wait until the next try; gives whether it was cut short because the network changed."""
        try:
            async with asyncio.timeout(self._delay(delays)):
                await self._look_into()
                await self._again.wait()
        except TimeoutError:
            return False
        return True

    def _delay(self, delays: Iterator[float]) -> float:
        if self.connection.cause is Cause.TAKEN_OVER:
            return self._settings.reconnect_max  # sooner, we would only throw the other one out
        return next(delays)

    async def _look_into(self) -> None:
        connection = self.connection
        if connection.failures and connection.cause in UNCLEAR:
            found = await self._diagnose(self._settings, self._clock.now())
            if found is None and connection.cause is Cause.CLOSED:
                # All is well up to TLS, and then it hangs up on us: by what we showed it.
                found = Trouble(Cause.NOT_AUTHORISED, "the cloud hung up before it let us in")
            self._explain(found)

    def _explain(self, found: Trouble | None) -> None:
        if found is not None and found.reason != self.connection.reason and not self.connection.connected:
            _log.warning("the cloud cannot be reached: %s", found.reason)
            self.connection.explain(found)

    async def drain(self) -> None:
        """Pump the outbox whenever something happened, or when a failed record is due again."""
        while True:
            self._work.clear()
            due = self.channel.pump(self.client if self.connection.connected else None)
            delay = None if due is None else max(0.0, due - self._clock.monotonic())
            try:
                async with asyncio.timeout(delay):
                    await self._work.wait()
            except TimeoutError:
                continue  # the record is due

    # -- what the client tells

    def attempting(self) -> None:
        """A connection is being made."""
        self._apply(Event.ATTEMPT)

    def succeeded(self, welcome: Welcome) -> None:
        """The cloud accepted us."""
        if self.is_main and not welcome.session_present and self.connection.connects:
            # Commands that were sent while we were away are gone, unless they were shadows or jobs.
            self.sessions_lost += 1
            _log.warning("the cloud did not keep our session: commands sent meanwhile are lost")
        self._up_at = self._clock.monotonic()
        self._apply(Event.SUCCEED)

    def failed(self, trouble: Trouble) -> None:
        """The connection was not made."""
        self._end(Event.FAIL, trouble)

    def lost(self, trouble: Trouble) -> None:
        """The connection ended."""
        self._end(Event.LOSE, trouble)

    def received(self, incoming: Incoming) -> None:
        """A message came."""
        self._received(incoming)

    def _end(self, event: Event, trouble: Trouble) -> None:
        self._apply(event, trouble.reason, trouble)
        self._ended.set()

    def _apply(self, event: Event, reason: str = "", trouble: Trouble | None = None) -> None:
        if self._stopping:
            return
        cause = None if trouble is None else trouble.cause
        changed = self.connection.apply(event, self._clock.now(), reason, cause)
        name = self._settings.client_id
        if changed and self.connection.connected:
            _log.info(
                "the cloud is connected: %s:%d as %s", self._settings.endpoint, self._settings.port, name
            )
            self.channel.connected()
        elif changed:
            level = logging.INFO if event is Event.STOP else logging.WARNING
            _log.log(level, "the cloud is offline (%s): %s", name, reason)
        elif event is Event.FAIL and self.connection.failures == 1:
            _log.warning("the cloud cannot be reached (%s): %s", name, reason)
        if changed and not self.connection.connected:
            self.channel.disconnected(Evidence.NONE if trouble is None else trouble.evidence)
        if changed:
            self._changed(self, reason)

    def status(self) -> dict[str, object]:
        """The state of the connection, and since when."""
        connection = self.connection
        return {
            "state": connection.state.value,
            "connected": connection.connected,
            "since": connection.since,
            "cause": connection.cause.value if connection.cause is not None else "",
            "reason": connection.reason,
            "last_error": connection.last_error,
            "client_id": self._settings.client_id,
            "connects": connection.connects,
        }
