"""The end of an event: its result published, or another attempt, or a dead letter; then acknowledged.

An event of the durable queue is acknowledged only after what came of it is durable too. The number of
attempts is kept in memory: after a restart of the core an event has all its attempts again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from edgecore.base.clock import Clock
from edgecore.base.errors import FunctionError
from edgecore.base.group import FunctionSpec
from edgecore.base.identity import CORE, function
from edgecore.base.interfaces import Bus
from edgecore.base.message import AT_LEAST_ONCE, Message
from edgecore.lambdas.backlog import Backlog
from edgecore.lambdas.events import Event
from edgecore.lambdas.outcome import DEAD_LETTER_TOPIC, Condition, Fate, dead_letter, fate
from edgecore.lambdas.publishing import publish
from edgecore.lambdas.settings import LambdasSettings
from edgecore.lambdas.tally import Tally
from edgecore.store import DurableQueue


class Completion:
    """Ends the events of one function. `wake` is called when another attempt was planned."""

    def __init__(
        self,
        spec: FunctionSpec,
        settings: LambdasSettings,
        bus: Bus,
        queue: DurableQueue,
        backlog: Backlog,
        tally: Tally,
        clock: Clock,
        random: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._bus = bus
        self._queue = queue
        self._backlog = backlog
        self._tally = tally
        self._clock = clock
        self._random = random
        self._wake = wake

    def succeeded(self, event: Event, result: bytes | None) -> None:
        """The handler returned `result`, or None."""
        self._tally.counts["invocations"] += 1
        if event.answer is not None:
            event.answer(b"null" if result is None else result, None)
        elif result is None or not self._spec.result:
            self.acknowledge(event)
        else:
            message = Message(self._spec.result, result, event.qos, function(self._spec.name))
            publish(self._bus, message, partial(self._result_told, event))

    def failed(self, event: Event, error: FunctionError) -> None:
        """An attempt failed."""
        self._tally.counts["errors"] += 1
        kind = f"{error.error_type}: " if error.error_type else ""
        self._tally.report(f"{event.request_id} failed: {kind}{error}", *error.trace)
        if event.answer is not None:
            event.answer(b"", error)
            return
        match fate(event, self._settings.retries):
            case Fate.DROP:
                self._backlog.dropped["failed"] = self._backlog.dropped.get("failed", 0) + 1
            case Fate.RETRY:
                self._plan(event)
            case Fate.DEAD:
                self.bury(event, Condition.RETRIES_EXHAUSTED, error)

    def bury(self, event: Event, condition: Condition, error: FunctionError | None) -> None:
        """Publish the dead letter of an event and forget the event."""
        self._tally.counts["dead_letters"] += 1
        self._tally.report(f"{event.request_id} is dead after {event.attempts} attempts: {condition}")
        letter = dead_letter(self._spec.name, event, condition, error, self._clock.now())
        message = Message(DEAD_LETTER_TOPIC + self._spec.name, letter, AT_LEAST_ONCE, CORE)
        publish(self._bus, message, partial(self._letter_told, event))

    def acknowledge(self, event: Event) -> None:
        """Forget the event: it has had its end."""
        if event.record is not None:
            self._queue.ack([event.record]).when_done(self._acknowledged)

    def _plan(self, event: Event) -> None:
        if event.attempts == 1:
            event.delays = self._settings.retry_backoff.delays(self._random)
        self._backlog.retry(event, self._clock.monotonic() + next(event.delays))
        self._wake()

    def _result_told(self, event: Event, error: str, reason: str) -> None:
        if error in ("refused", "store"):
            self.failed(event, FunctionError(f"its result could not be published: {reason}", error))
            return
        if error:
            self._tally.counts["results_unrouted"] += 1
            self._tally.report(f"result dropped: {reason}")
        self.acknowledge(event)

    def _letter_told(self, event: Event, error: str, reason: str) -> None:
        if error:
            self._tally.counts["dead_letter_errors"] += 1
            self._tally.report(f"dead letter dropped: {reason}")
        self.acknowledge(event)

    def _acknowledged(self, error: Exception | None) -> None:
        if error is not None:
            self._tally.report(f"an event could not be removed and will run again after a restart: {error}")
