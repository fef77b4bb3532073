"""Why there is no connection to the cloud, in words that `edgecore status` names. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edgecore.uplink.window import Evidence


class Cause(StrEnum):
    """What keeps the core from its cloud."""

    DNS = "dns failure"
    UNREACHABLE = "network unreachable"
    REFUSED = "connection refused"
    NO_ANSWER = "no answer"
    CAPTIVE_PORTAL = "captive portal"
    UNTRUSTED = "server not trusted"
    CLOCK = "clock not set"
    NOT_AUTHORISED = "not authorised"
    TAKEN_OVER = "taken over"
    THROTTLED = "throttled"
    HALF_OPEN = "half-open link"
    TLS = "tls failure"
    CLOSED = "closed by the cloud"
    MESSAGE = "message refused"
    STOPPED = "stopped"
    OTHER = "other"


# What a person can do about it, where that is not plain.
CURES: Final = {
    Cause.DNS: "is [cloud] endpoint right, and does DNS work here?",
    Cause.CAPTIVE_PORTAL: "something on the way answers in the cloud's place: sign in there, or open the way",
    Cause.UNTRUSTED: "is [cloud] ca the CA of this endpoint?",
    Cause.CLOCK: "the core connects as soon as the clock is set",
    Cause.NOT_AUTHORISED: "is the certificate known and active there, and does its policy allow this id?",
    Cause.TAKEN_OVER: "another core connects with the same client id: give each its own thing",
    Cause.TLS: "is [cloud] ca the CA of this endpoint?",
    Cause.CLOSED: "if this stays, is the certificate known and active in the cloud?",
}
_EVIDENCE: Final = {Cause.CLOSED: Evidence.CLOSED, Cause.MESSAGE: Evidence.MESSAGE}
# Causes that say too little: these are looked into.
UNCLEAR: Final = frozenset((Cause.TLS, Cause.NO_ANSWER, Cause.CLOSED, Cause.OTHER))


@dataclass(frozen=True, slots=True)
class Trouble:
    """A cause, and what was heard of it."""

    cause: Cause
    said: str

    @property
    def reason(self) -> str:
        """For a person: what was heard, and what to do."""
        cure = CURES.get(self.cause)
        return f"{self.said}: {cure}" if cure else self.said

    @property
    def evidence(self) -> Evidence:
        """What it says about the messages that were on their way."""
        return _EVIDENCE.get(self.cause, Evidence.NONE)
