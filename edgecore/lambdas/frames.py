"""Frames between the daemon and one worker: length-prefixed, over a socketpair. Sans-IO, pure.

A frame is a 9-byte header (length of the payload, length of the meta, kind), the meta as JSON object,
and the payload as it is. Both sides use this file, so it is stdlib only and light to import.

daemon to worker:  SETUP, INVOKE, PUBLISHED, STOP
worker to daemon:  LOADED, BROKEN, RESULT, ERROR, PUBLISH
"""

from __future__ import annotations

import json
import struct

from edgecore.base.errors import EdgecoreError

# What a function is: the first frame, once.
SETUP = 1
# One event: meta {"id", "subject", "remaining_ms"}; payload: the event.
INVOKE = 2
# The answer to a PUBLISH of QoS 1 or 2: meta {"seq", "error", "reason"}; error is "" when durable.
PUBLISHED = 3
# Nothing more will come: end after what is being done.
STOP = 4
# The handler is loaded.
LOADED = 16
# The handler cannot be loaded: meta as of ERROR.
BROKEN = 17
# The handler returned: meta {"id", "none", "rss"}; payload: the result.
RESULT = 18
# The handler failed: meta {"id", "errorType", "errorMessage", "stackTrace", "rss"}.
ERROR = 19
# sdk.publish: meta {"seq", "topic", "qos"}; payload as it is.
PUBLISH = 20

KINDS = frozenset((SETUP, INVOKE, PUBLISHED, STOP, LOADED, BROKEN, RESULT, ERROR, PUBLISH))

HEADER = struct.Struct(">IIB")
# Topics (64 KiB, MQTT 5 1.5.4) and clipped stack traces fit, also when JSON escapes them; there is no more.
MAX_META = 256 * 1024

Meta = dict[str, object]


class FrameError(EdgecoreError):
    """The other side sent what is no frame: the stream cannot be trusted any more."""


class Frame:
    """One message between daemon and worker."""

    __slots__ = ("kind", "meta", "payload")

    def __init__(self, kind: int, meta: Meta, payload: bytes = b"") -> None:
        self.kind = kind
        self.meta = meta
        self.payload = payload

    def text(self, key: str) -> str:
        """A text of the meta. Raises FrameError when it is missing or something else."""
        value = self.meta.get(key)
        if not isinstance(value, str):
            raise FrameError(f"frame {self.kind}: found {key}={value!r:.80}, expected a text")
        return value

    def number(self, key: str) -> int:
        """A whole number of the meta, not negative. Raises FrameError as `text`."""
        value = self.meta.get(key)
        if type(value) is not int or value < 0:
            raise FrameError(f"frame {self.kind}: found {key}={value!r:.80}, expected a number from 0")
        return value


def encode(kind: int, meta: Meta, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    head = json.dumps(meta, separators=(",", ":")).encode()
    return HEADER.pack(len(payload), len(head), kind) + head + payload


class Framer:
    """Bytes in, frames out. `max_payload` is the cap that is checked before a body is collected."""

    def __init__(self, max_payload: int) -> None:
        self._max_payload = max_payload
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """All frames that `data` completes. Raises FrameError; the framer is of no use afterwards."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            payload_size, meta_size, kind = HEADER.unpack_from(buffer, start)
            self._check(payload_size, meta_size, kind)
            body = start + HEADER.size
            end = body + meta_size + payload_size
            if len(buffer) < end:
                break
            meta = _meta(bytes(buffer[body : body + meta_size]))
            frames.append(Frame(kind, meta, bytes(buffer[body + meta_size : end])))
            start = end
        del buffer[:start]
        return frames

    def _check(self, payload_size: int, meta_size: int, kind: int) -> None:
        if kind not in KINDS:
            raise FrameError(f"found a frame of kind {kind}, which does not exist")
        if payload_size > self._max_payload:
            raise FrameError(f"found a frame of {payload_size} bytes, expected at most {self._max_payload}")
        if meta_size > MAX_META:
            raise FrameError(f"found a frame with {meta_size} bytes of meta, expected at most {MAX_META}")


def _meta(text: bytes) -> Meta:
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"found meta that is no JSON ({error})") from error
    if not isinstance(meta, dict):
        raise FrameError(f"found meta {text[:80]!r}, expected a JSON object")
    return meta
