import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import FrameSourceError, ModelError
from edgecore.base.group import CameraSpec
from edgecore.inference import InferenceSettings
from edgecore.inference.opening import open_camera


def opened(root, source="synthetic:traffic", model="traffic.onnx"):
    spec = CameraSpec("north", source, "north", model)
    return open_camera(spec, InferenceSettings(), root, ManualClock())


def test_a_camera_opens_and_steps(models):
    camera = opened(models)
    assert [camera.step().frame for _ in range(2)] == [0, 1]
    camera.source.close()


def test_the_end_of_the_source_is_none(models, tmp_path):
    camera = opened(models)
    camera.source.read = lambda: None
    assert camera.step() is None


def test_what_cannot_be_opened_raises(models):
    with pytest.raises(ModelError, match="no such file"):
        opened(models, model="none.onnx")
    with pytest.raises(FrameSourceError, match="not available yet"):
        opened(models, source="picamera2")
