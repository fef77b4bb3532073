import json

import pytest

from edgecore.base.errors import FunctionError
from edgecore.lambdas.events import Event
from edgecore.lambdas.outcome import Condition, Fate, dead_letter, error_of, fate


@pytest.mark.parametrize(
    ("record", "attempts", "expected"),
    [(None, 1, Fate.DROP), (1, 1, Fate.RETRY), (1, 2, Fate.RETRY), (1, 3, Fate.DEAD)],
)
def test_what_becomes_of_a_failed_event(record, attempts, expected):
    assert fate(Event("id", "", b"", 0, record=record, attempts=attempts), 2) is expected


def test_a_worker_may_report_anything():
    error = error_of({"errorMessage": 5, "errorType": None, "stackTrace": 7})
    assert (str(error), error.error_type, error.trace) == ("5", "None", ())
    error = error_of({"errorMessage": "m", "errorType": "T", "stackTrace": ["a", 1]})
    assert (str(error), error.error_type, error.trace) == ("m", "T", ("a", "1"))


def test_a_dead_letter_is_lambdas_record():
    event = Event("id", "a/b", b'{"a":1}', 0, attempts=3)
    letter = json.loads(
        dead_letter("f", event, Condition.RETRIES_EXHAUSTED, FunctionError("m", "T", ("l",)), 0)
    )
    assert letter == {
        "version": "1.0",
        "timestamp": "1970-01-01T00:00:00.000+00:00",
        "requestContext": {
            "requestId": "id",
            "functionArn": "arn:aws:lambda:::function:f",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 3,
        },
        "subject": "a/b",
        "requestPayload": {"a": 1},
        "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
        "responsePayload": {"errorMessage": "m", "errorType": "T", "requestId": "id", "stackTrace": ["l"]},
    }


def test_a_payload_that_is_no_json_is_kept_as_base64():
    letter = json.loads(dead_letter("f", Event("id", "", b"\xff", 0), Condition.EVENT_AGE_EXCEEDED, None, 0))
    assert letter["requestPayloadBase64"] == "/w=="
    assert "requestPayload" not in letter
    assert "responsePayload" not in letter
