"""A session that outlives its connections: what the router knows in place of the connection (base Receiver).

A client that is away has nothing but this. When a session begins and ends is decided in kept_sessions.py.
"""

from __future__ import annotations

from typing import Protocol

from edgecore.base.commit import Commit
from edgecore.base.identity import Principal
from edgecore.base.message import Message
from edgecore.listener.bodies import Run
from edgecore.listener.pool import Pool
from edgecore.listener.records import VERSION, SessionRecord, WillRecord, encode_session
from edgecore.listener.shelf import Bounds, Shelf
from edgecore.listener.stored_outbound import StoredOutbound
from edgecore.listener.subscribing import Subscribing
from edgecore.mqtt.inbound import Inbound
from edgecore.mqtt.runs import AckedRun
from edgecore.router import Router


class Connection(Protocol):
    """What a kept session needs of the connection that it has."""

    @property
    def live(self) -> bool:
        """Whether CONNECT was accepted and nothing has ended it."""
        ...

    def deliver(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> None:
        """Send a message at QoS 0."""
        ...

    def stir(self) -> None:
        """Send, at the end of this turn, what may go out."""
        ...

    def release(self, packet_id: int) -> None:
        """Send PUBREL."""
        ...


class StoredSession:
    """One kept session. `connection`: the one that it has now, accepted or about to be, or None.

    `expiry`: seconds that it is kept without a connection. `will`: what is published when the client is lost,
    or is due already. `expires_at`, `will_at`: monotonic seconds, None while not running out.
    """

    __slots__ = (
        "_principal",
        "_router",
        "client_id",
        "connection",
        "ended",
        "expires_at",
        "expiry",
        "inbound",
        "key",
        "outbound",
        "subscribing",
        "will",
        "will_at",
    )

    def __init__(
        self,
        key: int,
        principal: Principal,
        client_id: str,
        router: Router,
        shelf: Shelf,
        bounds: Bounds,
        pool: Pool,
        inbound: Inbound,
        max_subscriptions: int,
    ) -> None:
        self.key = key
        self._principal = principal
        self.client_id = client_id
        self._router = router
        self.connection: Connection | None = None
        self.expiry = 0
        self.ended: float | None = None
        self.expires_at: float | None = None
        self.will: WillRecord | None = None
        self.will_at: float | None = None
        self.inbound = inbound
        self.subscribing = Subscribing(router, self, max_subscriptions)
        self.outbound = StoredOutbound(shelf, key, bounds, pool, self, self._stir, self._release)

    @property
    def principal(self) -> Principal:
        """Whose session it is."""
        return self._principal

    @property
    def connected(self) -> bool:
        """Whether the client is there."""
        return self.connection is not None and self.connection.live

    @property
    def rows_version(self) -> int:
        """The router's routes, by number (stored_outbound's Permission)."""
        return self._router.rows_version

    def permits(self, message: Message) -> bool:
        """Whether a message that was stored may still be delivered (stored_outbound's Permission)."""
        return self._router.permits(message, self._principal)

    def rename(self, principal: Principal) -> None:
        """Take over another thing: the group gave the device one."""
        self._principal = principal

    def deliver(
        self, message: Message, qos: int, retain: bool, identifiers: tuple[int, ...] = (), share: str = ""
    ) -> Commit | None:
        """Take a message from the router: durably above QoS 0, else only for a client that is there."""
        connection = self.connection
        if qos:
            commit = self.outbound.push(message, qos, retain, identifiers, share)
            if connection is not None:
                connection.stir()
            return commit
        if connection is not None and connection.live:
            connection.deliver(message, 0, retain, identifiers)
        return None

    def deliver_run(
        self, sender: Principal, topic: str, protocol: int, run: AckedRun, frames: bytes
    ) -> list[Commit]:
        """Take a run of QoS 1 packets of one sender on one topic, durably. Raises RefusedError."""
        outbound = self.outbound
        commit = outbound.push_run(sender, topic, protocol, run, frames)
        if commit is not None:
            commits = [commit]
        else:
            body = Run(sender, topic, protocol, run, frames, 0)
            commits = [outbound.push(body.at(index), 1, retain=False) for index in range(run.number)]
        self._stir()
        return commits

    def record(self) -> bytes:
        """What the disk must know of it."""
        principal = self._principal
        record = SessionRecord(
            VERSION,
            (principal.kind, principal.name, principal.thing),
            self.client_id,
            self.expiry,
            self.ended,
            tuple(self.subscribing.records.values()),
            self.will,
            self.outbound.sent_to,
        )
        return encode_session(record)

    def _stir(self) -> None:
        if self.connection is not None:
            self.connection.stir()

    def _release(self, packet_id: int) -> None:
        if self.connection is not None:
            self.connection.release(packet_id)
