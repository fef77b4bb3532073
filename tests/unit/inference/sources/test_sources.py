import builtins
import sys

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import FrameSourceError, UnavailableError
from edgecore.inference.sources import open_source


@pytest.mark.parametrize("text", ["picamera2", "v4l2:/dev/video0", "rtsp://camera/stream"])
def test_what_is_not_built_yet_is_refused_and_says_so(text, tmp_path):
    with pytest.raises(FrameSourceError, match="is not available yet; use synthetic:, folder: or file:"):
        open_source(text, tmp_path, 0.1, ManualClock())


@pytest.mark.parametrize("text", ["", "webcam:0", "Synthetic:traffic"])
def test_an_unknown_kind_is_refused(text, tmp_path):
    with pytest.raises(FrameSourceError, match="expected synthetic:, folder: or file:"):
        open_source(text, tmp_path, 0.1, ManualClock())


def test_each_kind_opens(tmp_path):
    assert open_source("synthetic:traffic", tmp_path, 0.1, ManualClock()).first == 0
    with pytest.raises(FrameSourceError, match="found no picture"):
        open_source("folder:.", tmp_path, 0.1, ManualClock())
    with pytest.raises(FrameSourceError, match="no such file"):
        open_source("file:clip.mp4", tmp_path, 0.1, ManualClock())


def test_without_opencv_the_cure_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "edgecore.inference.sources.folder", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError, match=r"needs OpenCV.*edgecore\[vision\]"):
        open_source("folder:.", tmp_path, 0.1, ManualClock())
