import numpy as np
import pytest

from edgecore.base.errors import FrameSourceError
from edgecore.inference.privacy import PrivacyMask, covered

TOP = [(0.0, 0.0), (1.0, 0.0), (1.0, 0.12), (0.0, 0.12)]


def white(height=240, width=320):
    return np.full((height, width, 3), 255, np.uint8)


def test_a_mask_is_black_and_the_rest_is_untouched():
    masked = PrivacyMask([TOP]).apply(white())
    assert masked[:29].max() == 0
    assert masked[29:].min() == 255


def test_without_masks_the_frame_passes_as_it_is():
    picture = white()
    assert PrivacyMask([]).apply(picture) is picture


def test_every_pixel_that_a_polygon_touches_is_masked():
    triangle = [(0.1, 0.1), (0.9, 0.3), (0.4, 0.8)]
    inside = covered(triangle, 40, 60)
    assert inside[int(0.35 * 40), int(0.4 * 60)]
    assert not inside[0, 0]
    # A polygon smaller than a pixel, around its middle.
    tiny = [(0.52, 0.52), (0.58, 0.52), (0.55, 0.58)]
    assert covered(tiny, 10, 10).sum() == 1


def test_a_mask_follows_the_size_of_the_frame():
    mask = PrivacyMask([TOP])
    for height in (240, 100):
        assert mask.apply(white(height, 50))[: int(height * 0.12)].max() == 0


def test_a_frame_that_cannot_be_written_is_copied():
    picture = white()
    picture.flags.writeable = False
    assert PrivacyMask([TOP]).apply(picture)[0, 0, 0] == 0
    assert picture[0, 0, 0] == 255


@pytest.mark.parametrize("polygon", [[(0, 0), (1, 1)], [(0, 0), (1, 0), (float("nan"), 1)]])
def test_a_polygon_that_masks_nothing_is_refused(polygon):
    with pytest.raises(FrameSourceError, match="no frame passes"):
        PrivacyMask([polygon])


def test_no_frame_passes_a_mask_that_covers_nothing_of_it():
    mask = PrivacyMask([[(1.5, 1.5), (1.6, 1.5), (1.6, 1.6)]])
    with pytest.raises(FrameSourceError, match="covers nothing"):
        mask.apply(white())


@pytest.mark.parametrize("picture", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_no_frame_of_another_form_passes(picture):
    with pytest.raises(FrameSourceError, match="no frame passes"):
        PrivacyMask([TOP]).apply(picture)
