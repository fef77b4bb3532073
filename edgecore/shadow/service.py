"""The shadow room as a service: takes requests from the router, answers as the principal `shadow`."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.group import ShadowSpec, SyncRule
from edgecore.base.identity import SHADOW, Principal
from edgecore.base.interfaces import Bus, CloudLink, ShadowSummary
from edgecore.base.message import AT_LEAST_ONCE, Message
from edgecore.shadow.journal import Journal, Notice
from edgecore.shadow.settings import ShadowSettings
from edgecore.shadow.shadows import Shadows
from edgecore.shadow.sync import ShadowSync
from edgecore.shadow.topics import ShadowId, Verb, parse
from edgecore.store import Database

TARGET: Final = "shadow"
# Functions and the uplink attach after this room. What an earlier run may not have sent waits for them.
SEND_AGAIN_AFTER: Final = 5.0
# Request topics that are remembered parsed, some 400 bytes each.
MAX_KNOWN: Final = 10_000


class ShadowService:
    """Serves the shadows of all things, and synchronises those that `specs` (by thing) name."""

    principal: Principal = SHADOW

    def __init__(
        self,
        settings: ShadowSettings,
        specs: Mapping[str, ShadowSpec],
        bus: Bus,
        db: Database,
        link: CloudLink,
        clock: Clock,
        *,
        rand: Callable[[], float] = random.random,
        token: Callable[[], str] = secrets.token_urlsafe,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._journal = Journal(db)
        self._shadows = Shadows(settings, self._journal, self._publish, self._changed, clock)
        self._synced = synced_rules(specs)
        self._sync = ShadowSync(settings, self._synced, self._shadows, link, clock, rand, token)
        self._ignored = 0
        self._known: dict[str, tuple[ShadowId, Verb]] = {}

    async def run(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled. Raises StoreError when the tables cannot be read."""
        contents = await self._journal.load()
        self._shadows.fill(contents)
        self._sync.fill(contents.marks)
        self._bus.attach(TARGET, self)
        try:
            ready()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._synchronise(), name="shadow sync")
                tasks.create_task(self._send_again(contents.notices), name="shadow notices")
        finally:
            self._bus.detach(TARGET, self)
            self._journal.tidy()

    def status(self) -> dict[str, object]:
        """Documents held, requests that were none, and the state of the synchronisation."""
        return {
            "documents": sum(1 for _ in self._shadows.documents()),
            "ignored": self._ignored,
            **self._sync.status(),
        }

    def shadows(self) -> list[ShadowSummary]:
        """See base ShadowList."""
        known = sorted(self._shadows.documents(), key=lambda each: (each[0].thing, each[0].name))
        return [
            ShadowSummary(
                shadow.thing, shadow.name, document.version, document.size(), self._sync.state(shadow)
            )
            for shadow, document in known
        ]

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:  # noqa: ARG002  Subscriber's shape
        """Carry out a request; what is no request topic is counted and ignored."""
        topic = message.topic
        known = self._known.get(topic) or self._learn(topic)
        if known is None:
            self._ignored += 1
            return None
        shadow, verb = known
        return self._shadows.request(shadow, verb, message.payload)

    def _learn(self, topic: str) -> tuple[ShadowId, Verb] | None:
        """Parse a topic and remember it if it is one, as devices use the same ones over and over."""
        parsed = parse(topic)
        if parsed is not None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[topic] = parsed
        return parsed

    def _publish(self, topic: str, payload: bytes) -> Sequence[Commit]:
        return self._bus.publish(Message(topic, payload, AT_LEAST_ONCE, SHADOW)).commits

    def _changed(self, shadow: ShadowId) -> None:
        self._sync.changed(shadow)

    async def _synchronise(self) -> None:
        """One task per synchronised shadow whenever the link is up."""
        with self._sync.watching():
            while True:
                await self._sync.connected()
                async with asyncio.TaskGroup() as tasks:
                    following = [
                        tasks.create_task(self._sync.follow(shadow), name=f"shadow {shadow}")
                        for shadow in self._synced
                    ]
                    await self._sync.disconnected()
                    for task in following:
                        task.cancel()

    async def _send_again(self, notices: Sequence[Notice]) -> None:
        if notices:
            await asyncio.sleep(SEND_AGAIN_AFTER)
            self._shadows.send_again(notices)


def synced_rules(specs: Mapping[str, ShadowSpec]) -> dict[ShadowId, SyncRule]:
    """The shadows that the group wants synchronised, each with its rule."""
    return {
        ShadowId(thing, name): rule for thing, spec in specs.items() for name, rule in spec.synced().items()
    }
