"""What a server grants and announces to a CONNECT (5, 3.1 and 3.2). Pure, and not about who may connect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgecore.mqtt.inbound import Inbound
from edgecore.mqtt.outbound import Sending
from edgecore.mqtt.packets import V5, V311, Connect
from edgecore.mqtt.properties import (
    ASSIGNED_CLIENT_IDENTIFIER,
    AUTHENTICATION_METHOD,
    MAXIMUM_PACKET_SIZE,
    RECEIVE_MAXIMUM,
    SERVER_KEEP_ALIVE,
    SESSION_EXPIRY_INTERVAL,
    TOPIC_ALIAS_MAXIMUM,
    PropertyMap,
)
from edgecore.mqtt.reason_codes import ReasonCode

# A client identifier is kept for as long as its session is; AWS allows 128 bytes.
MAX_CLIENT_ID_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of one session. Times in seconds, sizes in bytes.

    `receive_maximum`: unacknowledged messages from the client; `max_in_flight`: towards it.
    `max_queued`, `max_queued_bytes`: what waits for a place in flight; the oldest is dropped.
    `max_unsent`: bytes ready for a client that does not read; beyond it QoS 0 is dropped and QoS 1
    and 2 wait in the queue. `max_keep_alive`: the longest that is granted, 0 for any. `topic_aliases`: how
    many topics the client may give numbers to, and how many we give numbers to; each may be 64 KB long.
    `max_session_expiry`: how long a session is kept for an absent client at the most.
    """

    receive_maximum: int = 1024
    max_in_flight: int = 256
    max_queued: int = 1000
    max_queued_bytes: int = 1024 * 1024
    max_unsent: int = 1024 * 1024
    max_packet_size: int = 256 * 1024
    max_keep_alive: int = 1200
    topic_aliases: int = 16
    max_session_expiry: int = 30 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Kept:
    """What a session that outlives its connection brings to a new one.

    `present`: it was there before. `expiry`: how long it is kept from the end of the connection, in seconds.
    """

    present: bool
    expiry: int
    inbound: Inbound
    outbound: Sending


def window_of(connect: Connect, limits: SessionLimits) -> int:
    """How many messages at QoS 1 and 2 may be on their way to the client at once (5, 3.1.2.11.3)."""
    return min(connect.properties.integer(RECEIVE_MAXIMUM, 0xFFFF), limits.max_in_flight)


def objection(connect: Connect) -> tuple[ReasonCode, str] | None:
    """Why this CONNECT cannot be served whoever sent it, or None."""
    if AUTHENTICATION_METHOD in connect.properties:
        return ReasonCode.BAD_AUTHENTICATION_METHOD, "no authentication method is served beside certificates"
    if not connect.client_id and not connect.clean_start and connect.version == V311:
        return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, "an empty client id needs clean session 1 (3.1.3.1)"
    if len(connect.client_id.encode()) > MAX_CLIENT_ID_BYTES:
        return ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, f"a client id has at most {MAX_CLIENT_ID_BYTES} bytes"
    return None


def granted_keep_alive(connect: Connect, maximum: int) -> int:
    """The keep alive in force, in seconds. Only in 5 can the server name another one (5, 3.2.2.3.14)."""
    asked = connect.keep_alive
    if connect.version == V5 and maximum and (asked == 0 or asked > maximum):
        return maximum
    return asked


def granted_expiry(connect: Connect, maximum: int) -> int:
    """How long the session outlives its connection, in seconds; 0: it does not (5, 3.1.2.11.2).

    In 3.1.1 clean session 0 asks for a session without an end: it gets the longest that there is.
    """
    if connect.version == V311:
        return 0 if connect.clean_start else maximum
    return min(connect.properties.integer(SESSION_EXPIRY_INTERVAL), maximum)


def announcement(
    connect: Connect, limits: SessionLimits, keep_alive: int, client_id: str, expiry: int
) -> PropertyMap:
    """What CONNACK says of this server, so that no client counts on what is not there."""
    announced = PropertyMap(
        {
            RECEIVE_MAXIMUM: limits.receive_maximum,
            MAXIMUM_PACKET_SIZE: limits.max_packet_size,
            TOPIC_ALIAS_MAXIMUM: limits.topic_aliases,
        }
    )
    if connect.properties.integer(SESSION_EXPIRY_INTERVAL) != expiry:
        announced[SESSION_EXPIRY_INTERVAL] = expiry
    if keep_alive != connect.keep_alive:
        announced[SERVER_KEEP_ALIVE] = keep_alive
    if not connect.client_id:
        announced[ASSIGNED_CLIENT_IDENTIFIER] = client_id
    return announced
