"""Lifecycle events: who connected, who left and why, who subscribes to what. Pure.

Topics, fields and reasons are those of the developer guide's "Lifecycle events".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from edgecore.mqtt.reason_codes import ReasonCode

# The version number of a client's events starts again when it was away for about an hour.
FORGET_SECONDS: Final = 3600

CLIENT_INITIATED: Final = "CLIENT_INITIATED_DISCONNECT"
CONNECTION_LOST: Final = "CONNECTION_LOST"
# Why the simulated cloud ends a connection -> the reason that AWS's event names; all others are the
# client's error.
_REASONS: Final = {
    ReasonCode.SESSION_TAKEN_OVER: "DUPLICATE_CLIENTID",
    ReasonCode.KEEP_ALIVE_TIMEOUT: "MQTT_KEEP_ALIVE_TIMEOUT",
    ReasonCode.NOT_AUTHORIZED: "AUTH_ERROR",
    ReasonCode.ADMINISTRATIVE_ACTION: "API_INITIATED_DISCONNECT",
    ReasonCode.SERVER_SHUTTING_DOWN: "SERVER_INITIATED_DISCONNECT",
}


def reason_of(reason: ReasonCode) -> str:
    """The event's word for the reason with which a connection was ended."""
    return _REASONS.get(reason, "CLIENT_ERROR")


@dataclass(frozen=True, slots=True)
class Visit:
    """One connection as its events tell it."""

    client_id: str
    session: str
    principal: str
    address: str
    version: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """A message that the service publishes about a client."""

    topic: str
    payload: bytes


class Presence:
    """Numbers the visits of each client and words their events. `wall` is in epoch seconds."""

    def __init__(self) -> None:
        self._versions: dict[str, tuple[int, float]] = {}

    def arrive(self, visit: Visit, wall: float) -> Visit:
        """The visit with its number."""
        number, left = self._versions.get(visit.client_id, (-1, wall))
        number = 0 if wall - left > FORGET_SECONDS else number + 1
        self._versions[visit.client_id] = number, wall
        return Visit(visit.client_id, visit.session, visit.principal, visit.address, number)

    def connected(self, visit: Visit, wall: float) -> list[Event]:
        """A client came."""
        return _event("presence/connected", visit, wall, ipAddress=visit.address)

    def failed(self, visit: Visit, wall: float) -> list[Event]:
        """A client was not let in: no policy allows it."""
        more = {"ipAddress": visit.address, "connectFailureReason": "AUTHORIZATION_FAILED"}
        return _event("presence/connect_failed", visit, wall, **more)

    def disconnected(self, visit: Visit, why: str, wall: float) -> list[Event]:
        """A client left, or was made to."""
        self._versions[visit.client_id] = visit.version, wall
        initiated = why == CLIENT_INITIATED
        return _event(
            "presence/disconnected", visit, wall, clientInitiatedDisconnect=initiated, disconnectReason=why
        )

    def subscribed(self, visit: Visit, filters: list[str], wall: float) -> list[Event]:
        """A client was granted these filters."""
        return _event("subscriptions/subscribed", visit, wall, topics=filters) if filters else []

    def unsubscribed(self, visit: Visit, filters: list[str], wall: float) -> list[Event]:
        """A client took these filters back."""
        return _event("subscriptions/unsubscribed", visit, wall, topics=filters) if filters else []


def _event(path: str, visit: Visit, wall: float, **more: object) -> list[Event]:
    """No event for a client id that holds a wildcard: it would be no topic."""
    if "+" in visit.client_id or "#" in visit.client_id:
        return []
    document: dict[str, object] = {
        "clientId": visit.client_id,
        "timestamp": int(wall * 1000),
        "eventType": path.partition("/")[2],
        "sessionIdentifier": visit.session,
        "principalIdentifier": visit.principal,
        **more,
        "versionNumber": visit.version,
    }
    payload = json.dumps(document, separators=(",", ":")).encode()
    return [Event(f"$aws/events/{path}/{visit.client_id}", payload)]
