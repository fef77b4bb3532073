"""A camera whose model does not load is broken, and nothing else is."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("scenario")

MODEL = Path(__file__).resolve().parents[2] / "deploy" / "traffic-junction" / "models" / "traffic.onnx"
CAMERA = """
[cameras.{name}]
source = "synthetic:traffic?seed=7"
topic = "site/{name}"
model = "models/{name}.onnx"
every = "50ms"
counts_every = 2
lines = {{ stop-line = [[0.0, 0.65], [1.0, 0.65]] }}
[[routes]]
from = "camera:{name}"
topic = ["site/{name}/counts", "site/{name}/status"]
to = "device:sensor-1"
"""


async def test_a_model_that_does_not_load_breaks_only_its_own_camera(site, eventually):
    cameras = "".join(CAMERA.format(name=name) for name in ("good", "bad"))
    models = {"models/good.onnx": MODEL.read_bytes(), "models/bad.onnx": b"no model at all"}
    site.write_group('[group]\nname = "site"\n[devices.sensor-1]\n' + cameras, **models)
    await site.start("sensor-1")
    frames = []

    def received(topic, payload):
        assert topic == "site/good/counts" or topic.endswith("/status")
        frames.append(json.loads(payload)["frame"])

    async with site.connected("sensor-1", subscriptions=["site/#"], received=received):
        await eventually(lambda: len(frames) >= 5)
    found = await site.status("inference", "status", "cameras")
    assert (found["good"]["state"], found["bad"]["state"]) == ("running", "broken")
    assert "bad.onnx" in found["bad"]["reason"]
    assert await site.status("inference", "state") == "running"
