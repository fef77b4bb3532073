"""What the vectors (test_vectors.py) do not say: bounds that protect this core."""

import json

import pytest

from edgecore.shadow.document import NOTHING
from edgecore.shadow.requests import MAX_PAYLOAD, Rejection, carry_out, understand
from edgecore.shadow.topics import ShadowId


def refusal(verb, payload):
    with pytest.raises(Rejection) as caught:
        understand(verb, payload, 8)
    return caught.value.code


@pytest.mark.parametrize("verb", ["get", "update", "delete"])
def test_a_payload_above_the_bound_is_not_read(verb):
    assert refusal(verb, b"x" * (MAX_PAYLOAD + 1)) == 413


@pytest.mark.parametrize(
    "payload", [b"[]", b"5", b"null", b'"x"', b"[" * 100_000, b'{"state":{}} x', b"1e999"]
)
def test_other_json_is_refused(payload):
    assert refusal("update", payload) == 400


@pytest.mark.parametrize("inner", ['{"a":' * 900 + "1" + "}" * 900, "[" * 900 + "]" * 900])
def test_deep_nesting_is_refused_and_not_followed(inner):
    assert refusal("update", f'{{"state":{{"reported":{{"x":{inner}}}}}}}'.encode()) == 400


@pytest.mark.parametrize("version", [-1, 1.0, "1", True, [1]])
def test_versions_that_are_none(version):
    assert refusal("update", json.dumps({"state": {}, "version": version}).encode()) == 400


def test_a_null_token_or_version_is_none():
    request = understand("update", b'{"state":{},"clientToken":null,"version":null}', 8)
    assert (request.token, request.version) == (None, None)


def test_the_limit_is_an_argument():
    request = understand("update", b'{"state":{"reported":{"a":"xxxxxxxxxx"}}}', 8)
    outcome = carry_out(ShadowId("t"), request, NOTHING, 1, 10)
    assert outcome.document is None
    assert json.loads(outcome.replies[0].payload)["code"] == 413
