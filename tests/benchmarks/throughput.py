"""Cases of throughput: publishers that send as fast as they can, and devices that send at a pace."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Sequence
from itertools import accumulate

from edgecore.mqtt.packets import V311
from tests.benchmarks.brokers import Broker
from tests.benchmarks.client import Client, end, frame_of
from tests.benchmarks.load import (
    RECORD,
    Flood,
    Pace,
    Receiver,
    RecordFlood,
    Window,
    batches_of,
)
from tests.benchmarks.procfs import Meter
from tests.benchmarks.results import Figures

# The devices that publish have numbers from here on, those that subscribe from 0.
PUBLISHERS = 20
# Messages at QoS 1 that publishers may be ahead of the slowest subscriber: below both brokers' queues.
LEAD = 800
# Seconds before the clock runs: the first messages fill buffers and caches.
WARM_UP = 0.4


def saturated(
    broker: Broker,
    publishers: int,
    subscribers: int,
    size: int,
    qos: int,
    seconds: float,
    one_per_record: bool = False,
    lengths: int = 1,
) -> Figures:
    """All publishers send as fast as they can; what the subscribers get in `seconds` is counted.

    `lengths`: how many different ones the payloads have, from `size` on (1 where there are more publishers).
    """
    stop = threading.Event()
    listening = [Client(broker, index, f"sub-{index}") for index in range(subscribers)]
    sizes = range(size, size + lengths)
    receivers = receive(listening, sizes, qos)
    sending = [Client(broker, PUBLISHERS + index, f"pub-{index}") for index in range(publishers)]
    if qos:
        batch = max(10, 100 // publishers)
        threads = publish(sending, sizes, batch, Pace(receivers, LEAD), stop)
    else:
        kind = RecordFlood if one_per_record else Flood
        threads = [
            kind(client, b"".join(frame_of(index, each, 0) for each in sizes), stop)
            for index, client in enumerate(sending)
        ]
        for thread in threads:
            thread.start()
    figures = measured(broker, receivers, seconds)
    stop.set()
    end(sending + listening, threads + receivers)
    figures.faults += [each.fault for each in (*receivers, *threads) if getattr(each, "fault", "")]
    return figures


def receive(listening: list[Client], sizes: Sequence[int], qos: int, version: int = V311) -> list[Receiver]:
    """Subscribe each to all measurements, and count what it gets."""
    for client in listening:
        client.subscribe("dt/#", qos)
    return [receiver_of(client, sizes, qos, version) for client in listening]


def receiver_of(client: Client, sizes: Sequence[int], qos: int, version: int = V311) -> Receiver:
    """Count what a client gets that has subscribed before: payloads of these sizes in turn."""
    frames = [len(frame_of(0, size, qos, version=version)) for size in sizes]
    *starts, period = accumulate(frames, initial=0)
    before = 2 if version == V311 else 3  # bytes of the identifier, and of no properties in 5
    ends = zip(starts, frames, sizes, strict=True)
    packet_ids = [start + frame - size - before for start, frame, size in ends]
    return Receiver(client, qos, period, starts, packet_ids if qos else ())


def publish(
    sending: list[Client],
    sizes: Sequence[int],
    batch: int,
    pace: Pace,
    stop: threading.Event,
    version: int = V311,
) -> list[Window]:
    """Let each publish at QoS 1, two batches in flight."""
    threads = [
        Window(client, batches_of(index, sizes, batch, version), batch, pace, stop)
        for index, client in enumerate(sending)
    ]
    for thread in threads:
        thread.start()
    return threads


def measured(broker: Broker, receivers: list[Receiver], seconds: float) -> Figures:
    """What the receivers get in `seconds`, once it flows."""
    time.sleep(WARM_UP)
    meter, first = Meter(broker.pid), sum(each.messages for each in receivers)
    time.sleep(seconds)
    count = sum(each.messages for each in receivers) - first
    figures = Figures(meter.read(count))
    if not count:
        figures.faults.append("nothing was delivered")
    return figures


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


class Fleet:
    """Devices that publish at QoS 0, each in its turn, evenly in time, and one that gets it all."""

    def __init__(self, broker: Broker, devices: int, size: int) -> None:
        self._broker = broker
        self._subscriber = Client(broker, 0, "sub-0")
        self._subscriber.subscribe("dt/#", 0)
        frame = len(frame_of(0, size, 0))
        self._at = frame - size
        self._watch = Stopwatch(self._subscriber, frame, self._at)
        self._clients = [Client(broker, index, f"pub-{index}") for index in range(devices)]
        self._frames = [bytearray(frame_of(index, size, 0)) for index in range(devices)]

    def run(self, rate: int, seconds: float) -> Figures:
        """Send `rate` messages/s in all."""
        self._watch.delays.clear()
        meter = Meter(self._broker.pid)
        sent = self._send(rate, seconds)
        self._settle(sent)
        delays = sorted(self._watch.delays)
        figures = Figures(meter.read(len(delays)))
        if delays:
            figures.values["p50"] = delays[len(delays) // 2] / 1e6
            figures.values["p99"] = delays[len(delays) * 99 // 100] / 1e6
        if len(delays) != sent:
            figures.faults.append(f"{sent} were sent and {len(delays)} delivered")
        return figures

    def close(self) -> None:
        """All leave."""
        end([*self._clients, self._subscriber], [self._watch])

    def _send(self, rate: int, seconds: float) -> int:
        """Send what is due, then rest for a moment."""
        total, count, sent = int(rate * seconds), len(self._clients), 0
        clock, pack = time.perf_counter_ns, struct.Struct("!q").pack_into
        frames, sockets, at = self._frames, [client.socket for client in self._clients], self._at
        began = clock()
        while sent < total:
            due = min(total, int((clock() - began) * rate / 1e9))
            while sent < due:
                which = sent % count
                frame = frames[which]
                pack(frame, at, clock())
                sockets[which].send(frame)
                sent += 1
            time.sleep(0.0001)
        return sent

    def _settle(self, expected: int) -> None:
        deadline = time.perf_counter() + 2
        while len(self._watch.delays) < expected and time.perf_counter() < deadline:
            time.sleep(0.005)


def paced(broker: Broker, devices: int, rate: int, size: int, seconds: float) -> Figures:
    """CPU per message and delays at a rate that both brokers can carry."""
    fleet = Fleet(broker, devices, size)
    fleet.run(rate, 0.5)
    figures = fleet.run(rate, seconds)
    fleet.close()
    return figures
