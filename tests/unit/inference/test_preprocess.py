import numpy as np
import pytest

from edgecore.inference.card import InputSpec
from edgecore.inference.geometry import Box
from edgecore.inference.preprocess import PADDING, WHOLE, letterbox, prepare, resize


def gradient(height, width):
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 / (width - 1), y * 255 / (height - 1), x * 0], axis=2).astype(np.uint8)


def test_a_frame_that_is_what_the_model_wants_is_not_copied():
    picture = gradient(24, 32)
    tensor, fit = prepare(picture, InputSpec("image", 24, 32))
    assert tensor.shape == (1, 24, 32, 3)
    assert np.shares_memory(tensor, picture)
    assert fit == WHOLE


def test_layout_color_and_scale():
    spec = InputSpec("image", 24, 32, "NCHW", "RGB", "stretch", "float32", mean=5.0, scale=0.5)
    picture = gradient(24, 32)
    tensor, _ = prepare(picture, spec)
    assert tensor.shape == (1, 3, 24, 32)
    assert tensor.dtype == np.float32
    assert tensor[0, 2, 3, 7] == pytest.approx((picture[3, 7, 0] - 5.0) * 0.5)


def test_halving_takes_the_mean_of_each_block():
    picture = np.zeros((2, 4, 3), np.uint8)
    picture[0, 0] = 100
    assert resize(picture, 1, 2)[0, :, 0].tolist() == [25, 0]


@pytest.mark.parametrize("size", [(37, 51), (480, 640), (10, 7)])
def test_bilinear_keeps_a_gradient(size):
    found = resize(gradient(100, 140), *size)
    assert found.shape == (*size, 3)
    assert np.abs(found.astype(int) - gradient(*size).astype(int)).max() <= 20


def test_letterbox_keeps_the_form_and_pads_with_grey():
    picture, fit = letterbox(
        np.zeros((100, 200, 3), np.uint8), InputSpec("image", 100, 100, resize="letterbox")
    )
    assert picture[0, 0, 0] == PADDING
    assert picture[50, 50, 0] == 0
    assert (fit.left, fit.top, fit.width, fit.height) == (0.0, 0.25, 1.0, 0.5)


def test_boxes_go_back_from_the_input_to_the_frame():
    spec = InputSpec("image", 100, 100, resize="letterbox")
    _, fit = prepare(np.zeros((100, 200, 3), np.uint8), spec)
    assert fit.to_frame(Box(0.1, 0.25, 0.2, 0.5)) == pytest.approx(Box(0.1, 0.0, 0.2, 0.5))
    assert fit.to_frame(Box(0.1, 0.0, 0.2, 1.0)) == pytest.approx(Box(0.1, 0.0, 0.2, 1.0))
