"""The connections that stand, by client id, and those that have something to send. Pure."""

from __future__ import annotations

from typing import Protocol

from edgecore.mqtt.reason_codes import ReasonCode


class Connected(Protocol):
    """What is asked of a connection here."""

    def flush(self, now: float) -> None:
        """Send what its session has."""
        ...

    def end(self, reason: ReasonCode, now: float, *, will: bool = True) -> None:
        """Close it."""
        ...


class Live:
    """Finds the connection of a client id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Connected] = {}
        self._woken: set[str] = set()

    def wake(self, client_id: str) -> None:
        """The session of `client_id` has something to send."""
        self._woken.add(client_id)

    def flush(self, now: float) -> None:
        """Let every woken connection send."""
        woken, self._woken = self._woken, set()
        for client_id in woken:
            connection = self._by_id.get(client_id)
            if connection is not None:
                connection.flush(now)

    def take_over(self, client_id: str, connection: Connected, now: float) -> None:
        """Put a new connection in the place of an older one of the same client id (3.1.4)."""
        self.end(client_id, ReasonCode.SESSION_TAKEN_OVER, now)
        self._by_id[client_id] = connection

    def end(self, client_id: str, reason: ReasonCode, now: float, *, will: bool = True) -> bool:
        """Close the connection of a client id; tells whether there was one."""
        connection = self._by_id.get(client_id)
        if connection is not None:
            connection.end(reason, now, will=will)
        return connection is not None

    def left(self, client_id: str, connection: Connected) -> None:
        """A connection has ended."""
        if self._by_id.get(client_id) is connection:
            del self._by_id[client_id]
