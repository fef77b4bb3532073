"""Threads that publish and receive as fast as they can: pre-encoded bytes out, counted bytes in.

Every frame of a run has the same length, so that messages are counted by bytes, and the first byte of
each is looked at.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence

from tests.benchmarks.client import Client, frame_of

RECORD = 16_384
# Bytes handed to the socket at a time by a publisher that sends as fast as it can.
BULK = 64 * 1024


class Receiver(threading.Thread):
    """Counts the messages that one subscriber gets, and acknowledges them at QoS 1.

    What comes repeats itself, but for packet identifiers, every `period` bytes. `starts`: where a frame
    begins within these; `packet_ids`: where its packet identifier stands.
    """

    def __init__(
        self, client: Client, qos: int, period: int, starts: Sequence[int], packet_ids: Sequence[int]
    ) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._qos = qos
        self._period = period
        self._starts = starts
        self._packet_ids = packet_ids
        self.bytes = 0
        self.fault = ""
        self.start()

    @property
    def messages(self) -> int:
        """Whole messages so far."""
        return self.bytes // self._period * len(self._starts)

    def run(self) -> None:
        """Read until the connection ends."""
        period, stream = self._period, self._client.socket
        buffer = bytearray(RECORD + period)
        view = memoryview(buffer)
        held = 0  # bytes of an unfinished period at the start of the buffer
        first = (0x30 | self._qos << 1).to_bytes(1, "big")
        try:
            while read := stream.recv_into(view[held:], RECORD):
                self.bytes += read
                have = held + read
                whole = have // period
                end = whole * period
                for start in self._starts:
                    found = buffer[start:end:period]
                    if found != first * whole:
                        self.fault = f"a frame starts with {bytes(found)[:8]!r}"
                        return
                if self._qos and whole:
                    self._acknowledge(buffer, whole, end)
                held = have - end
                if held:
                    buffer[:held] = buffer[end:have]
        except OSError:
            pass  # the run is over and the socket closed

    def _acknowledge(self, buffer: bytearray, whole: int, end: int) -> None:
        count = len(self._packet_ids)
        answers = bytearray(b"\x40\x02\0\0" * (whole * count))
        for index, at in enumerate(self._packet_ids):
            answers[4 * index + 2 :: 4 * count] = buffer[at : end : self._period]
            answers[4 * index + 3 :: 4 * count] = buffer[at + 1 : end : self._period]
        self._client.socket.sendall(answers)


class Flood(threading.Thread):
    """Publishes at QoS 0 as fast as the socket takes it, some hundred PUBLISH to a TLS record."""

    def __init__(self, client: Client, frames: bytes, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._socket = client.socket
        self._bulk = frames * max(1, BULK // len(frames))
        self._stop_event = stop

    def run(self) -> None:
        """Send until told to stop."""
        try:
            while not self._stop_event.is_set():
                self._socket.sendall(self._bulk)
        except OSError:
            pass  # the run is over and the socket closed


class RecordFlood(threading.Thread):
    """As Flood, with one PUBLISH per TLS record."""

    RECORDS = 400

    def __init__(self, client: Client, frame: bytes, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._socket = client.socket
        self._frame = frame
        self._stop_event = stop

    def run(self) -> None:
        """Send until told to stop."""
        write, frame = self._socket.send, self._frame
        # TCP_CORK gathers the records of many small writes into full segments, as a busy kernel would.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        try:
            while not self._stop_event.is_set():
                for _ in range(self.RECORDS):
                    write(frame)
        except OSError:
            pass  # the run is over and the socket closed


class Pace:
    """Keeps publishers at QoS 1 from outrunning the slowest subscriber: a broker acknowledges before the
    subscriber has the message, and what it then drops is no work done. `lead` is below both brokers' queues.
    """

    def __init__(self, receivers: list[Receiver], lead: int) -> None:
        self._receivers = receivers
        self._lead = lead
        self.sent = 0

    def wait(self, count: int, stop: threading.Event) -> None:
        """Return when `count` more may be sent."""
        self.sent += count
        while self.sent - min(each.messages for each in self._receivers) > self._lead and not stop.is_set():
            time.sleep(0.00005)


class Window(threading.Thread):
    """Publishes at QoS 1 with two batches in flight. `total`: how many batches, 0 for no end.

    `done`: when the last PUBACK had come, on time.perf_counter; 0.0 when it has not.
    """

    def __init__(
        self,
        client: Client,
        batches: tuple[bytes, bytes],
        batch: int,
        pace: Pace | None,
        stop: threading.Event,
        total: int = 0,
    ) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._batches = batches
        self._batch = batch
        self._pace = pace
        self._stop_event = stop
        self._total = total
        self.done = 0.0
        self.fault = ""

    def run(self) -> None:
        """Send until told to stop; each batch when the one before the last was acknowledged."""
        stop, sent = self._stop_event, 0
        try:
            while not stop.is_set() and not self.fault:
                self._client.socket.sendall(self._batches[sent % 2])
                sent += 1
                if sent > 1:
                    self._take_acknowledgements()
                if self._pace is not None:
                    self._pace.wait(self._batch, stop)
                if sent == self._total:
                    self._take_acknowledgements()
                    self.done = 0.0 if self.fault else time.perf_counter()
                    return
        except (OSError, RuntimeError):
            pass  # the run is over and the socket closed

    def _take_acknowledgements(self) -> None:
        """Those of one batch, each a plain PUBACK of success."""
        answers = self._client.receive(4 * self._batch)
        if answers[0::4] != b"\x40" * self._batch or answers[1::4] != b"\x02" * self._batch:
            self.fault = f"PUBACKs were {answers[:12]!r}"


def batches_of(publisher: int, sizes: Sequence[int], batch: int, version: int) -> tuple[bytes, bytes]:
    """Two batches of PUBLISH at QoS 1 with packet identifiers of their own. `sizes`: of payloads, in turn."""
    first, second = (
        b"".join(
            frame_of(publisher, sizes[index % len(sizes)], 1, first + index, version)
            for index in range(batch)
        )
        for first in (1, batch + 1)
    )
    return first, second
