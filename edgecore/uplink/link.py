"""The connection to the cloud as other rooms see it: publish past the outbox, subscribe, watch.

Made once, before the uplink's service, and outlives its restarts. What comes in for its subscriptions
goes to their receivers and to nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.identity import CORE
from edgecore.base.message import Message
from edgecore.base.topic import matches
from edgecore.uplink.client import CloudClient
from edgecore.uplink.mapping import MAX_PAYLOAD_BYTES, CloudSubscription

Receive = Callable[[str, bytes], Commit | None]

# Publishes that wait for a PUBACK: shadow sync has one per shadow; beyond this something runs wild.
MAX_PENDING: Final = 1000


class Link:
    """Implements base.interfaces.CloudLink. The uplink's service tells it `up` and `down`."""

    def __init__(self, clock: Clock) -> None:
        # The filters that the uplink itself holds in the cloud's session: they outlive its service.
        self.routed: set[str] = set()
        self._clock = clock
        self._client: CloudClient | None = None
        self._watchers: list[Callable[[bool], None]] = []
        self._receivers: dict[str, Receive] = {}
        self._pending: set[asyncio.Future[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether the link is up now."""
        return self._client is not None

    @property
    def busy(self) -> bool:
        """Whether a publish past the outbox waits for its PUBACK."""
        return bool(self._pending)

    def watch(self, changed: Callable[[bool], None]) -> Callable[[], None]:
        """Call `changed(connected)` at each change. Gives the function that ends it."""
        self._watchers.append(changed)

        def end() -> None:
            if changed in self._watchers:
                self._watchers.remove(changed)

        return end

    async def publish(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 1; returns after the cloud's PUBACK.

        Raises TransientCloudError when offline or cut, PermanentCloudError when refused.
        """
        client = self._online()
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PermanentCloudError(f"{topic}: {len(payload)} bytes, the cloud takes {MAX_PAYLOAD_BYTES}")
        if len(self._pending) >= MAX_PENDING:
            raise TransientCloudError(f"{topic}: {MAX_PENDING} publishes wait for the cloud already")
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.add(outcome)
        message = Message(topic, payload, 1, CORE)
        try:
            client.publish(message, 1, self._clock.now(), partial(_settle, outcome))
            await outcome
        finally:
            self._pending.discard(outcome)

    async def subscribe(self, topic_filter: str, receive: Receive) -> None:
        """Hand messages on the filter to `receive(topic, payload)`; acknowledged after its Commit.

        Lasts until the link goes down. Raises as `publish`.
        """
        client = self._online()
        self._receivers[topic_filter] = receive
        try:
            refused = await client.subscribe([CloudSubscription(topic_filter, 1)])
        except TransientCloudError:
            self._receivers.pop(topic_filter, None)
            raise
        if topic_filter in refused:
            self._receivers.pop(topic_filter, None)
            raise PermanentCloudError(f"the cloud refused {topic_filter}: {refused[topic_filter]}")

    def _online(self) -> CloudClient:
        if self._client is None:
            raise TransientCloudError("the cloud is not connected")
        return self._client

    # -- for the uplink's service

    def up(self, client: CloudClient) -> None:
        """The link is up, through `client`."""
        self._client = client
        self._tell(connected=True)

    def down(self, reason: str) -> None:
        """The link is down: what waits for an answer is told so, subscriptions are forgotten."""
        if self._client is None:
            return
        self._client = None
        self._receivers.clear()
        for outcome in tuple(self._pending):
            _settle(outcome, TransientCloudError(f"the link to the cloud went down: {reason}"))
        self._tell(connected=False)

    def receive(self, topic: str, payload: bytes) -> list[Commit] | None:
        """Hand a message to its receivers; what must be durable before its PUBACK, None if none."""
        takers = [one for topic_filter, one in self._receivers.items() if matches(topic_filter, topic)]
        if not takers:
            return None
        return [commit for take in takers if (commit := take(topic, payload)) is not None]

    def _tell(self, *, connected: bool) -> None:
        for changed in tuple(self._watchers):
            changed(connected)


def _settle(outcome: asyncio.Future[None], error: Exception | None) -> None:
    if outcome.done():
        return
    if error is None:
        outcome.set_result(None)
    else:
        outcome.set_exception(error)
