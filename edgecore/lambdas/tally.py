"""What is counted and remembered of one function, for status."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from edgecore.base.clock import Clock
from edgecore.lambdas.output import Allowance

# A handler that fails on every event must not fill the log: this many reports at once, then one a second.
REPORTS: Final = 10
# Always shown, also when 0; what is rarer is shown when it happened.
SHOWN: Final = ("invocations", "errors", "timeouts", "crashes", "refused", "dead_letters", "workers_started")


@dataclass(slots=True)
class Tally:
    """Counts since the service started. Times in milliseconds, memory in bytes.

    `max_memory`: the largest resident size that a worker had at the end of an invocation.
    """

    log: logging.Logger
    clock: Clock
    counts: Counter[str] = field(default_factory=Counter)
    broken: str = ""
    last_error: str = ""
    last_error_at: float = 0.0
    cold_start_ms: float = 0.0
    duration_ms: float = 0.0
    max_memory: int = 0
    _reports: Allowance = field(init=False)

    def __post_init__(self) -> None:
        self._reports = Allowance(1.0, REPORTS, self.clock.monotonic())

    def report(self, text: str, *details: str) -> None:
        """Remember an error and log it, unless too many were logged of late."""
        self.last_error = text
        self.last_error_at = self.clock.now()
        if self._reports.take(1.0, self.clock.monotonic()):
            self.log.error("%s", "\n".join((text, *details)))
        else:
            self.counts["reports_suppressed"] += 1

    def status(self) -> dict[str, object]:
        """The part of a function's status that is kept here."""
        when = datetime.fromtimestamp(self.last_error_at, UTC).isoformat(timespec="seconds")
        return {
            **dict.fromkeys(SHOWN, 0),
            **self.counts,
            "broken": self.broken,
            "last_error": self.last_error,
            "last_error_at": when if self.last_error else "",
            "cold_start_ms": round(self.cold_start_ms, 2),
            "last_duration_ms": round(self.duration_ms, 3),
            "max_memory": self.max_memory,
        }
