"""When a function's worker is started, given an event, killed and replaced. Pure: a table and a clock.

One function has at most one worker at this stage, and a worker one invocation at a time. The driver
(function.py) tells what happened as a Signal and does the Actions that come back; it owes the machine
EXITED after every KILL and CLOSE, `tick` at `deadline`, and `settle` after each.

    STOPPED --WANTED--> STARTING --LOADED--> IDLE --WORK--> BUSY --FINISHED--> IDLE
       ^                    |                  |               |
       |                    +---- failures ----+---------------+--> KILLED --EXITED--> BACKOFF
       +--EXITED-- STOPPING <---- idle too long, closed                                   |
       +-----------------------------------------EXPIRED----------------------------------+
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a function's worker is."""

    STOPPED = "stopped"  # no process
    STARTING = "starting"  # a process that loads its handler
    IDLE = "idle"
    BUSY = "busy"
    STOPPING = "stopping"  # asked to end
    KILLED = "killed"  # SIGKILL sent, its end not yet seen
    BACKOFF = "backoff"  # no process; waits before the next one


class Signal(StrEnum):
    """What happened."""

    WANTED = "wanted"  # there is work, or the function is pinned
    WORK = "work"  # there is an event to dispatch
    LOADED = "loaded"
    LOAD_FAILED = "load failed"
    FINISHED = "finished"  # the handler returned or raised
    EXITED = "exited"  # the process is gone
    EXPIRED = "expired"  # the deadline has passed
    VIOLATED = "violated"  # it sent garbage, flooded, or ran out of memory
    CLOSED = "closed"  # the function is taken down


class Action(StrEnum):
    """What the driver must do."""

    SPAWN = "spawn"
    DISPATCH = "dispatch"
    CLOSE = "close"  # close the worker's socket: it ends by itself
    KILL = "kill"  # SIGKILL to its process group
    FAIL = "fail"  # the event in flight has failed


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the table. `failure`: the worker is to blame, so its successor may have to wait."""

    state: State
    actions: tuple[Action, ...] = ()
    failure: bool = False


_S, _G, _A = State, Signal, Action

# What is not in the table changes nothing: a frame that a killed worker had still sent, for instance.
TABLE: Final[dict[tuple[State, Signal], Step]] = {
    (_S.STOPPED, _G.WANTED): Step(_S.STARTING, (_A.SPAWN,)),
    (_S.STARTING, _G.LOADED): Step(_S.IDLE),
    (_S.STARTING, _G.LOAD_FAILED): Step(_S.KILLED, (_A.KILL,), failure=True),
    (_S.STARTING, _G.VIOLATED): Step(_S.KILLED, (_A.KILL,), failure=True),
    (_S.STARTING, _G.EXPIRED): Step(_S.KILLED, (_A.KILL,), failure=True),
    (_S.STARTING, _G.EXITED): Step(_S.BACKOFF, failure=True),
    (_S.STARTING, _G.CLOSED): Step(_S.KILLED, (_A.KILL,)),  # it has no event: nothing to wait for
    (_S.IDLE, _G.WORK): Step(_S.BUSY, (_A.DISPATCH,)),
    (_S.IDLE, _G.VIOLATED): Step(_S.KILLED, (_A.KILL,), failure=True),
    (_S.IDLE, _G.EXPIRED): Step(_S.STOPPING, (_A.CLOSE,)),
    (_S.IDLE, _G.EXITED): Step(_S.BACKOFF, failure=True),
    (_S.IDLE, _G.CLOSED): Step(_S.STOPPING, (_A.CLOSE,)),
    (_S.BUSY, _G.FINISHED): Step(_S.IDLE),
    (_S.BUSY, _G.VIOLATED): Step(_S.KILLED, (_A.KILL, _A.FAIL), failure=True),
    (_S.BUSY, _G.EXPIRED): Step(_S.KILLED, (_A.KILL, _A.FAIL), failure=True),
    (_S.BUSY, _G.EXITED): Step(_S.BACKOFF, (_A.FAIL,), failure=True),
    (_S.BUSY, _G.CLOSED): Step(_S.STOPPING, (_A.CLOSE,)),
    (_S.STOPPING, _G.VIOLATED): Step(_S.KILLED, (_A.KILL,)),
    (_S.STOPPING, _G.EXPIRED): Step(_S.KILLED, (_A.KILL,)),
    (_S.STOPPING, _G.EXITED): Step(_S.STOPPED),
    (_S.KILLED, _G.EXITED): Step(_S.BACKOFF),
    (_S.BACKOFF, _G.EXPIRED): Step(_S.STOPPED),
}

# States with a process.
ALIVE: Final = frozenset((_S.STARTING, _S.IDLE, _S.BUSY, _S.STOPPING, _S.KILLED))


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a worker may stay in a state, in seconds. `idle` is None for pinned functions."""

    start: float
    timeout: float
    idle: float | None
    stop: float


class Scheduler:
    """The state of one function's worker."""

    def __init__(self, limits: Limits, pinned: bool, delays: Callable[[], Iterator[float]]) -> None:
        self._stay: dict[State, float | None] = {
            State.STARTING: limits.start,
            State.BUSY: limits.timeout,
            State.IDLE: limits.idle,
            State.STOPPING: limits.stop,
        }
        self._pinned = pinned
        self._new_delays = delays
        self._delays = delays()
        self._in_a_row = 0  # failures since the last success
        self._delay = 0.0
        self._closed = False
        self.state = State.STOPPED
        self.deadline: float | None = None

    def signal(self, signal: Signal, now: float) -> tuple[Action, ...]:
        """Take in what happened; gives what to do."""
        self._closed = self._closed or signal is Signal.CLOSED
        step = TABLE.get((self.state, signal))
        if step is None:
            return ()
        if signal is Signal.FINISHED:
            self._in_a_row = 0
            self._delays = self._new_delays()
        if step.failure:
            self._delay = next(self._delays) if self._in_a_row else 0.0
            self._in_a_row += 1
        self._enter(step.state, now)
        return step.actions

    def tick(self, now: float) -> tuple[Action, ...]:
        """To be called when `deadline` has come; earlier does no harm."""
        if self.deadline is None or now < self.deadline:
            return ()
        return self.signal(Signal.EXPIRED, now)

    def settle(self, work: bool, now: float) -> tuple[Action, ...]:
        """Start a worker or dispatch, if there is a reason to and the state allows it."""
        if self._closed:
            return ()
        if work and self.state is State.IDLE:
            return self.signal(Signal.WORK, now)
        if work or self._pinned:
            return self.signal(Signal.WANTED, now)
        return ()

    def _enter(self, state: State, now: float) -> None:
        self.state = state
        if state is State.BACKOFF:
            stay: float | None = self._delay
            self._delay = 0.0
        else:
            stay = self._stay.get(state)
        self.deadline = None if stay is None else now + stay
