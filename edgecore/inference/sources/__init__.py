"""Where frames come from: opens the source that a camera's `source` text names.

Each kind lives in its own file, imported only when a camera names it: OpenCV is an optional extra.
"""

from __future__ import annotations

from pathlib import Path

from edgecore.base.clock import Clock
from edgecore.base.errors import FrameSourceError, UnavailableError
from edgecore.inference.frames import FrameSource
from edgecore.inference.sources.address import Address, parse_address

NOT_YET = ("picamera2", "v4l2", "rtsp")
"""Kinds of the design that this version cannot open."""
VISION_CURE = "install the optional extra: pip install 'edgecore[vision]'"


def open_source(text: str, root: Path, every: float, clock: Clock) -> FrameSource:
    """Open the source `text`; relative paths start from `root`, `every` is the period in seconds.

    Raises FrameSourceError (unknown kind, not available yet, nothing to read) and UnavailableError
    (OpenCV is not installed). Blocks: call it off the loop.
    """
    address = parse_address(text)
    if address.scheme in NOT_YET:
        raise FrameSourceError(
            f"source {text!r}: {address.scheme} is not available yet; use synthetic:, folder: or file:"
        )
    try:
        return _open(address, root, every, clock)
    except ImportError as error:
        raise UnavailableError(f"source {text!r} needs OpenCV ({error}): {VISION_CURE}") from error


def _open(address: Address, root: Path, every: float, clock: Clock) -> FrameSource:
    match address.scheme:
        case "synthetic":
            from edgecore.inference.sources.synthetic import SyntheticSource  # noqa: PLC0415  optional extra

            return SyntheticSource(address, every, clock)
        case "folder":
            from edgecore.inference.sources.folder import FolderSource  # noqa: PLC0415  optional extra

            return FolderSource(address, root, every, clock)
        case "file":
            from edgecore.inference.sources.file import FileSource  # noqa: PLC0415  optional extra

            return FileSource(address, root, every, clock)
        case other:
            raise FrameSourceError(
                f"source {address.text!r}: found kind {other!r}, expected synthetic:, folder: or file:"
            )
