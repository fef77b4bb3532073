"""The room against the documented and captured behaviour of AWS IoT (tests/vectors/shadow)."""

import json
from pathlib import Path

import pytest

from edgecore.shadow.document import NOTHING
from edgecore.shadow.requests import Rejection, carry_out, rejected, understand
from edgecore.shadow.topics import ShadowId, parse

VECTORS = Path(__file__).parents[2] / "vectors" / "shadow"
CASES = [
    pytest.param(case, id=f"{path.stem}: {case['name']}")
    for path in sorted(VECTORS.glob("*.json"))
    for case in json.loads(path.read_text())["cases"]
]


def payload_of(step):
    if "raw_hex" in step:
        return bytes.fromhex(step["raw_hex"])
    if "raw" in step:
        return step["raw"].encode()
    return json.dumps(step["payload"]).encode() if "payload" in step else b""


def answer(shadow, verb, document, payload, now):
    try:
        request = understand(verb, payload, 8)
    except Rejection as refusal:
        return document, (rejected(verb, (refusal.code, refusal.text), refusal.token),)
    outcome = carry_out(shadow, request, document, now, 8192)
    return outcome.document or document, outcome.replies


@pytest.mark.parametrize("case", CASES)
def test_vector(case):
    shadow = ShadowId(case["thing"], case["shadow"])
    document = NOTHING
    for number, step in enumerate(case["steps"]):
        assert parse(shadow.topic(step["verb"])) == (shadow, step["verb"])
        document, replies = answer(shadow, step["verb"], document, payload_of(step), step["now"])
        found = {reply.suffix: json.loads(reply.payload) for reply in replies}
        assert sorted(found) == sorted(message["suffix"] for message in step["expect"]), number
        for message in step["expect"]:
            got, want = found[message["suffix"]], message["payload"]
            if message.get("match") == "subset":
                got = {key: got[key] for key in want}
            assert got == want, (number, message["suffix"])


def test_the_key_order_is_that_of_the_wire():
    shadow = ShadowId("t")
    _, replies = answer(shadow, "update", NOTHING, b'{"clientToken":"c","state":{"desired":{"a":1}}}', 5)
    assert [(reply.suffix, reply.payload) for reply in replies] == [
        (
            "update/documents",
            (
                b'{"previous":null,"current":{"state":{"desired":{"a":1}},"metadata":{"desired":{"a":{"timestamp":5}}},'
                b'"version":1},"timestamp":5,"clientToken":"c"}'
            ),
        ),
        (
            "update/delta",
            b'{"version":1,"timestamp":5,"state":{"a":1},"metadata":{"a":{"timestamp":5}},"clientToken":"c"}',
        ),
        (
            "update/accepted",
            (
                b'{"state":{"desired":{"a":1}},"metadata":{"desired":{"a":{"timestamp":5}}},"version":1,"timestamp":5,'
                b'"clientToken":"c"}'
            ),
        ),
    ]
    assert rejected("get", (404, "No shadow exists with name: 't'"), None).payload == (
        b'{"code":404,"message":"No shadow exists with name: \'t\'"}'
    )
