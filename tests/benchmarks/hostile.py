"""The case of the bad neighbours: honest devices with and without a flooder and a subscriber that does not read."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Self

from tests.benchmarks.brokers import STOP, Broker
from tests.benchmarks.procfs import resident
from tests.benchmarks.results import Figures
from tests.benchmarks.throughput import Fleet

# Messages/s of all honest devices together: a tenth of what either broker carries in the paced case.
RATE = 1_000
SIZE = 64
# Seconds between two looks at the broker's memory.
LOOK = 0.02
MIB = 1024 * 1024


def neighbours(broker: Broker, devices: int, seconds: float) -> Figures:
    """Delays of the honest devices' messages alone and beside bad neighbours; how much the broker grew."""
    fleet = Fleet(broker, devices, SIZE)
    try:
        fleet.run(RATE, 0.5)
        calm = fleet.run(RATE, seconds)
        with _neighbours(broker), _Growth(broker.pid) as growth:
            beside = fleet.run(RATE, seconds)
    finally:
        fleet.close()
    values = {
        "calm_p99": calm.values.get("p99", 0.0),
        "p50": beside.values.get("p50", 0.0),
        "p99": beside.values.get("p99", 0.0),
        "growth": growth.bytes / MIB,
    }
    return Figures(values, calm.faults + beside.faults)


class _Growth(threading.Thread):
    """How far the resident memory of a process rises above where it began."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._began = resident(pid)
        self._over = threading.Event()
        self.bytes = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(LOOK):
            self.bytes = max(self.bytes, resident(self._pid) - self._began)


@contextlib.contextmanager
def _neighbours(broker: Broker) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.benchmarks.neighbours", str(broker.site.folder), str(broker.port)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise RuntimeError("the neighbours did not come")
        yield
    finally:
        process.stdin.close()  # which ends it
        process.kill()
        process.wait(STOP)
        process.stdout.close()
