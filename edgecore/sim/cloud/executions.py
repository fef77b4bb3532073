"""Jobs and their executions: the records and what they look like in messages. Pure.

Words, shapes and limits are those of the AWS IoT Jobs MQTT API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

QUEUED: Final = "QUEUED"
IN_PROGRESS: Final = "IN_PROGRESS"
SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
REJECTED: Final = "REJECTED"
TIMED_OUT: Final = "TIMED_OUT"
REMOVED: Final = "REMOVED"
CANCELED: Final = "CANCELED"
TERMINAL: Final = frozenset((SUCCEEDED, FAILED, REJECTED, TIMED_OUT, REMOVED, CANCELED))
# What a device may report.
REPORTED: Final = (IN_PROGRESS, FAILED, SUCCEEDED, REJECTED)

# notify lists this many executions.
MAX_NOTIFIED: Final = 10
MAX_DOCUMENT: Final = 32_768
MIN_STEP_MINUTES: Final = 1
MAX_STEP_MINUTES: Final = 10_080
CANCEL_STEP_TIMER: Final = -1

JOB_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DETAIL: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")

Document = dict[str, Any]  # JSON


@dataclass(slots=True)
class Job:
    """A job as its creator made it."""

    job_id: str
    document: Document
    timeout: int | None = None  # seconds in progress; the device cannot extend them
    canceled: bool = False


@dataclass(slots=True)
class Execution:
    """A job on one thing. Times are epoch seconds; `order` parts those queued in one second."""

    job: Job
    thing: str
    queued_at: int
    order: int
    status: str = QUEUED
    details: dict[str, str] = field(default_factory=dict)
    started_at: int | None = None
    updated_at: int = 0
    version: int = 1
    number: int = 1
    step_ends: int | None = None

    @property
    def pending(self) -> bool:
        """Whether a device still has to do something."""
        return self.status not in TERMINAL

    @property
    def rank(self) -> tuple[bool, int, int]:
        """What comes first: those that run, then by time in the queue."""
        return self.status != IN_PROGRESS, self.queued_at, self.order

    def change(self, status: str, now: int, details: dict[str, str] | None = None) -> None:
        """Take a new status; details that are not given stay."""
        if status == IN_PROGRESS and self.started_at is None:
            self.started_at = now
        self.status = status
        if details is not None:
            self.details = details
        self.updated_at = now
        self.version += 1

    def set_step(self, minutes: int | None, now: int) -> None:
        """Start, restart or cancel the step timer; None leaves it."""
        if minutes == CANCEL_STEP_TIMER:
            self.step_ends = None
        elif minutes is not None:
            self.step_ends = now + minutes * 60

    def late(self, now: int) -> bool:
        """Whether a timer of a running execution has run out."""
        if self.status != IN_PROGRESS:
            return False
        job_ends = None
        if self.job.timeout is not None and self.started_at is not None:
            job_ends = self.started_at + self.job.timeout
        return any(end is not None and now >= end for end in (self.step_ends, job_ends))

    def summary(self) -> Document:
        """JobExecutionSummary: without document, status and thing."""
        found: Document = {"jobId": self.job.job_id, "queuedAt": self.queued_at}
        if self.started_at is not None:
            found["startedAt"] = self.started_at
        found["lastUpdatedAt"] = self.updated_at
        return found | {"versionNumber": self.version, "executionNumber": self.number}

    def full(self, document: bool = True) -> Document:
        """JobExecution; over MQTT its document is an object."""
        found: Document = {"jobId": self.job.job_id, "thingName": self.thing, "status": self.status}
        if document:
            found["jobDocument"] = self.job.document
        if self.details:
            found["statusDetails"] = self.details
        return found | {key: value for key, value in self.summary().items() if key != "jobId"}

    def state(self) -> Document:
        """JobExecutionState, as update and errors show it."""
        return {"status": self.status, "statusDetails": self.details, "versionNumber": self.version}
