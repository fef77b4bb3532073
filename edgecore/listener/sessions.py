"""The live sessions by (principal, client id).

A client id is no secret: only the same device can take a session over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol
from uuid import uuid4

from edgecore.base.identity import Principal
from edgecore.listener.crowd import Crowd
from edgecore.listener.kept_sessions import KeptSessions
from edgecore.listener.traffic import Traffic


class Session(Protocol):
    """What the registry needs of a session."""

    @property
    def principal(self) -> Principal:
        """Whose session it is."""
        ...

    @property
    def client_id(self) -> str:
        """The client id, as the client gave it or as it was assigned."""
        ...

    def taken_over(self) -> None:
        """End: the same client has connected anew."""
        ...


class Sessions:
    """Who is connected now: `devices` counts them by principal, `traffic` what they have moved.

    `kept`: the sessions that outlive their connections; None where nothing does. `unique` gives texts that
    nothing else has.
    """

    __slots__ = ("_live", "_unique", "devices", "kept", "takeovers", "traffic")

    def __init__(
        self, kept: KeptSessions | None = None, unique: Callable[[], str] = lambda: str(uuid4())
    ) -> None:
        self._live: dict[tuple[str, str], Session] = {}
        self._unique = unique
        self.kept = kept
        self.takeovers = 0
        self.devices = Crowd()
        self.traffic = Traffic()

    def __len__(self) -> int:
        return len(self._live)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._live.values()))

    def enter(self, session: Session) -> None:
        """Register a session; one of the same principal and client id is ended first (5, 3.1.4)."""
        key = (session.principal.id, session.client_id)
        old = self._live.pop(key, None)
        if old is not None:
            self.takeovers += 1
            old.taken_over()
        self._live[key] = session
        self.traffic.most_connected = max(self.traffic.most_connected, len(self._live))

    def holds(self, principal: Principal, client_id: str) -> bool:
        """Whether there is a session that this client would take over."""
        return (principal.id, client_id) in self._live

    def leave(self, session: Session) -> None:
        """Forget a session, unless another one has taken its place."""
        key = (session.principal.id, session.client_id)
        if self._live.get(key) is session:
            del self._live[key]

    def assign_id(self, principal: Principal) -> str:
        """A client id for one who gave none, and that no other client of the principal has (5, 3.2.2.3.7)."""
        while True:
            client_id = f"edgecore-{self._unique()}"
            kept = self.kept is not None and self.kept.holds(principal, client_id)
            if not kept and not self.holds(principal, client_id):
                return client_id
