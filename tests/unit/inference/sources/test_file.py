import cv2
import numpy as np
import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import FrameSourceError
from edgecore.inference.sources.address import parse_address
from edgecore.inference.sources.file import FileSource


def opened(name, root):
    return FileSource(parse_address(f"file:{name}?fps=25"), root, 0.1, ManualClock(5.0))


def test_every_frame_of_a_video_comes_once(tmp_path):
    video = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for tone in (0, 100, 200):
        video.write(np.full((48, 64, 3), tone, np.uint8))
    video.release()
    source = opened("clip.avi", tmp_path)
    assert source.period == pytest.approx(0.04)
    frames = [source.read() for _ in range(3)]
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert [round(float(frame.picture.mean()) / 100) for frame in frames] == [0, 1, 2]
    assert source.read() is None
    source.close()


def test_a_missing_file_and_one_that_is_no_video_are_errors(tmp_path):
    with pytest.raises(FrameSourceError, match="no such file"):
        opened("none.mp4", tmp_path)
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(FrameSourceError, match="expected a video"):
        opened("text.mp4", tmp_path).read()


def test_a_video_without_frames_is_an_error(tmp_path, monkeypatch):
    class Empty:
        def isOpened(self):  # noqa: N802  OpenCV's name
            return True

        def read(self):
            return False, None

    monkeypatch.setattr(cv2, "VideoCapture", lambda path: Empty())
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(FrameSourceError, match="found no frame"):
        opened("empty.mp4", tmp_path).read()
