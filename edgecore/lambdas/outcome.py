"""What becomes of an event that failed, and the letter that tells of it. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from edgecore.base.errors import FunctionError
from edgecore.lambdas.events import Event

# Where dead letters are published, by the core; a route decides who reads them.
DEAD_LETTER_TOPIC: Final = "edgecore/alarm/function/"


class Fate(StrEnum):
    """What happens with a failed event that came by a route."""

    DROP = "drop"  # QoS 0: one attempt
    RETRY = "retry"
    DEAD = "dead"


class Condition(StrEnum):
    """Why an event is dead, in Lambda's words."""

    RETRIES_EXHAUSTED = "RetriesExhausted"
    EVENT_AGE_EXCEEDED = "EventAgeExceeded"


def fate(event: Event, retries: int) -> Fate:
    """What happens with `event`, which has just failed, when `retries` further attempts are allowed."""
    if event.record is None:
        return Fate.DROP
    return Fate.RETRY if event.attempts <= retries else Fate.DEAD


def error_of(meta: dict[str, object]) -> FunctionError:
    """The error that a worker reported. Its texts are user code's: nothing of them is trusted."""
    trace = meta.get("stackTrace")
    lines = tuple(str(line) for line in trace) if isinstance(trace, Sequence) else ()
    return FunctionError(str(meta.get("errorMessage", "")), str(meta.get("errorType", "")), lines)


def dead_letter(
    name: str, event: Event, condition: Condition, error: FunctionError | None, now: float
) -> bytes:
    """The dead letter of an event: Lambda's record of a failed asynchronous invocation, as JSON."""
    letter: dict[str, object] = {
        "version": "1.0",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": f"arn:aws:lambda:::function:{name}",
            "condition": condition.value,
            "approximateInvokeCount": event.attempts,
        },
        "subject": event.subject,
        **_payload(event.payload),
    }
    if error is not None:
        letter["responseContext"] = {"statusCode": 200, "functionError": "Unhandled"}
        letter["responsePayload"] = {
            "errorMessage": str(error),
            "errorType": error.error_type,
            "requestId": event.request_id,
            "stackTrace": list(error.trace),
        }
    return json.dumps(letter, separators=(",", ":")).encode()


def _payload(payload: bytes) -> dict[str, object]:
    try:
        return {"requestPayload": json.loads(payload)}
    except (ValueError, RecursionError):
        return {"requestPayloadBase64": base64.b64encode(payload).decode()}
