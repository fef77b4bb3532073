"""The seam between the uplink and whatever speaks MQTT for it: records and protocols, no library.

All calls and all callbacks are on the loop's thread. Errors are TransientCloudError (try again) and
PermanentCloudError (the cloud will never take it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgecore.base.commit import Done
from edgecore.base.message import Message, Properties
from edgecore.uplink.mapping import CloudSubscription


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the cloud said when it accepted us."""

    session_present: bool
    receive_maximum: int


@dataclass(slots=True)
class Incoming:
    """A message from the cloud. `expires_in`: seconds, or None.

    `acknowledge` sends the PUBACK (nothing at QoS 0); not calling it makes the cloud send again.
    """

    topic: str
    payload: bytes
    qos: int
    properties: Properties | None
    expires_in: int | None
    acknowledge: Callable[[], None]


class ClientEvents(Protocol):
    """What a client tells of its connection."""

    def attempting(self) -> None:
        """A connection is being made."""
        ...

    def succeeded(self, welcome: Welcome) -> None:
        """The cloud accepted us."""
        ...

    def failed(self, reason: str) -> None:
        """It was not made; the client tries again by itself."""
        ...

    def lost(self, reason: str) -> None:
        """It ended; the client tries again by itself."""
        ...

    def received(self, incoming: Incoming) -> None:
        """A message came."""
        ...


class CloudClient(Protocol):
    """An MQTT client of the cloud that keeps itself connected between `start` and `stop`.

    `dropped`: messages from the cloud that came faster than they were taken. Those of QoS 1 were not
    acknowledged.
    """

    dropped: int

    def start(self) -> None:
        """Begin to connect."""
        ...

    async def stop(self) -> None:
        """Disconnect in order and give everything back."""
        ...

    def publish(self, message: Message, qos: int, now: float, done: Done) -> None:
        """Send `message`; `done(error or None)` after the PUBACK, or after it was written at QoS 0.

        `now` is wall time, for the expiry that remains. Never raises: every outcome is told to `done`.
        """
        ...

    async def subscribe(self, subscriptions: Sequence[CloudSubscription]) -> dict[str, str]:
        """Subscribe; gives filter -> reason of those that were refused. Raises CloudError."""
        ...

    async def unsubscribe(self, topic_filters: Sequence[str]) -> None:
        """Take subscriptions back. Raises CloudError."""
        ...
