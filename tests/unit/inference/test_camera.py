import json

from edgecore.base.clock import ManualClock
from edgecore.base.errors import ModelError
from edgecore.base.group import CameraSpec
from edgecore.inference import InferenceSettings
from edgecore.inference.camera import Camera
from edgecore.inference.detection import Result

SPEC = CameraSpec("north", "synthetic:traffic", "junction/north", "traffic.onnx")


def camera(bus, root):
    return Camera(SPEC, InferenceSettings(), root, bus, ManualClock())


def test_before_it_runs_it_is_starting_and_has_seen_nothing(bus, models):
    status = camera(bus, models).status()
    assert (status["state"], status["first_frame"], status["frame"], status["frames"]) == (
        "starting",
        None,
        None,
        0,
    )
    assert json.dumps(status)


def test_what_broke_it_is_said_in_its_own_words(bus, models):
    broken = camera(bus, models)
    broken.broke(ModelError("no such file"))
    assert broken.status()["reason"] == "no such file"
    broken.broke(ValueError("odd"))
    assert broken.status()["reason"] == "ValueError: odd"


async def test_it_is_behind_when_a_frame_was_due(bus, models):
    late = camera(bus, models)
    await late._until(-2.5)
    assert late.status()["behind"] == 2.5
    await late._until(0.001)
    assert late.status()["behind"] == 0.0


def test_times_are_means_over_the_last_frames(bus, models):
    seen = camera(bus, models)
    for number in range(3):
        seen._take(Result(number, 0.0, 320, 240, (), (), (), 0.002, 0.004))
    assert (seen.status()["infer_ms"], seen.status()["frame_ms"], seen.status()["frames"]) == (2.0, 4.0, 3)
