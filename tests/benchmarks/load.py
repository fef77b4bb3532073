"""The load generator: mTLS clients on raw sockets that send pre-encoded bytes and count what is delivered.

Every frame of a run has the same length, so that messages are counted by bytes, and the first byte of
each is looked at. TLS and the sockets' work are done by C with the GIL released. No MQTT library.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V311, Connect, Publish, Subscribe, SubscriptionOptions

RECORD = 16_384
TICKS = os.sysconf("SC_CLK_TCK")
# Bytes handed to the socket at a time by a publisher that sends as fast as it can.
BULK = 64 * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def wait_until_idle(pid: int, patience: float = 10.0) -> None:
    """Wait until the broker has dealt with what the last run left in its sockets."""
    deadline = time.perf_counter() + patience
    while time.perf_counter() < deadline:
        before = cpu_seconds(pid)
        time.sleep(0.1)
        if cpu_seconds(pid) - before <= 0.02:
            return


class Client:
    """One MQTT 3.1.1 connection over mutual TLS."""

    def __init__(self, pki: Path, port: int, number: int, name: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(pki / "ca.pem")
        context.load_cert_chain(pki / f"dev-{number:03}.pem", pki / f"dev-{number:03}.key")
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        self.socket.sendall(encode(Connect(name, V311, True, 0), V311))
        answer = self.receive(4)
        if answer != b"\x20\x02\0\0":
            raise RuntimeError(f"CONNACK was {answer!r}")

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise RuntimeError("the broker closed the connection")
            data += part
        return data

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Subscribe and wait for the grant."""
        self.socket.sendall(encode(Subscribe(1, [SubscriptionOptions(topic_filter, qos)]), V311))
        answer = self.receive(5)
        if answer != bytes((0x90, 3, 0, 1, qos)):
            raise RuntimeError(f"SUBACK was {answer!r}")

    def hang_up(self) -> None:
        """End the connection under the threads that use it. Close it only when they are gone: its
        descriptor's number is given to the next connection, and they would write into that.
        """
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back."""
        self.socket.close()


def topic_of(publisher: int) -> str:
    """The topic of a publisher; all have the same length."""
    return f"dt/dev-{publisher:03}/data"


def frame_of(publisher: int, size: int, qos: int, packet_id: int = 1) -> bytes:
    """A PUBLISH with `size` bytes of payload."""
    return encode(Publish(topic_of(publisher), b"x" * size, qos, packet_id=packet_id), V311)


class Receiver(threading.Thread):
    """Counts the messages that one subscriber gets, and acknowledges them at QoS 1."""

    def __init__(self, client: Client, frame: int, qos: int, packet_id_at: int) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._frame = frame
        self._qos = qos
        self._packet_id_at = packet_id_at
        self.bytes = 0
        self.fault = ""
        self.start()

    @property
    def messages(self) -> int:
        """Whole messages so far."""
        return self.bytes // self._frame

    def run(self) -> None:
        """Read until the connection ends."""
        frame, stream = self._frame, self._client.socket
        buffer = bytearray(RECORD + frame)
        view = memoryview(buffer)
        held = 0  # bytes of an unfinished frame at the start of the buffer
        first = (0x30 | self._qos << 1).to_bytes(1, "big")
        try:
            while read := stream.recv_into(view[held:], RECORD):
                self.bytes += read
                have = held + read
                whole = have // frame
                end = whole * frame
                if buffer[0:end:frame] != first * whole:
                    self.fault = f"a frame starts with {bytes(buffer[0:end:frame])[:8]!r}"
                    return
                if self._qos and whole:
                    self._acknowledge(buffer, whole, end)
                held = have - end
                if held:
                    buffer[:held] = buffer[end:have]
        except OSError:
            pass  # the run is over and the socket closed

    def _acknowledge(self, buffer: bytearray, whole: int, end: int) -> None:
        answers = bytearray(b"\x40\x02\0\0" * whole)
        answers[2::4] = buffer[self._packet_id_at : end : self._frame]
        answers[3::4] = buffer[self._packet_id_at + 1 : end : self._frame]
        self._client.socket.sendall(answers)


class Flood(threading.Thread):
    """Publishes at QoS 0 as fast as the socket takes it. `records`: one PUBLISH per TLS record."""

    def __init__(self, client: Client, frame: bytes, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._socket = client.socket
        self._bulk = frame * max(1, BULK // len(frame))
        self._stop_event = stop

    def run(self) -> None:
        """Send until told to stop."""
        try:
            while not self._stop_event.is_set():
                self._socket.sendall(self._bulk)
        except OSError:
            pass  # the run is over and the socket closed


class RecordFlood(threading.Thread):
    """As Flood, with one PUBLISH per TLS record: encrypted in memory, many records per system call."""

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
    subscriber has the message, and what it then drops is no work done. `LEAD` is below both brokers' queues.
    """

    LEAD = 800

    def __init__(self, receivers: list[Receiver]) -> None:
        self._receivers = receivers
        self.sent = 0

    def wait(self, count: int, stop: threading.Event) -> None:
        """Return when `count` more may be sent."""
        self.sent += count
        while self.sent - min(each.messages for each in self._receivers) > self.LEAD and not stop.is_set():
            time.sleep(0.00005)


class Window(threading.Thread):
    """Publishes at QoS 1 with two batches in flight."""

    def __init__(
        self, client: Client, publisher: int, size: int, batch: int, pace: Pace, stop: threading.Event
    ) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._batch = batch
        self._pace = pace
        self._batches = [
            b"".join(frame_of(publisher, size, 1, first + index) for index in range(batch))
            for first in (1, batch + 1)
        ]
        self._stop_event = stop

    def run(self) -> None:
        """Send until told to stop; each batch when the one before the last was acknowledged."""
        client, pace, stop = self._client, self._pace, self._stop_event
        try:
            client.socket.sendall(self._batches[0])
            pace.wait(self._batch, stop)
            turn = 1
            while not stop.is_set():
                client.socket.sendall(self._batches[turn])
                client.receive(4 * self._batch)
                pace.wait(self._batch, stop)
                turn = 1 - turn
        except (OSError, RuntimeError):
            pass  # the run is over and the socket closed


@dataclass
class Figures:
    """What one run gave. `rate`: delivered messages per second. CPU in microseconds per delivered message."""

    rate: float
    broker_cpu: float
    broker_busy: float
    generator_busy: float
    p50: float = 0.0
    p99: float = 0.0
    faults: list[str] = field(default_factory=list)


def saturated(
    pki: Path,
    port: int,
    pid: int,
    publishers: int,
    subscribers: int,
    size: int,
    qos: int,
    seconds: float,
    one_per_record: bool = False,
) -> Figures:
    """All publishers send as fast as they can; what the subscribers get in `seconds` is counted."""
    frame = frame_of(0, size, qos)
    stop = threading.Event()
    listening = [Client(pki, port, index, f"sub-{index}") for index in range(subscribers)]
    for client in listening:
        client.subscribe("dt/#", qos)
    at = len(frame) - size - 2
    receivers = [Receiver(client, len(frame), qos, at) for client in listening]
    sending = [Client(pki, port, 20 + index, f"pub-{index}") for index in range(publishers)]
    threads: list[threading.Thread] = []
    pace = Pace(receivers)
    batch = max(10, 100 // publishers)
    for index, client in enumerate(sending):
        if qos:
            threads.append(Window(client, index, size, batch, pace, stop))
        else:
            kind = RecordFlood if one_per_record else Flood
            threads.append(kind(client, frame_of(index, size, 0), stop))
    for thread in threads:
        thread.start()
    time.sleep(0.4)  # the first messages fill buffers and caches
    figures = _measure(pid, seconds, lambda: sum(each.messages for each in receivers))
    stop.set()
    _end(sending + listening, threads + receivers)
    figures.faults = [each.fault for each in receivers if each.fault]
    return figures


def _measure(pid, seconds, count) -> Figures:
    own = os.getpid()
    began, first = time.perf_counter(), count()
    broker, generator = cpu_seconds(pid), cpu_seconds(own)
    time.sleep(seconds)
    delivered, spent = count() - first, cpu_seconds(pid) - broker
    passed = time.perf_counter() - began
    return Figures(
        delivered / passed,
        spent / delivered * 1e6 if delivered else float("inf"),
        spent / passed,
        (cpu_seconds(own) - generator) / passed,
    )


class Stopwatch(threading.Thread):
    """A subscriber that notes how long each message was under way: its payload starts with a clock."""

    def __init__(self, client: Client, frame: int, payload_at: int) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._frame = frame
        self._payload_at = payload_at
        self.delays: list[int] = []
        self.start()

    def run(self) -> None:
        """Read until the connection ends."""
        frame, at, delays = self._frame, self._payload_at, self.delays
        rest = b""
        clock, unpack = time.perf_counter_ns, struct.Struct("!q").unpack_from
        try:
            while data := self._client.socket.recv(RECORD):
                now = clock()
                data = rest + data
                whole = len(data) // frame
                for index in range(whole):
                    delays.append(now - unpack(data, index * frame + at)[0])
                rest = data[whole * frame :]
        except OSError:
            pass  # the run is over and the socket closed


def paced(pki: Path, port: int, pid: int, devices: int, rate: int, size: int, seconds: float) -> Figures:
    """`devices` publishers send `rate` messages/s in all, evenly in time; one subscriber. QoS 0."""
    frame = frame_of(0, size, 0)
    subscriber = Client(pki, port, 0, "sub-0")
    subscriber.subscribe("dt/#", 0)
    watch = Stopwatch(subscriber, len(frame), len(frame) - size)
    clients = [Client(pki, port, index, f"pub-{index}") for index in range(devices)]
    frames = [bytearray(frame_of(index, size, 0)) for index in range(devices)]
    _send_paced(clients, frames, len(frame) - size, rate, 0.5)
    _settle(watch, int(0.5 * rate))
    watch.delays.clear()
    own, began = os.getpid(), time.perf_counter()
    broker, generator = cpu_seconds(pid), cpu_seconds(own)
    sent = _send_paced(clients, frames, len(frame) - size, rate, seconds)
    _settle(watch, sent)
    spent, passed = cpu_seconds(pid) - broker, time.perf_counter() - began
    delays = sorted(watch.delays)
    figures = Figures(
        len(delays) / passed,
        spent / max(1, len(delays)) * 1e6,
        spent / passed,
        (cpu_seconds(own) - generator) / passed,
        delays[len(delays) // 2] / 1e6 if delays else 0.0,
        delays[len(delays) * 99 // 100] / 1e6 if delays else 0.0,
    )
    if len(delays) != sent:
        figures.faults.append(f"{sent} were sent and {len(delays)} delivered")
    _end([*clients, subscriber], [watch])
    return figures


def _end(clients, threads) -> None:
    for client in clients:
        client.hang_up()
    for thread in threads:
        thread.join(5)
    for client in clients:
        client.close()


def _send_paced(clients, frames, at: int, rate: int, seconds: float) -> int:
    """Send what is due, then rest for a moment; each device in its turn."""
    total, count, sent = int(rate * seconds), len(clients), 0
    clock, pack = time.perf_counter_ns, struct.Struct("!q").pack_into
    began = clock()
    while sent < total:
        due = min(total, int((clock() - began) * rate / 1e9))
        while sent < due:
            which = sent % count
            frame = frames[which]
            pack(frame, at, clock())
            clients[which].socket.send(frame)
            sent += 1
        time.sleep(0.0001)
    return sent


def _settle(watch: Stopwatch, expected: int) -> None:
    deadline = time.perf_counter() + 2
    while len(watch.delays) < expected and time.perf_counter() < deadline:
        time.sleep(0.005)
