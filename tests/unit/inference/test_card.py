import pytest

from edgecore.base.errors import ModelError
from edgecore.inference.card import Tensor, read_card

METADATA = {
    "edgecore.task": "detect",
    "edgecore.decoder": "centre-peaks",
    "edgecore.labels": "vehicle, pedestrian",
    "edgecore.threshold": "0.3",
}
IMAGE = Tensor("image", [1, 240, 320, 3], "tensor(uint8)")
OUTPUTS = [
    Tensor("scores", [1, 2, 30, 40], "tensor(float)"),
    Tensor("boxes", [1, 30, 40, 4], "tensor(float)"),
]


def card(image=IMAGE, inputs=None, **changes):
    metadata = METADATA | {f"edgecore.{key.replace('__', '.')}": value for key, value in changes.items()}
    return read_card(metadata, [image] if inputs is None else inputs, OUTPUTS)


def test_a_model_that_says_all_is_understood():
    found = card()
    assert found.labels == ("vehicle", "pedestrian")
    assert found.threshold == 0.3
    assert found.outputs == ("scores", "boxes")
    assert (found.input.height, found.input.width, found.input.dtype) == (240, 320, "uint8")
    assert (found.input.layout, found.input.color, found.input.resize) == ("NHWC", "BGR", "stretch")


def test_another_layout_color_scale_and_type():
    image = Tensor("images", [1, 3, 96, 128], "tensor(float)")
    found = card(
        image, input__layout="NCHW", input__color="RGB", input__resize="letterbox", input__scale="0.1"
    )
    assert (found.input.height, found.input.width) == (96, 128)
    assert (found.input.dtype, found.input.scale, found.input.color) == ("float32", 0.1, "RGB")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"task": "classify"}, "edgecore.task"),
        ({"decoder": ""}, "edgecore.decoder"),
        ({"labels": "a,,b"}, "edgecore.labels"),
        ({"labels": "a,a"}, "edgecore.labels"),
        ({"threshold": "high"}, "edgecore.threshold"),
        ({"threshold": "0"}, "edgecore.threshold"),
        ({"threshold": "nan"}, "edgecore.threshold"),
        ({"input__color": "YUV"}, "edgecore.input.color"),
        ({"input__layout": "NCHW"}, "edgecore.input.layout"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_all_that_was_seen(changes, named):
    with pytest.raises(ModelError, match=named) as caught:
        card(**changes)
    assert "image tensor(uint8) [1, 240, 320, 3]" in str(caught.value)
    assert "edgecore.labels=" in str(caught.value)


@pytest.mark.parametrize("shape", [[None, 240, 320, 3], [1, "h", "w", 3], [1, 240, 320], [1, 9000, 9000, 3]])
def test_a_shape_that_is_not_one_picture_is_refused(shape):
    with pytest.raises(ModelError, match=r"one picture of 3 channels"):
        card(Tensor("image", shape, "tensor(uint8)"))


@pytest.mark.parametrize("inputs", [[], [IMAGE, IMAGE], [Tensor("image", [1, 240, 320, 3], "tensor(int8)")]])
def test_other_inputs_than_one_picture_are_refused(inputs):
    with pytest.raises(ModelError, match="one input of uint8 or float"):
        card(inputs=inputs)


def test_a_model_that_says_nothing_is_refused():
    with pytest.raises(ModelError, match="metadata none"):
        read_card({}, [IMAGE], OUTPUTS)
