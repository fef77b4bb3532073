"""Synchronises shadows with the cloud over a CloudLink: does what each shadow's dialogue wants done.

While the link is up, the service runs one task per shadow (`follow`), which subscribes, sends and waits.
What is to be said, and what a message of the cloud means, is decided in dialogue.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import CloudError, PermanentCloudError
from edgecore.base.group import SyncRule
from edgecore.base.interfaces import CloudLink
from edgecore.shadow.dialogue import Dialogue
from edgecore.shadow.document import MAX_DEPTH
from edgecore.shadow.events import (
    Action,
    Elapsed,
    Event,
    Hold,
    LinkDown,
    LinkUp,
    LocalChanged,
    NoReply,
    NotSubscribed,
    Pause,
    Request,
    Subscribe,
    Subscribed,
)
from edgecore.shadow.exchange import Exchange
from edgecore.shadow.replica import Mark
from edgecore.shadow.settings import ShadowSettings
from edgecore.shadow.shadows import Shadows
from edgecore.shadow.topics import ShadowId

log = logging.getLogger(__name__)

# What is asked of the cloud per shadow. AWS discourages shadow/#, and allows 50 subscriptions a connection.
SUBSCRIPTIONS: Final = ("update/accepted", "update/rejected", "delete/+", "get/+")


class Line:
    """One shadow's task: what it is to do next, and whether something has happened."""

    def __init__(self) -> None:
        self.todo: deque[Action] = deque()
        self.wake = asyncio.Event()
        self.delays: Iterator[float] = iter(())

    def add(self, action: Action) -> None:
        """Let `action` be done next."""
        self.todo.append(action)
        self.wake.set()

    async def next(self) -> Action:
        """The next action."""
        while not self.todo:
            self.wake.clear()
            await self.wake.wait()
        return self.todo.popleft()


class ShadowSync:
    """Keeps the shadows of `rules` as their rules say, here and in the cloud. `token`: unguessable texts."""

    def __init__(
        self,
        settings: ShadowSettings,
        rules: Mapping[ShadowId, SyncRule],
        shadows: Shadows,
        link: CloudLink,
        clock: Clock,
        random: Callable[[], float],
        token: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._rules = rules
        self._shadows = shadows
        self._link = link
        self._clock = clock
        self._random = random
        self._token = token
        self._lines: dict[ShadowId, Line] = {}
        self.exchanges: dict[ShadowId, Exchange] = {}
        self._slots = asyncio.Semaphore(settings.requests_in_flight)
        self._up = asyncio.Event()
        self._down = asyncio.Event()

    def fill(self, marks: Mapping[ShadowId, Mark]) -> None:
        """Begin with the marks of an earlier run."""
        for shadow, rule in self._rules.items():
            line = self._lines[shadow] = Line()
            dialogue = Dialogue(rule, self._token, marks.get(shadow, Mark()))
            self.exchanges[shadow] = Exchange(
                shadow,
                dialogue,
                self._shadows,
                self._clock,
                line.add,
                max(MAX_DEPTH, self._settings.max_depth),
            )

    def changed(self, shadow: ShadowId) -> None:
        """A change of the local document of `shadow` became durable."""
        exchange = self.exchanges.get(shadow)
        if exchange is not None:
            exchange.feed(LocalChanged())

    def status(self) -> dict[str, object]:
        """How many shadows are synchronised, which lag behind, and what hinders them."""
        exchanges = self.exchanges.values()
        dialogues = [exchange.dialogue for exchange in exchanges]
        return {
            "link": "up" if self._link.connected else "down",
            "synced": len(dialogues),
            "pending": sum(each.dialogue.lags(self._shadows.durable(each.shadow)) for each in exchanges),
            "last_synced": max((each.mark.synced_at for each in dialogues), default=0) or None,
            "conflicts": sum(each.conflicts for each in dialogues),
            "unreadable": sum(each.unreadable for each in exchanges),
            "problems": {
                str(each.shadow): each.dialogue.problem for each in exchanges if each.dialogue.problem
            },
        }

    def state(self, shadow: ShadowId) -> str:
        """Whether the cloud has the same: "-" when it need not, "same", "pending", or what hinders it."""
        exchange = self.exchanges.get(shadow)
        if exchange is None:
            return "-"
        pending = exchange.dialogue.lags(self._shadows.durable(shadow))
        return exchange.dialogue.problem or ("pending" if pending else "same")

    # Connections

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Know whether the link is up, within the context."""
        unwatch = self._link.watch(self._link_changed)
        self._link_changed(self._link.connected)
        try:
            yield
        finally:
            unwatch()

    async def connected(self) -> None:
        """Wait until the link is up."""
        while not self._up.is_set():  # it may go down again before this task runs
            await self._up.wait()
        self._down.clear()

    async def disconnected(self) -> None:
        """Wait until the link that was up has gone down."""
        await self._down.wait()
        log.info("shadow sync: the link is down; local shadows go on")

    def _link_changed(self, connected: bool) -> None:
        if connected:
            self._up.set()
        else:
            self._up.clear()
            self._down.set()

    # One shadow

    async def follow(self, shadow: ShadowId) -> None:
        """Do what the shadow's dialogue wants: a task per shadow, for as long as the link is up."""
        line, exchange = self._lines[shadow], self.exchanges[shadow]
        line.todo.clear()
        exchange.feed(LinkUp())
        try:
            while True:
                event = await self._perform(line, exchange, await line.next())
                if event is not None:
                    exchange.feed(event)
        finally:
            exchange.feed(LinkDown())

    async def _perform(self, line: Line, exchange: Exchange, action: Action) -> Event | None:
        match action:
            case Subscribe():
                return await self._subscribe(exchange)
            case Request():
                return await self._request(line, exchange, action)
            case Pause(attempt):
                if attempt == 1:
                    line.delays = self._settings.retry.delays(self._random)
                await asyncio.sleep(next(line.delays))
            case Hold(seconds):
                await asyncio.sleep(seconds)
        return Elapsed()

    async def _subscribe(self, exchange: Exchange) -> Event:
        prefix = len(exchange.shadow.prefix) + 1

        def receive(topic: str, payload: bytes) -> Commit | None:
            commit = exchange.receive(topic[prefix:], payload)
            self._lines[exchange.shadow].wake.set()
            return commit

        try:
            async with self._slots:
                for suffix in SUBSCRIPTIONS:
                    await self._link.subscribe(exchange.shadow.topic(suffix), receive)
        except CloudError as error:
            return NotSubscribed(str(error), forbidden=isinstance(error, PermanentCloudError))
        return Subscribed()

    async def _request(self, line: Line, exchange: Exchange, request: Request) -> NoReply | None:
        """Send it and wait for the reply, which `receive` feeds; gives what went wrong."""
        topic, payload = exchange.shadow.topic(request.verb), msgspec.json.encode(request.body)
        async with self._slots:
            try:
                async with asyncio.timeout(self._settings.reply_timeout):
                    await self._link.publish(topic, payload)
                    while exchange.dialogue.awaits(request.number):
                        line.wake.clear()
                        await line.wake.wait()
            except TimeoutError:
                return NoReply(request.number, "the cloud did not reply")
            except CloudError as error:
                refused = isinstance(error, PermanentCloudError)
                return NoReply(request.number, str(error), unsent=refused)
        return None
