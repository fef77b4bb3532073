import cv2
import numpy as np
import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import FrameSourceError
from edgecore.inference.sources.address import parse_address
from edgecore.inference.sources.folder import FolderSource


def opened(text, root):
    return FolderSource(parse_address(text), root, 0.1, ManualClock(5.0))


def test_pictures_come_in_the_order_of_their_names_and_end(tmp_path):
    for name, tone in (("b.PNG", 20), ("a.png", 10), ("c.jpg", 30)):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), tone, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    source = opened("folder:.", tmp_path)
    frames = [source.read() for _ in range(3)]
    assert [frame.picture[0, 0, 0] for frame in frames] == [10, 20, 30]
    assert [(frame.number, frame.captured_at) for frame in frames] == [(0, 5.0), (1, 5.0), (2, 5.0)]
    assert source.read() is None
    source.close()


def test_a_broken_picture_is_an_error_and_not_left_out(tmp_path):
    (tmp_path / "a.png").write_bytes(b"not a picture")
    source = opened("folder:.", tmp_path)
    with pytest.raises(FrameSourceError, match=r"a\.png: found no readable picture"):
        source.read()


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FrameSourceError, match="no such folder"):
        opened("folder:none", tmp_path)
