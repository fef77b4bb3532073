"""The shadow benchmark: an update until it is accepted, on disk, over mutual TLS; and the three-way merge.

Devices send updates of their own shadow at QoS 1 and listen, at QoS 1, on update/accepted; an update counts
when its `accepted` has come. The generator is one process with one core of its own at most: where it was busier
than 85 % of a core and the daemon was not, the figure is a lower bound, marked "g".
"""

from __future__ import annotations

import argparse
import contextlib
import random
import selectors
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V311, Publish
from edgecore.shadow.document import NOTHING, JsonObject, merge
from edgecore.shadow.reconcile import reconcile
from tests.benchmarks.brokers import EDGECORE, Broker, raise_open_files, running
from tests.benchmarks.client import Client
from tests.benchmarks.procfs import Meter, wait_until_idle
from tests.benchmarks.results import BUSY
from tests.benchmarks.site import make_site, name_of

RECORD = 65_536
PUBLISH, PUBACK = 0x30, 0x40
# Seconds before the clock runs.
WARM_UP = 0.5


@dataclass(frozen=True)
class Line:
    """One figure and what it is held to. `at_least`: whether more is better."""

    what: str
    value: float
    unit: str
    budget: float | None = None
    at_least: bool = False
    mark: str = ""

    def __str__(self) -> str:
        found = f"{self.value:,.3f} {self.unit}{self.mark}"
        if self.budget is None:
            return f"| {self.what} | {found} | |"
        kept = self.value >= self.budget if self.at_least else self.value <= self.budget
        held = f"{'≥' if self.at_least else '≤'} {self.budget:,g} {self.unit}: {'kept' if kept else 'missed'}"
        return f"| {self.what} | {found} | {held} |"


class Device:
    """A device that keeps `window` updates under way. `accepted`: how many came back; `delays`: seconds."""

    def __init__(self, broker: Broker, number: int, window: int) -> None:
        thing = name_of(number)
        client = Client(broker, number, f"shadow-{number}")
        client.subscribe(f"$aws/things/{thing}/shadow/update/accepted", 1)
        client.socket.setblocking(False)
        self.socket = client.socket
        self._client = client
        topic = f"$aws/things/{thing}/shadow/update"
        self._frames = [
            encode(Publish(topic, _update(each), 1, packet_id=each), V311) for each in range(1, window + 1)
        ]
        self._sent = [0.0] * window
        self._next = self._acknowledged = 0
        self._buffer = b""
        self.accepted = 0
        self.delays: list[float] = []

    def start(self) -> None:
        """Send the first window."""
        for _ in self._frames:
            self._send()

    def readable(self) -> None:
        """Take what came; each update that is acknowledged and accepted makes room for one more."""
        with contextlib.suppress(ssl.SSLWantReadError):
            while data := self.socket.recv(RECORD):
                self._buffer += data
        for first, body in self._packets():
            if first == PUBACK:
                self._acknowledged += 1
            elif first & 0xF0 == PUBLISH:
                self._take(body)
        while self._next < min(self._acknowledged, self.accepted) + len(self._frames):
            self._send()

    def close(self) -> None:
        """Give the descriptor back."""
        self._client.close()

    def _take(self, body: bytes) -> None:
        self.delays.append(time.perf_counter() - self._sent[self.accepted % len(self._frames)])
        self.accepted += 1
        start = 2 + int.from_bytes(body[:2], "big")
        self.socket.send(bytes((PUBACK, 2)) + body[start : start + 2])

    def _send(self) -> None:
        place = self._next % len(self._frames)
        self._next += 1
        self._sent[place] = time.perf_counter()
        self.socket.send(self._frames[place])

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        data, place = self._buffer, 0
        while len(data) - place >= 2:
            length = data[place + 1] & 0x7F
            start = place + 2
            if data[place + 1] & 0x80:
                if len(data) - place < 3:
                    break
                length, start = length + (data[place + 2] << 7), place + 3
            if len(data) < start + length:
                break
            yield data[place], data[start : start + length]
            place = start + length
        self._buffer = data[place:]


def _update(number: int) -> bytes:
    return msgspec.json.encode(
        {"state": {"reported": {"speed": number, "lane": "north"}}, "clientToken": f"t{number}"}
    )


def updates(
    broker: Broker, devices: int, window: int, seconds: float
) -> tuple[dict[str, float], list[float]]:
    """Drive them for `seconds`; what was used for each update, and their delays in order."""
    crowd = [Device(broker, number, window) for number in range(devices)]
    with selectors.DefaultSelector() as selector:
        for device in crowd:
            selector.register(device.socket, selectors.EVENT_READ, device)
            device.start()
        _drive(selector, WARM_UP)
        before = sum(device.accepted for device in crowd)
        for device in crowd:
            device.delays.clear()
        meter = Meter(broker.pid)
        _drive(selector, seconds)
        used = meter.read(sum(device.accepted for device in crowd) - before)
    for device in crowd:
        device.close()
    return used, sorted(delay for device in crowd for delay in device.delays)


def _drive(selector: selectors.BaseSelector, seconds: float) -> None:
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        for key, _ in selector.select(0.1):
            key.data.readable()


def measured(broker: Broker, devices: int, window: int, seconds: float) -> list[Line]:
    """The lines of one case."""
    wait_until_idle(broker.pid)
    used, delays = updates(broker, devices, window, seconds)
    bound = used["generator_busy"] > BUSY and used["broker_busy"] < BUSY
    what = f"update to accepted, {devices} device{'s' if devices > 1 else ''}, {window} under way each"
    alone = devices == 1
    return [
        Line(
            f"{what}: rate",
            used["rate"],
            "/s",
            None if alone else 5_000,
            at_least=True,
            mark=" g" if bound else "",
        ),
        Line(f"{what}: p50", statistics.median(delays) * 1e3, "ms", 2.0 if alone else None),
        Line(f"{what}: p99", delays[len(delays) * 99 // 100] * 1e3, "ms"),
        Line(f"{what}: CPU of the daemon", used["cpu"], "µs each"),
        Line(f"{what}: written", used["written"], "bytes each"),
    ]


# The merge


def document(zones: int, seed: int) -> JsonObject:
    """A state of about 8 KB with 69 zones."""
    rng = random.Random(seed)
    section = {
        f"zone-{number:02}": {
            "green": rng.randrange(100),
            "red": rng.randrange(100),
            "mode": "auto",
            "plan": [1, 2, 3],
        }
        for number in range(zones)
    }
    return {"desired": section, "reported": {name: dict(zone) for name, zone in section.items()}}


def merges() -> list[Line]:
    """The medians, of an 8 KB document."""
    base, ours, theirs = (document(69, seed) for seed in range(3))
    here = merge(base, {"reported": {"zone-03": {"green": 777}}})
    there = msgspec.json.decode(msgspec.json.encode(merge(base, {"desired": {"zone-05": {"green": 777}}})))
    size = NOTHING.updated(base, 0).size()
    return [
        Line(
            f"three-way merge, {size:,} bytes, one change on each side",
            _median(lambda: reconcile(base, here, there)),
            "ms",
            0.3,
        ),
        Line(
            f"three-way merge, {size:,} bytes, every value in conflict",
            _median(lambda: reconcile(base, ours, theirs)),
            "ms",
            0.3,
        ),
    ]


def _median(work: Callable[[], object], times: int = 300) -> float:
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found) * 1e3


def main(argv: list[str]) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog='make bench ARGS="shadows ..."', description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (5)")
    parser.add_argument("--devices", type=int, default=50, help="that send at once (50)")
    parser.add_argument("--window", type=int, default=8, help="updates that each has under way (8)")
    parser.add_argument("--folder", type=Path, help="on the disk that the core's store is to be measured on")
    options = parser.parse_args(argv)
    raise_open_files()
    lines = merges()
    with tempfile.TemporaryDirectory(prefix="edgecore-bench-", dir=options.folder) as name:
        site = make_site(Path(name) / "site", options.devices)
        with running(EDGECORE, site, "default") as broker:
            lines += measured(broker, 1, 1, options.seconds)
            lines += measured(broker, options.devices, options.window, options.seconds)
    print("| what | measured | budget |\n|---|---|---|")
    for line in lines:
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
