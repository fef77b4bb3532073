"""The worker's end of its socket: frames out and in, from any thread. Worker side; blocking; stdlib only.

No thread of our own reads: whoever waits for a frame reads, and puts aside what is meant for others. So
a function may publish while it is imported, inside its handler, and from background threads.
"""

from __future__ import annotations

import socket
import threading

from edgecore.lambdas.frames import PUBLISHED, Frame, Framer, Meta, encode

# One read of a Unix socket gives at most what its buffer holds (net.core.rmem_default, 208 KiB).
READ_SIZE = 256 * 1024
# The daemon is trusted: its frames are as large as its settings say.
NO_CAP = 2**32

# Frames that start something have no sequence number: they wait in one mailbox.
WORK = 0


class ChannelClosedError(Exception):
    """The daemon closed the socket: the worker is to end."""


class Channel:
    """A worker's connection to the daemon."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._framer = Framer(NO_CAP)
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._reading = False
        self._closed = False
        self._mail: dict[int, list[Frame]] = {}
        self._seq = WORK

    def send(self, kind: int, meta: Meta, payload: bytes = b"") -> None:
        """Send a frame. Raises ChannelClosedError."""
        data = encode(kind, meta, payload)
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError as error:
            raise ChannelClosedError(str(error)) from error

    def ask(self, kind: int, meta: Meta, payload: bytes = b"") -> Frame:
        """Send a frame and wait for its answer. Raises ChannelClosedError."""
        with self._changed:
            self._seq += 1
            seq = self._seq
        self.send(kind, {**meta, "seq": seq}, payload)
        return self._wait(seq)

    def work(self) -> Frame:
        """Wait for the next frame that starts something. Raises ChannelClosedError."""
        return self._wait(WORK)

    def _wait(self, box: int) -> Frame:
        with self._changed:
            while True:
                if frames := self._mail.get(box):
                    return self._taken(box, frames)
                if self._closed:
                    raise ChannelClosedError("the daemon has closed the connection")
                if self._reading:
                    self._changed.wait()
                else:
                    self._read()

    def _taken(self, box: int, frames: list[Frame]) -> Frame:
        frame = frames.pop(0)
        if not frames:
            del self._mail[box]
        return frame

    def _read(self) -> None:
        """One read, with the lock given back meanwhile."""
        self._reading = True
        self._changed.release()
        try:
            data = self._receive()
        finally:
            self._changed.acquire()
            self._reading = False
            self._changed.notify_all()
        self._closed = not data
        for frame in self._framer.feed(data):
            box = frame.number("seq") if frame.kind == PUBLISHED else WORK
            self._mail.setdefault(box, []).append(frame)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(READ_SIZE)
        except ConnectionError:
            return b""
