"""The life of a unit, decided: a table of its states, and what a crash leads to. Pure.

Knows no tasks, no clock and no service. The supervisor walks this table and does what it says.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from edgecore.base.backoff import Backoff


class State(enum.StrEnum):
    """What a unit is doing. The values are what `edgecore status` shows."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing off"
    BROKEN = "broken"
    STOPPED = "stopped"


class Event(enum.Enum):
    """What can happen to a unit."""

    START = enum.auto()
    READY = enum.auto()
    CRASH = enum.auto()
    GIVE_UP = enum.auto()
    STOP = enum.auto()


TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    State.WAITING: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    State.STARTING: {
        Event.READY: State.RUNNING,
        Event.CRASH: State.BACKING_OFF,
        Event.GIVE_UP: State.BROKEN,
        Event.STOP: State.STOPPED,
    },
    State.RUNNING: {
        Event.CRASH: State.BACKING_OFF,
        Event.GIVE_UP: State.BROKEN,
        Event.STOP: State.STOPPED,
    },
    State.BACKING_OFF: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    # A broken unit is started again only by being replaced.
    State.BROKEN: {Event.START: State.STARTING, Event.STOP: State.STOPPED},
    # GIVE_UP: it was told to stop and did not, so it must not be started beside itself.
    State.STOPPED: {Event.START: State.STARTING, Event.GIVE_UP: State.BROKEN, Event.STOP: State.STOPPED},
}


def after(state: State, event: Event) -> State:
    """The state that `event` leads to. Raises KeyError for what can never happen: a bug here."""
    return TRANSITIONS[state][event]


# A crash loop of half a minute at most between tries, so that what mends itself is soon used again.
_BACKOFF: Final = Backoff(initial=0.5, maximum=30.0)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a unit may crash: more than `crashes` within `window` seconds, and it is broken.

    `backoff` spaces the restarts; the n-th delay belongs to the n-th crash within the window, so a
    unit that has run well for a whole window starts again at once.
    """

    crashes: int = 5
    window: float = 120.0
    backoff: Backoff = _BACKOFF


RESTART: Final = RestartPolicy()
# What the core cannot live without: a moment for a port to become free, then systemd takes over.
ESSENTIAL: Final = RestartPolicy(crashes=2)
# The store and what hangs on it are built once per start: a crash there ends the process at once.
NEVER: Final = RestartPolicy(crashes=0)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a crash leads to. `delay`: seconds until the restart, or None when the unit is broken.

    `crashes`: the times of the crashes that still count, in monotonic seconds.
    """

    crashes: tuple[float, ...]
    delay: float | None


def judge(
    policy: RestartPolicy, crashes: tuple[float, ...], now: float, random: Callable[[], float]
) -> Verdict:
    """Decide about a crash at `now`, after the earlier `crashes`. `random` gives a number in [0, 1)."""
    counted = (*(at for at in crashes if now - at < policy.window), now)
    if len(counted) > policy.crashes:
        return Verdict(counted, None)
    delay = next(islice(policy.backoff.delays(random), len(counted) - 1, None))
    return Verdict(counted, delay)
