"""Watches a camera from inside the site: which frames were looked at, what is in the picture now.

An operator's view, through the control socket's stream. It outlives the daemon: when that comes back,
the watch goes on.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import aiohttp

from edgecore.sim.crossings import Interval

# Seconds until the next try when nobody answers.
_AGAIN: Final = 0.2
# A watch may be silent for as long as it likes; only connecting has a limit.
_PATIENCE: Final = aiohttp.ClientTimeout(total=None, sock_connect=2.0)


class FrameRecord:
    """What a camera says of its frames. `objects` are those of the newest frame, `counts` the sums."""

    def __init__(self) -> None:
        self.frame = 0
        self.objects: list[dict[str, Any]] = []
        self.counts: dict[str, dict[str, dict[str, int]]] = {}
        self.infer_ms = 0.0
        self.seen = 0
        self._starts: dict[int, int] = {}

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Frames that were looked at without a break, one interval for each start of the camera."""
        return tuple(Interval(first, last) for first, last in sorted(self._starts.items()))

    def receive(self, kind: str, payload: bytes) -> None:
        """Record one message of the camera; kinds that say nothing of frames are passed over."""
        if kind == "counts":
            self._counted(json.loads(payload))
        elif kind == "detections":
            self._detected(json.loads(payload))

    def _counted(self, message: dict[str, Any]) -> None:
        first, frame = message["first_frame"], message["frame"]
        self._starts[first] = max(self._starts.get(first, first), frame)
        self.counts = message["counts"]

    def _detected(self, message: dict[str, Any]) -> None:
        self.seen += 1
        self.frame = message["frame"]
        self.objects = message["objects"]
        self.infer_ms = message["infer_ms"]


class Watch:
    """The stream of all cameras' messages, for as long as `run` runs."""

    def __init__(self, control_socket: Path, cameras: Iterable[str]) -> None:
        self.cameras = {topic: FrameRecord() for topic in cameras}
        self.dropped = 0
        self._socket = control_socket

    async def run(self) -> None:
        """Watch until cancelled, again and again when the daemon goes away."""
        while True:
            # Nobody there yet, or killed in the middle of a line: the next try tells.
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self._stream()
            await asyncio.sleep(_AGAIN)

    async def _stream(self) -> None:
        connector = aiohttp.UnixConnector(path=str(self._socket))
        filters = [("filter", f"{topic}/#") for topic in self.cameras]
        async with (
            aiohttp.ClientSession(connector=connector, timeout=_PATIENCE) as session,
            session.get("http://core/subscribe", params=filters) as response,
        ):
            response.raise_for_status()
            async for line in response.content:
                self.receive(line)

    def receive(self, line: bytes) -> None:
        """Take one line of the stream."""
        if not line.endswith(b"\n"):
            return  # cut off in the middle
        message = json.loads(line)
        self.dropped += message.get("dropped", 0)
        topic, _, kind = message.get("topic", "").rpartition("/")
        if topic in self.cameras:
            self.cameras[topic].receive(kind, base64.b64decode(message["payload"]))
