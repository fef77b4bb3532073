"""The AWS IoT Jobs service: what devices ask on `$aws/things/THING/jobs/...`, and what an operator does.

Pure. Replies go straight to the client that asked, past the broker; notify and notify-next are
ordinary messages. Times are epoch seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from edgecore.base.errors import EdgecoreError
from edgecore.sim.cloud import executions as e
from edgecore.sim.cloud.executions import Document, Execution, Job
from edgecore.sim.cloud.shadows import Reply

NEXT: Final = "$next"
MAX_TOKEN_BYTES: Final = 64

_TOPIC: Final = re.compile(r"\$aws/things/(?P<thing>[a-zA-Z0-9:_-]{1,128})/jobs/(?P<rest>.+)")
_OPERATION: Final = re.compile(
    r"(?P<whole>get|start-next)|(?P<job>\$next|[a-zA-Z0-9_-]{1,64})/(?P<one>get|update)"
)


class JobError(EdgecoreError):
    """An operator asked for what cannot be."""


class _RejectedError(Exception):
    """A request that is answered on .../rejected."""

    def __init__(self, code: str, message: str, execution: Execution | None = None) -> None:
        self.code = code
        self.execution = execution
        super().__init__(message)


@dataclass(slots=True)
class Answer:
    """What follows a request: to the one who asked, and to subscribers."""

    direct: list[Reply] = field(default_factory=list)
    published: list[Reply] = field(default_factory=list)


def parse_topic(topic: str) -> tuple[str, str] | None:
    """(thing, rest) when a client publishes in the Jobs namespace, else None."""
    match = _TOPIC.fullmatch(topic)
    if (
        match is None
        or match["rest"].endswith(("/accepted", "/rejected"))
        or match["rest"].startswith("notify")
    ):
        return None
    return match["thing"], match["rest"]


class Jobs:
    """All jobs of the account."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._executions: dict[tuple[str, str], Execution] = {}
        self._order = 0

    # -- the operator

    def create(
        self, job_id: str, document: Document, things: Iterable[str], now: int, timeout: int | None = None
    ) -> list[Reply]:
        """A new job for `things`; gives the notifications. Raises JobError."""
        if not e.JOB_ID.fullmatch(job_id):
            raise JobError(f"job id {job_id!r}: expected 1 to 64 of a-z A-Z 0-9 _ -")
        if job_id in self._jobs:
            raise JobError(f"there is a job {job_id!r} already: choose another id, or delete it first")
        if len(json.dumps(document)) > e.MAX_DOCUMENT:
            raise JobError(f"job document: more than {e.MAX_DOCUMENT} characters")
        job = self._jobs[job_id] = Job(job_id, document, timeout)
        said: list[Reply] = []
        for thing in things:
            said += self._noticing(thing, now, partial(self._queue, job, thing, now))
        return said

    def cancel(self, job_id: str, now: int, force: bool = False) -> list[Reply]:
        """Cancel a job: what is queued, and with `force` what runs. Raises JobError."""
        job = self._job(job_id)
        job.canceled = True
        ends = (e.QUEUED, e.IN_PROGRESS) if force else (e.QUEUED,)
        return self._end(job_id, e.CANCELED, ends, now)

    def delete(self, job_id: str, now: int) -> list[Reply]:
        """Forget a job and its executions. Raises JobError."""
        self._job(job_id)
        said = self._end(job_id, e.REMOVED, (e.QUEUED, e.IN_PROGRESS), now)
        del self._jobs[job_id]
        self._executions = {key: one for key, one in self._executions.items() if key[1] != job_id}
        return said

    def describe(self, job_id: str) -> Document:
        """A job and the state of each of its executions. Raises JobError."""
        job = self._job(job_id)
        mine = [one for one in self._executions.values() if one.job is job]
        status = e.IN_PROGRESS if any(one.pending for one in mine) else "COMPLETED"
        return {
            "jobId": job_id,
            "status": e.CANCELED if job.canceled else status,
            "document": job.document,
            "executions": {one.thing: one.state() for one in mine},
        }

    def names(self) -> list[str]:
        """The ids of all jobs."""
        return list(self._jobs)

    def tick(self, now: int) -> list[Reply]:
        """Time out what is late; gives the notifications."""
        said: list[Reply] = []
        for execution in [one for one in self._executions.values() if one.late(now)]:
            said += self._noticing(execution.thing, now, partial(execution.change, e.TIMED_OUT, now))
        return said

    def _job(self, job_id: str) -> Job:
        if job_id not in self._jobs:
            known = ", ".join(self._jobs) or "there is none"
            raise JobError(f"no job {job_id!r}: {known}")
        return self._jobs[job_id]

    def _queue(self, job: Job, thing: str, now: int) -> None:
        self._order += 1
        self._executions[thing, job.job_id] = Execution(job, thing, now, self._order, updated_at=now)

    def _end(self, job_id: str, status: str, ends: tuple[str, ...], now: int) -> list[Reply]:
        said: list[Reply] = []
        for execution in [one for key, one in self._executions.items() if key[1] == job_id]:
            if execution.status in ends:
                said += self._noticing(execution.thing, now, partial(execution.change, status, now))
        return said

    # -- the device

    def handle(self, thing: str, rest: str, payload: bytes, now: int) -> Answer:
        """Answer what a client published on `$aws/things/THING/jobs/REST`."""
        topic = f"$aws/things/{thing}/jobs/{rest}"
        answer = Answer()
        token: str | None = None
        try:
            request = _parse(payload)
            token = _token(request)
            document: Document = {}
            answer.published = self._noticing(
                thing, now, lambda: document.update(self._act(thing, rest, request, now))
            )
            verdict = "accepted"
        except _RejectedError as rejected:
            verdict = "rejected"
            document = {"code": rejected.code, "message": str(rejected)}
            if rejected.execution is not None:
                document["executionState"] = rejected.execution.state()
        document["timestamp"] = now
        if token is not None:
            document["clientToken"] = token
        answer.direct.append(Reply(f"{topic}/{verdict}", document))
        return answer

    def _act(self, thing: str, rest: str, request: Document, now: int) -> Document:
        match = _OPERATION.fullmatch(rest)
        if match is None or (match["job"] == NEXT and match["one"] == "update"):
            raise _RejectedError("InvalidTopic", f"The topic {rest} is no operation of Jobs")
        if match["whole"] == "get":
            return self._get(thing)
        if match["whole"] == "start-next":
            return self._start_next(thing, request, now)
        if match["one"] == "get":
            return self._describe(thing, match["job"], request)
        return self._update(thing, match["job"], request, now)

    def _get(self, thing: str) -> Document:
        pending = self._pending(thing)
        return {
            "inProgressJobs": [one.summary() for one in pending if one.status == e.IN_PROGRESS],
            "queuedJobs": [one.summary() for one in pending if one.status == e.QUEUED],
        }

    def _start_next(self, thing: str, request: Document, now: int) -> Document:
        details, step = _details(request), _step(request)
        pending = self._pending(thing)
        if not pending:
            return {}
        execution = pending[0]
        if execution.status == e.QUEUED:
            execution.change(e.IN_PROGRESS, now, details)
        execution.set_step(step, now)
        return {"execution": execution.full()}

    def _describe(self, thing: str, job_id: str, request: Document) -> Document:
        whole = _flag(request, "includeJobDocument", default=True)
        if job_id == NEXT:
            pending = self._pending(thing)
            return {"execution": pending[0].full(whole)} if pending else {}
        execution = self._execution(thing, job_id, request)
        if not execution.pending:
            raise _RejectedError(
                "TerminalStateReached", f"Job execution is in terminal state {execution.status}", execution
            )
        return {"execution": execution.full(whole)}

    def _update(self, thing: str, job_id: str, request: Document, now: int) -> Document:
        status = request.get("status")
        if status not in e.REPORTED:
            raise _RejectedError("InvalidRequest", f"status must be one of {', '.join(e.REPORTED)}")
        details, step = _details(request), _step(request)
        execution = self._execution(thing, job_id, request)
        expected = request.get("expectedVersion")
        if expected is not None and expected != execution.version:
            raise _RejectedError(
                "VersionMismatch", f"expected version {expected}, found {execution.version}", execution
            )
        if not execution.pending:
            raise _RejectedError(
                "InvalidStateTransition", f"{execution.status} cannot become {status}", execution
            )
        execution.change(status, now, details)
        execution.set_step(step, now)
        answer: Document = {}
        if _flag(request, "includeJobExecutionState", default=False):
            answer["executionState"] = execution.state()
        if _flag(request, "includeJobDocument", default=False):
            answer["jobDocument"] = execution.job.document
        return answer

    def _execution(self, thing: str, job_id: str, request: Document) -> Execution:
        execution = self._executions.get((thing, job_id))
        number = request.get("executionNumber")
        if execution is None or (number is not None and number != execution.number):
            raise _RejectedError("ResourceNotFound", f"No execution of job {job_id} for thing {thing}")
        return execution

    def _pending(self, thing: str) -> list[Execution]:
        mine = [one for (name, _), one in self._executions.items() if name == thing and one.pending]
        return sorted(mine, key=lambda one: one.rank)

    def _noticing(self, thing: str, now: int, act: Callable[[], None]) -> list[Reply]:
        """Do something to the thing's executions; gives notify and notify-next where they are due."""
        before = [one.job.job_id for one in self._pending(thing)]
        act()
        pending = self._pending(thing)
        after = [one.job.job_id for one in pending]
        prefix = f"$aws/things/{thing}/jobs"
        said = []
        if set(before) != set(after):
            said.append(Reply(f"{prefix}/notify", {"timestamp": now, "jobs": _by_status(pending)}))
        if before[:1] != after[:1]:
            document: Document = {"timestamp": now}
            if pending:
                document["execution"] = pending[0].full()
            said.append(Reply(f"{prefix}/notify-next", document))
        return said


def _by_status(pending: list[Execution]) -> Document:
    jobs: Document = {}
    for one in pending[: e.MAX_NOTIFIED]:
        jobs.setdefault(one.status, []).append(one.summary())
    return jobs


def _parse(payload: bytes) -> Document:
    try:
        request = json.loads(payload or b"{}")
    except (ValueError, RecursionError):
        raise _RejectedError("InvalidJson", "The request is no JSON") from None
    if not isinstance(request, dict):
        raise _RejectedError("InvalidRequest", "The request must be a JSON object")
    return request


def _token(request: Document) -> str | None:
    token = request.get("clientToken")
    if token is not None and (not isinstance(token, str) or len(token.encode()) > MAX_TOKEN_BYTES):
        raise _RejectedError("InvalidRequest", "Invalid clientToken")
    return token


def _flag(request: Document, name: str, default: bool) -> bool:
    value = request.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise _RejectedError("InvalidRequest", f"{name} must be a boolean")
    return value


def _step(request: Document) -> int | None:
    minutes: Any = request.get("stepTimeoutInMinutes")
    if minutes is None or minutes == e.CANCEL_STEP_TIMER:
        return minutes  # type: ignore[no-any-return]  # None or the constant
    if type(minutes) is not int or not e.MIN_STEP_MINUTES <= minutes <= e.MAX_STEP_MINUTES:
        raise _RejectedError("InvalidRequest", "stepTimeoutInMinutes must be -1 or within 1 to 10080")
    return minutes


def _details(request: Document) -> dict[str, str] | None:
    details = request.get("statusDetails")
    if details is None:
        return None
    if not isinstance(details, dict) or not all(
        e.DETAIL.fullmatch(key) and isinstance(value, str) for key, value in details.items()
    ):
        raise _RejectedError("InvalidRequest", "statusDetails must hold strings by name")
    return details
