"""The state of the connection to the cloud, as a table. Pure: events and `now` come in.

Being offline is one of the states and no error; `cause` says what kind of offline it is.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from edgecore.base.errors import LocalProtocolError
from edgecore.uplink.trouble import Cause, Trouble


class State(StrEnum):
    """Where the connection is."""

    STOPPED = "stopped"
    UNAVAILABLE = "unavailable"  # no client could be made: a missing extra, a missing or damaged file
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"  # offline, until the next try


class Event(StrEnum):
    """What happens to it."""

    BLOCK = "block"
    ATTEMPT = "attempt"
    SUCCEED = "succeed"
    FAIL = "fail"
    LOSE = "lose"
    STOP = "stop"


_TABLE: Final[dict[State, dict[Event, State]]] = {
    State.STOPPED: {
        Event.BLOCK: State.UNAVAILABLE,
        Event.ATTEMPT: State.CONNECTING,
        # What the client still had to say while it was being stopped.
        Event.SUCCEED: State.STOPPED,
        Event.FAIL: State.STOPPED,
        Event.LOSE: State.STOPPED,
        Event.STOP: State.STOPPED,
    },
    State.UNAVAILABLE: {
        Event.BLOCK: State.UNAVAILABLE,
        Event.ATTEMPT: State.CONNECTING,
        Event.STOP: State.STOPPED,
    },
    State.CONNECTING: {
        Event.SUCCEED: State.CONNECTED,
        Event.FAIL: State.WAITING,
        Event.STOP: State.STOPPED,
    },
    State.CONNECTED: {
        Event.LOSE: State.WAITING,
        Event.STOP: State.STOPPED,
    },
    State.WAITING: {
        Event.ATTEMPT: State.CONNECTING,
        Event.STOP: State.STOPPED,
    },
}


_TRYING: Final = {State.CONNECTING, State.WAITING}


class Connection:
    """The state, since when, and why. `since` is wall time in epoch seconds."""

    def __init__(self, now: float) -> None:
        self.state = State.STOPPED
        self.since = now
        self.reason = ""
        self.cause: Cause | None = None
        self.last_error = ""
        self.connects = 0
        self.failures = 0  # in a row

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self.state is State.CONNECTED

    def apply(self, event: Event, now: float, reason: str = "", cause: Cause | None = None) -> bool:
        """Take an event; gives whether `connected` changed.

        Raises LocalProtocolError for an event that cannot happen in this state.
        """
        following = _TABLE[self.state].get(event)
        if following is None:
            raise LocalProtocolError(f"the connection is {self.state} and cannot {event}")
        was_connected = self.connected
        if event in (Event.FAIL, Event.LOSE, Event.BLOCK):
            self.last_error = reason or self.last_error
        self._count(event)
        # Trying and failing again is one long outage: it is as old as its beginning.
        if following is not self.state and {self.state, following} != _TRYING:
            self.since = now
        self.state = following
        self.reason = "" if self.connected else reason or self.reason
        self.cause = None if self.connected else cause or self.cause
        return self.connected != was_connected

    def explain(self, trouble: Trouble) -> None:
        """What was found out since about why there is no connection."""
        if not self.connected:
            self.reason = self.last_error = trouble.reason
            self.cause = trouble.cause

    def _count(self, event: Event) -> None:
        if event is Event.SUCCEED:
            self.connects += 1
            self.failures = 0
        elif event is Event.FAIL:
            self.failures += 1
