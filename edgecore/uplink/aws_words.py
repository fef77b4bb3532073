"""What awscrt and AWS IoT Core say, as a Cause. Pure: names and numbers, no library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edgecore.uplink.trouble import Cause

# awscrt's names of errors; the first that is part of the name counts.
_ERRORS: Final[Mapping[str, Cause]] = {
    "AWS_IO_DNS": Cause.DNS,
    "CONNECTION_REFUSED": Cause.REFUSED,
    "NO_ROUTE_TO_HOST": Cause.UNREACHABLE,
    "NETWORK_DOWN": Cause.UNREACHABLE,
    "PING_RESPONSE_TIMEOUT": Cause.HALF_OPEN,
    "TLS_NEGOTIATION_TIMEOUT": Cause.TLS,
    "TLS_ERROR_NEGOTIATION_FAILURE": Cause.TLS,
    "CONNACK_TIMEOUT": Cause.NO_ANSWER,
    "SOCKET_TIMEOUT": Cause.NO_ANSWER,
    "SOCKET_CLOSED": Cause.CLOSED,
    "UNEXPECTED_HANGUP": Cause.CLOSED,
    "TLS_ERROR_WRITE_FAILURE": Cause.CLOSED,
    "TLS_ERROR_READ_FAILURE": Cause.CLOSED,
    "TLS_ERROR_ALERT": Cause.CLOSED,
    "USER_REQUESTED_STOP": Cause.STOPPED,
}
# CONNACK (facts: aws-iot-core.md 2.4).
_CONNACK: Final[Mapping[int, Cause]] = {
    0x85: Cause.NOT_AUTHORISED,
    0x86: Cause.NOT_AUTHORISED,
    0x87: Cause.NOT_AUTHORISED,
    0x8A: Cause.NOT_AUTHORISED,
    0x97: Cause.THROTTLED,
    0x9F: Cause.THROTTLED,
}
# DISCONNECT. Those that a PUBLISH can bring about accuse what was in flight.
_DISCONNECT: Final[Mapping[int, Cause]] = {
    **dict.fromkeys((0x81, 0x82, 0x87, 0x90, 0x94, 0x95, 0x99, 0x9A, 0x9B), Cause.MESSAGE),
    0x8D: Cause.HALF_OPEN,
    0x8E: Cause.TAKEN_OVER,
    0x93: Cause.THROTTLED,
    0x96: Cause.THROTTLED,
    0x97: Cause.THROTTLED,
}


def cause_of_error(name: str) -> Cause:
    """Of an error by its name."""
    return next((cause for part, cause in _ERRORS.items() if part in name), Cause.OTHER)


def cause_of_connack(code: int) -> Cause:
    """Of a CONNACK that refuses."""
    return _CONNACK.get(code, Cause.OTHER)


def cause_of_disconnect(code: int) -> Cause:
    """Of a DISCONNECT from the cloud."""
    return _DISCONNECT.get(code, Cause.OTHER)
