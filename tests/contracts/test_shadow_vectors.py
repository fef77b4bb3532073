"""The simulated cloud's shadow service against the vectors taken from AWS's documented behaviour."""

import json
from pathlib import Path

import pytest

from edgecore.sim.cloud.shadows import Shadows, parse_topic

VECTORS = Path(__file__).parents[1] / "vectors" / "shadow"


def cases():
    for path in sorted(VECTORS.glob("*.json")):
        for case in json.loads(path.read_text("utf-8"))["cases"]:
            yield pytest.param(case, id=f"{path.stem}: {case['name']}")


def request_of(step):
    if "raw_hex" in step:
        return bytes.fromhex(step["raw_hex"])
    if "raw" in step:
        return step["raw"].encode()
    return json.dumps(step["payload"]).encode() if "payload" in step else b""


def prefix_of(case):
    name = f"/name/{case['shadow']}" if case["shadow"] else ""
    return f"$aws/things/{case['thing']}/shadow{name}/"


def compare(expected, documents):
    for want in expected:
        payload = documents[want["suffix"]]
        if want.get("match") == "subset":
            payload = {key: payload[key] for key in want["payload"]}
        # Compared as JSON, where true is not 1.
        assert json.dumps(payload, sort_keys=True) == json.dumps(want["payload"], sort_keys=True)


@pytest.mark.parametrize("case", list(cases()))
def test_simulated_cloud(case):
    shadows = Shadows(lambda _key, _shadow: None)
    prefix = prefix_of(case)
    for step in case["steps"]:
        key, operation = parse_topic(prefix + step["verb"])
        replies = shadows.handle(key, operation, request_of(step), step["now"])
        documents = {reply.topic.removeprefix(prefix): json.loads(reply.payload) for reply in replies}
        assert sorted(documents) == sorted(want["suffix"] for want in step["expect"])
        compare(step["expect"], documents)
