"""Starts units in order, keeps them running, stops them backwards. Decides nothing: see lifecycle.py.

The one place of edgecore that catches everything: whatever a service raises is a crash of its unit
and of nothing else. Knows services only as something with `run` and `status`.

Each unit has one task, owned by the supervisor and not by a TaskGroup: a group would wait for ever
for a service that ignores its cancellation, and each stop here has a deadline.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import EdgecoreError
from edgecore.base.interfaces import Service
from edgecore.daemon.lifecycle import RESTART, Event, RestartPolicy, State, after, judge

log = logging.getLogger(__name__)

# Design section 2: a unit that is not essential holds nothing back for longer than this.
OPTIONAL_HOLD: Final = 2.0

Status = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Unit:
    """A service and how it is kept running.

    `factory` builds a fresh service each time; what it raises counts as a crash. Broken, an
    `essential` unit ends the process; any other stays down and is reported. Seconds: a service that
    is not ready after `start_deadline` has crashed, one that has not stopped after `stop_deadline`
    is abandoned.
    """

    name: str
    factory: Callable[[], Service]
    essential: bool = False
    policy: RestartPolicy = RESTART
    start_deadline: float = 30.0
    stop_deadline: float = 5.0


class EssentialBrokenError(EdgecoreError):
    """A unit that the core cannot live without is broken; the process must end."""

    def __init__(self, unit: str, reason: str) -> None:
        self.unit = unit
        self.reason = reason
        super().__init__(f"essential unit {unit} is broken: {reason}")


@dataclass(slots=True)
class _Slot:
    """What the supervisor knows of one unit. `settled` is set while it is running or broken."""

    unit: Unit
    since: float
    state: State = State.WAITING
    service: Service | None = None
    task: asyncio.Task[None] | None = None
    crashes: tuple[float, ...] = ()
    restarts: int = 0
    reason: str = ""
    leaving: bool = False
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    replacing: asyncio.Lock = field(default_factory=asyncio.Lock)


class Supervisor:
    """Runs `units` in their order. Implements Statuses and, with `replace`, the doing of Units.

    `also` adds the status of plain objects that have no life of their own. `sleep` waits between a
    crash and the restart. `hold`: seconds for which an optional unit may hold back the next one.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        clock: Clock,
        random: Callable[[], float],
        *,
        also: Mapping[str, Callable[[], Status]] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        hold: float = OPTIONAL_HOLD,
    ) -> None:
        self._clock = clock
        self._random = random
        self._also = also or {}
        self._sleep = sleep
        self._hold = hold
        self._slots = {unit.name: _Slot(unit, clock.now()) for unit in units}
        self._end = asyncio.Event()
        self._broken: EssentialBrokenError | None = None
        self.stuck: tuple[str, ...] = ()

    async def run(self, ready: Callable[[], None]) -> None:
        """Start all, call `ready()`, run until `request_stop`, stop all backwards.

        `stuck` then names the units that did not stop in time: their tasks still run, so the
        process must be ended without waiting for them. Raises EssentialBrokenError.
        """
        try:
            await self._start_all()
            if not self._end.is_set():
                ready()
            await self._end.wait()
        finally:
            self._end.set()
            await self._stop_all()
        if self._broken is not None:
            raise self._broken

    def request_stop(self) -> None:
        """Let `run` come to its end. Any number of times, at any moment."""
        self._end.set()

    async def replace(self, name: str) -> None:
        """Stop the unit and start it anew from its factory; returns when it runs or is broken.

        Its past crashes are forgotten: what runs now is something else. Returns at once when the
        core is stopping. Raises KeyError for a name that no unit has.
        """
        slot = self._slots[name]
        async with slot.replacing:
            if not await self._stop(slot):
                self._give_up(slot, f"did not stop within {slot.unit.stop_deadline:g} s when replaced")
                return
            slot.crashes, slot.reason = (), ""
            self._launch(slot)
            await self._settle(slot, None)

    def statuses(self) -> Mapping[str, Status]:
        """Unit -> state, essential, restarts, since (epoch seconds), reason, status (the service's own)."""
        units = {name: _status(slot) for name, slot in self._slots.items()}
        running = State.RUNNING.value
        plain = {name: {"state": running, "status": _ask(ask)} for name, ask in self._also.items()}
        return {**units, **plain}

    async def _start_all(self) -> None:
        for slot in self._slots.values():
            if self._end.is_set():
                return
            self._launch(slot)
            await self._settle(slot, None if slot.unit.essential else self._hold)

    def _launch(self, slot: _Slot) -> None:
        if self._end.is_set():
            return
        self._move(slot, Event.START)
        slot.task = asyncio.create_task(self._keep(slot), name=f"unit {slot.unit.name}")
        slot.task.add_done_callback(self._check_end)

    async def _settle(self, slot: _Slot, limit: float | None) -> None:
        """Wait until the unit runs or is broken, the core stops, or `limit` seconds have passed."""
        waits = [asyncio.ensure_future(event.wait()) for event in (slot.settled, self._end)]
        try:
            done, _ = await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if not done:
            log.warning("unit holds the start back, going on unit=%s seconds=%s", slot.unit.name, limit)

    async def _keep(self, slot: _Slot) -> None:
        """Run the unit again and again until it is stopped or broken."""
        while True:
            reason = await self._run_once(slot)
            if slot.leaving:
                log.error("unit failed while it was stopped unit=%s reason=%r", slot.unit.name, reason)
                return
            verdict = judge(slot.unit.policy, slot.crashes, self._clock.monotonic(), self._random)
            slot.crashes = verdict.crashes
            if verdict.delay is None:
                self._give_up(slot, reason)
                return
            self._move(slot, Event.CRASH, reason)
            log.warning(
                "unit crashed unit=%s reason=%r restart_in=%.1f", slot.unit.name, reason, verdict.delay
            )
            await self._sleep(verdict.delay)
            slot.restarts += 1
            self._move(slot, Event.START)

    async def _run_once(self, slot: _Slot) -> str:
        """Build and run the service once; gives the reason why it ended although nobody stopped it."""
        limit = asyncio.timeout(slot.unit.start_deadline)

        def ready() -> None:
            if slot.state is State.STARTING:
                limit.reschedule(None)
                self._became_ready(slot)

        try:
            async with limit:
                slot.service = slot.unit.factory()
                await slot.service.run(ready)
        except asyncio.CancelledError:
            if slot.leaving:
                raise
            return "cancelled from within"
        except Exception as error:  # noqa: BLE001  the one place that catches everything
            if limit.expired():
                return f"not ready within {slot.unit.start_deadline:g} s"
            return _reason(slot.unit.name, error)
        return "ended although nobody stopped it"

    def _became_ready(self, slot: _Slot) -> None:
        self._move(slot, Event.READY)
        log.info("unit ready unit=%s", slot.unit.name)

    def _give_up(self, slot: _Slot, reason: str) -> None:
        self._move(slot, Event.GIVE_UP, reason)
        log.error("unit broken unit=%s essential=%s reason=%r", slot.unit.name, slot.unit.essential, reason)
        if slot.unit.essential and self._broken is None:
            self._broken = EssentialBrokenError(slot.unit.name, reason)
            self._end.set()

    def _move(self, slot: _Slot, event: Event, reason: str = "") -> None:
        slot.state = after(slot.state, event)
        slot.since = self._clock.now()
        slot.reason = reason or slot.reason
        if slot.state in {State.RUNNING, State.BROKEN}:
            slot.settled.set()
        else:
            slot.settled.clear()

    async def _stop_all(self) -> None:
        stuck = [slot.unit.name for slot in reversed(self._slots.values()) if not await self._stop(slot)]
        self.stuck = tuple(stuck)

    async def _stop(self, slot: _Slot) -> bool:
        """Cancel the unit's task and wait for its deadline; whether it ended."""
        task = slot.task
        if task is None:
            return True
        slot.leaving = True
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=slot.unit.stop_deadline)
        self._move(slot, Event.STOP)
        if not done:
            log.error("unit did not stop unit=%s seconds=%s", slot.unit.name, slot.unit.stop_deadline)
            return False
        slot.task, slot.service, slot.leaving = None, None, False
        return True

    def _check_end(self, task: asyncio.Task[None]) -> None:
        """A unit's task never raises, whatever its service does. If it did, nobody watches the unit."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.critical("supervisor failed task=%s", task.get_name(), exc_info=error)
            self._broken = EssentialBrokenError("supervisor", f"{type(error).__name__}: {error}")
            self._end.set()


def _reason(unit: str, error: Exception) -> str:
    """What people read. What edgecore raises on purpose explains itself; anything else needs a trace."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, EdgecoreError):
        return str(error)
    log.error("unit raised unit=%s", unit, exc_info=error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _status(slot: _Slot) -> Status:
    return {
        "state": slot.state.value,
        "essential": slot.unit.essential,
        "restarts": slot.restarts,
        "since": slot.since,
        "reason": slot.reason,
        "status": _ask(slot.service.status) if slot.service is not None else {},
    }


def _ask(status: Callable[[], Status]) -> Status:
    try:
        return status()
    except Exception as error:  # noqa: BLE001  a status that fails must not hide the others
        return {"error": f"{type(error).__name__}: {error}"}
