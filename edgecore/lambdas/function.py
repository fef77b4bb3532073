"""One function at work: its queues, its worker, and the loop that moves events between them.

scheduling.py decides; this file does what it says. Everything of a function happens in its one task
or in callbacks of the same event loop, so nothing here needs a lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.errors import FunctionCrashedError, FunctionError, FunctionTimeoutError
from edgecore.base.group import FunctionSpec
from edgecore.base.identity import function
from edgecore.base.interfaces import Bus
from edgecore.base.message import AT_MOST_ONCE, Message
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.completion import Completion
from edgecore.lambdas.events import Event
from edgecore.lambdas.frames import (
    BROKEN,
    ERROR,
    INVOKE,
    LOADED,
    PUBLISH,
    PUBLISHED,
    RESULT,
    SETUP,
    STOP,
    Frame,
    FrameError,
)
from edgecore.lambdas.intake import Intake
from edgecore.lambdas.outcome import Condition, error_of
from edgecore.lambdas.output import Output, level_of
from edgecore.lambdas.process import Process, Program
from edgecore.lambdas.publishing import publish
from edgecore.lambdas.scheduling import Action, Limits, Scheduler, Signal, State
from edgecore.lambdas.settings import LambdasSettings
from edgecore.lambdas.tally import Tally
from edgecore.store import Database, DurableQueue, QueueBounds

# QoS 1 publishes that wait for their commit: each holds a thread of the worker, so more is no honest worker.
MAX_PUBLISHING: Final = 256


class Function:
    """One function, and Events for its worker's process. `intake` is its way in."""

    def __init__(
        self,
        spec: FunctionSpec,
        folder: Path,
        program: Program,
        settings: LambdasSettings,
        bus: Bus,
        db: Database,
        clock: Clock,
        random: Callable[[], float],
        run: int,
    ) -> None:
        self.spec = spec
        self._folder = folder
        self._program = program
        self._settings = settings
        self._bus = bus
        self._clock = clock
        self._principal = function(spec.name)
        self._log = logging.getLogger(f"edgecore.function.{spec.name}")
        bounds = QueueBounds(settings.queue_events, settings.queue_bytes, "refuse")
        self._queue = DurableQueue(db, f"function:{spec.name}", bounds)
        self._backlog = Backlog(settings)
        self._tally = Tally(self._log, clock)
        self._wake = asyncio.Event()
        self.intake = Intake(
            self._principal,
            settings.max_payload,
            self._queue,
            self._backlog,
            self._tally,
            clock,
            run,
            self._wake.set,
        )
        self._end = Completion(
            spec, settings, bus, self._queue, self._backlog, self._tally, clock, random, self._wake.set
        )
        idle = None if spec.pinned else settings.idle_timeout
        limits = Limits(settings.start_timeout, spec.timeout, idle, settings.stop_grace)
        self._machine = Scheduler(limits, spec.pinned, partial(settings.restart_backoff.delays, random))
        self._signals: deque[tuple[Signal, str]] = deque()
        self._process: Process | None = None
        self._current: Event | None = None
        self._since = 0.0  # when the worker was started, then when its invocation was
        self._publishing = 0

    async def open(self) -> None:
        """Find what an earlier run left in the durable queue. Raises StoreError."""
        await self._queue.open()

    async def run(self) -> None:
        """Work until cancelled; then let the worker end, for a bounded time."""
        try:
            while True:
                await self._turn()
        finally:
            await self._close()

    def status(self) -> dict[str, object]:
        """What is known of this function."""
        return {
            "state": "broken" if self._tally.broken else str(self._machine.state),
            "worker": str(self._machine.state),
            "pid": self._process.pid if self._process else None,
            "isolation": self.spec.isolation,
            "memory_enforcement": "rlimit",
            "pinned": self.spec.pinned,
            "queued": self._queue.count,
            "queued_bytes": self._queue.bytes,
            "memory_queued": self._backlog.memory_count,
            "retrying": self._backlog.retry_count,
            "dropped": {**self._queue.dropped, **self._backlog.dropped},
            **self._tally.status(),
        }

    # What the worker's process reports (process.Events).

    def frame_arrived(self, frame: Frame) -> None:
        """Take in a frame. Raises FrameError when it has no place here."""
        if self._machine.state is State.KILLED:
            return
        if frame.kind == LOADED:
            self._tally.broken = ""
            self._tally.cold_start_ms = self._elapsed_ms()
            self._signal(Signal.LOADED)
        elif frame.kind == BROKEN:
            error = error_of(frame.meta)
            self._log.error("the handler cannot be loaded:\n%s", "\n".join(error.trace))
            self._signal(Signal.LOAD_FAILED, f"{error.error_type}: {error}")
        elif frame.kind in (RESULT, ERROR):
            self._answered(frame)
        elif frame.kind == PUBLISH:
            self._publish(frame)
        else:
            raise FrameError(f"found a frame of kind {frame.kind}, which only the daemon sends")

    def line_printed(self, line: str) -> None:
        """Log what the function printed."""
        level, text = level_of(line)
        self._log.log(logging.getLevelNamesMapping()[level], "%s", text)

    def violated(self, reason: str) -> None:
        """The worker broke a rule."""
        self._signal(Signal.VIOLATED, reason)

    def exited(self, reason: str) -> None:
        """The worker is gone."""
        self._process = None
        self._signal(Signal.EXITED, reason)

    # The loop.

    async def _turn(self) -> None:
        self._wake.clear()
        if self.intake.readable:
            await self.intake.read_ahead()
        self._step()
        if not self.intake.readable:
            await self._pause()

    def _step(self) -> None:
        now = self._clock.monotonic()
        for event in self._backlog.outdated(now):
            self._end.bury(event, Condition.EVENT_AGE_EXCEEDED, None)
        self._take_signals(now)
        if self._machine.deadline is not None and now >= self._machine.deadline:
            if self._process is not None:
                self._process.read()  # an answer that came in time, while the loop was busy, counts
            self._take_signals(now)
            before = self._machine.state
            self._did(before, self._machine.tick(now), Signal.EXPIRED, self._expiry(before))
        if self._machine.state is State.IDLE and not self._choose(now):
            return
        work = self._backlog.has_work(now) or self._current is not None
        self._did(self._machine.state, self._machine.settle(work, now), Signal.WANTED, "")

    def _take_signals(self, now: float) -> None:
        while self._signals:
            signal, reason = self._signals.popleft()
            before = self._machine.state
            self._did(before, self._machine.signal(signal, now), signal, reason)

    def _did(self, before: State, actions: tuple[Action, ...], signal: Signal, reason: str) -> None:
        """Do what the machine said after `signal`, and remember what went wrong."""
        after = self._machine.state
        if before is State.STARTING and after in (State.KILLED, State.BACKOFF):
            if signal is not Signal.CLOSED:
                self._break(reason)
        elif after is not before and after in (State.KILLED, State.BACKOFF) and before is not State.KILLED:
            self._tally.counts["worker_failures"] += before is not State.STOPPING
            if Action.FAIL not in actions:
                self._tally.report(f"worker replaced while {before}: {reason}")
        for action in actions:
            self._do(action, signal, reason)

    def _do(self, action: Action, signal: Signal, reason: str) -> None:
        if action is Action.SPAWN:
            self._spawn()
        elif action is Action.DISPATCH:
            self._dispatch()
        elif action is Action.FAIL:
            self._fail(signal, reason)
        elif self._process is not None and action is Action.KILL:
            self._process.kill()
        elif self._process is not None and action is Action.CLOSE:
            self._process.send(STOP, {})

    def _spawn(self) -> None:
        self._since = self._clock.monotonic()
        self._tally.counts["workers_started"] += 1
        spec, settings = self.spec, self._settings
        output = Output(settings.output_rate, settings.output_burst, self._since)
        process = Process(self, output, settings.max_payload, self._clock.monotonic)
        try:
            process.start(self._program)
        except OSError as error:
            self._signal(Signal.EXITED, f"it could not be started: {error}")
            return
        self._process = process
        process.send(
            SETUP,
            {
                "name": spec.name,
                "handler": spec.handler,
                "folder": str(self._folder),
                "memory": spec.memory,
                "max_payload": settings.max_payload,
            },
        )

    def _choose(self, now: float) -> bool:
        """Have the next event in hand; False when there is none."""
        while self._current is None:
            event = self._backlog.take(now)
            if event is None:
                return False
            if event.expires_at is not None and self._clock.now() >= event.expires_at:
                self._tally.counts["expired"] += 1
                self._end.acknowledge(event)
            else:
                self._current = event
        return True

    def _dispatch(self) -> None:
        assert self._current is not None
        assert self._process is not None
        event = self._current
        event.attempts += 1
        self._since = self._clock.monotonic()
        meta: dict[str, object] = {
            "id": event.request_id,
            "subject": event.subject,
            "remaining_ms": int(self.spec.timeout * 1000),
        }
        self._process.send(INVOKE, meta, event.payload)

    def _answered(self, frame: Frame) -> None:
        event = self._current
        if event is None or frame.text("id") != event.request_id:
            raise FrameError("found an answer to an event that it was not given")
        none = frame.meta.get("none", False) is True
        self._current = None
        self._tally.duration_ms = self._elapsed_ms()
        self._tally.max_memory = max(self._tally.max_memory, frame.number("rss"))
        if frame.kind == RESULT:
            self._end.succeeded(event, None if none else frame.payload)
            self._signal(Signal.FINISHED)
            return
        error = error_of(frame.meta)
        self._end.failed(event, error)
        if error.error_type == MemoryError.__name__:
            self._signal(Signal.VIOLATED, f"it ran out of its {self.spec.memory} bytes of memory")
        else:
            self._signal(Signal.FINISHED)

    def _fail(self, signal: Signal, reason: str) -> None:
        event, self._current = self._current, None
        if event is None:
            return
        if signal is Signal.EXPIRED:
            self._tally.counts["timeouts"] += 1
            self._end.failed(event, FunctionTimeoutError(reason, "Sandbox.Timeout"))
        else:
            self._tally.counts["crashes"] += 1
            text = f"Process exited before completing request: {reason}"
            self._end.failed(event, FunctionCrashedError(text, "Runtime.ExitError"))

    def _break(self, reason: str) -> None:
        """The worker could not start: the function is broken until one can. Its events are kept."""
        self._tally.counts["start_failures"] += 1
        self._tally.broken = reason
        self._tally.report(f"broken: {reason}")
        for event in self._backlog.clear_direct():
            _refuse(event, FunctionError(reason, "Runtime.InitError"))

    def _expiry(self, state: State) -> str:
        if state is State.STARTING:
            return f"the handler was not loaded within {self._settings.start_timeout:.2f} seconds"
        if state is State.BUSY:
            return f"Task timed out after {self.spec.timeout:.2f} seconds"
        return f"it did not end within {self._settings.stop_grace:.2f} seconds"

    def _publish(self, frame: Frame) -> None:
        seq, qos = frame.number("seq"), frame.number("qos")
        message = Message(frame.text("topic"), frame.payload, qos, self._principal)
        if qos == AT_MOST_ONCE:
            publish(self._bus, message, self._refused_quietly)
            return
        if self._publishing >= MAX_PUBLISHING:
            raise FrameError(f"found more than {MAX_PUBLISHING} publishes at once")
        self._publishing += 1
        publish(self._bus, message, partial(self._publish_told, self._process, seq))

    def _publish_told(self, process: Process | None, seq: int, error: str, reason: str) -> None:
        self._publishing -= 1
        if error:
            self._tally.counts["publishes_refused"] += 1
        if process is not None:
            process.send(PUBLISHED, {"seq": seq, "error": error, "reason": reason})

    def _refused_quietly(self, error: str, reason: str) -> None:
        """QoS 0 has no answer: what was refused is counted and logged."""
        if error:
            self._tally.counts["publishes_refused"] += 1
            self._tally.report(f"publish dropped: {reason}")

    async def _pause(self) -> None:
        """Wait for something to happen, or for the next deadline."""
        times = [time for time in (self._machine.deadline, self._next_retry()) if time is not None]
        if not times:
            await self._wake.wait()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(times) - self._clock.monotonic())):
                await self._wake.wait()

    def _next_retry(self) -> float | None:
        """When a retry is due, if that could matter: in other states a worker is waited for first."""
        return self._backlog.next_due if self._machine.state in (State.IDLE, State.STOPPED) else None

    async def _close(self) -> None:
        try:
            self._signal(Signal.CLOSED)
            self._step()
            while self._process is not None:
                self._wake.clear()
                await self._pause()
                self._step()
        finally:
            if self._process is not None:
                self._process.kill()
            stopped = FunctionError("the function runtime was stopped", "Runtime.Stopped")
            for event in (*self._backlog.clear_direct(), *((self._current,) if self._current else ())):
                _refuse(event, stopped)

    def _signal(self, signal: Signal, reason: str = "") -> None:
        self._signals.append((signal, reason))
        self._wake.set()

    def _elapsed_ms(self) -> float:
        return (self._clock.monotonic() - self._since) * 1000


def _refuse(event: Event, error: FunctionError) -> None:
    """Tell who waits for a direct invocation that there will be no result."""
    if event.answer is not None:
        event.answer(b"", error)
