"""The outbox: how fast it takes messages onto the disk, how fast and in how much memory the cloud gets them.

`make bench ARGS="outbox"`; `make bench ARGS="outbox --messages 1000000"` for a long backlog. The uplink's own
service with awsiotsdk runs in this process, the simulated cloud, without limits, in another. The cloud shares
the machine: where the cores are two and both are busy, the drain is what the two of them do together, and
the CPU of each is beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from edgecore.base.clock import SystemClock
from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Message
from edgecore.sim.simcloud import SimulatedCloud
from edgecore.store import Database
from edgecore.uplink import Link, UplinkService, UplinkSettings
from tests.benchmarks.machine import describe
from tests.benchmarks.procfs import cpu_seconds, memory, written_of

ROWS = (Row(("device:*",), ("dt/#",), ("cloud",)),)
TOPICS = 50
# Appended in one turn of the loop, as devices that publish at the same time would.
TURN = 50
# Commits that may be outstanding: what the daemon's own bound on waiting works would be reached by far later.
OUTSTANDING = 5_000
APPEND, DRAIN = 30_000, 20_000  # messages a second: DESIGN.md section 10
# Memory may grow by this while the backlog drains: one read of the queue and a window of messages.
GROWTH = 32 * 1024 * 1024
LOOK = 0.05
# At so many points of the drain the memory is looked at: each look costs a millisecond and more.
LOOKS = 40
TOPIC = len("dt/sensor-00/t")


@dataclass
class Figures:
    """What one run gave. Rates are messages a second, CPU is microseconds a message, the rest is bytes."""

    messages: int
    size: int
    append: float
    append_cpu: float
    written: float
    drain: float
    drain_cpu: float
    cloud_cpu: float
    drain_written: float
    resting: int
    middle: int
    end: int
    peak: int
    lost: int

    def verdicts(self) -> list[str]:
        """Each budget, and whether it was kept."""
        rows = [
            ("append", self.append, self.append >= APPEND, f">= {APPEND:,}/s"),
            ("bytes written, appended", self.written, self.written <= 2 * (self.size + TOPIC), "<= 2x"),
            ("drain", self.drain, self.drain >= DRAIN, f">= {DRAIN:,}/s"),
            (
                "memory grows by",
                (self.peak - self.resting) / 1e6,
                self.peak - self.resting <= GROWTH,
                "<= 33.6 MB",
            ),
            ("lost", self.lost, self.lost == 0, "0"),
        ]
        return [
            f"{name} {value:,.1f} ({limit}){'' if kept else ' **missed**'}"
            for name, value, kept, limit in rows
        ]


class _Bus:
    """Holds what is attached, as the router does; nothing comes from this cloud."""

    def __init__(self) -> None:
        self.targets: dict[str, object] = {}

    def publish(self, _message: Message) -> Receipt:
        return Receipt(allowed=True)

    def attach(self, target: str, subscriber: object) -> None:
        self.targets[target] = subscriber

    def detach(self, target: str, _subscriber: object) -> None:
        self.targets.pop(target, None)


async def measure(folder: Path, messages: int, size: int) -> Figures:
    """Append while there is no cloud, then let it come and drain."""
    cloud = SimulatedCloud(folder / "cloud", folder / "cloud.log", ())
    await cloud.start()
    settings = UplinkSettings(
        "localhost",
        folder / "cloud/core.cert.pem",
        folder / "cloud/core.key.pem",
        "core",
        port=cloud.endpoint.port,
        ca=folder / "cloud/ca.pem",
        aws_limits=False,
        outbox_records=2 * messages,
        outbox_bytes=8 * messages * (size + 200),
    )
    closed = UplinkSettings(**{**asdict(settings), "port": 1, "reconnect_min": 30.0})
    async with Database(folder / "core.db") as db:
        bus = _Bus()
        async with _running(UplinkService(closed, ROWS, Link(SystemClock()), bus, db, SystemClock())):
            append = await _append(bus, messages, size)
        try:
            service = UplinkService(settings, ROWS, Link(SystemClock()), bus, db, SystemClock())
            async with _running(service):
                drain = await _drain(service, _pid_of(folder / "cloud"))
        finally:
            await cloud.stop()
    return Figures(messages, size, *append, *drain)


class _running:  # noqa: N801  used as a function is
    """A service that runs until the block ends."""

    def __init__(self, service: UplinkService) -> None:
        self._service = service

    async def __aenter__(self) -> None:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self._service.run(ready.set))
        await ready.wait()

    async def __aexit__(self, *_error: object) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))


async def _append(bus: _Bus, messages: int, size: int) -> tuple[float, float, float]:
    outbox = bus.targets["cloud"]
    sender = device("bench")
    waiting = [0, asyncio.Event()]

    def done(error: Exception | None) -> None:
        assert error is None, error
        waiting[0] -= 1
        waiting[1].set()

    written, cpu, began = _written(), time.process_time(), time.perf_counter()
    for number in range(messages):
        message = Message(f"dt/sensor-{number % TOPICS}/t", b"%0*d" % (size, number), 1, sender)
        waiting[0] += 1
        outbox.deliver(message, 1, False).when_done(done)
        if number % TURN == TURN - 1:
            await asyncio.sleep(0)
        while waiting[0] > OUTSTANDING:
            waiting[1].clear()
            await waiting[1].wait()
    while waiting[0]:
        waiting[1].clear()
        await waiting[1].wait()
    took = time.perf_counter() - began
    return (
        messages / took,
        (time.process_time() - cpu) / messages * 1e6,
        (_written() - written) / messages,
    )


async def _drain(
    service: UplinkService, cloud: int
) -> tuple[float, float, float, float, int, int, int, int, int]:
    while not service.status()["connected"]:  # noqa: ASYNC110  the service tells nobody but its rooms
        await asyncio.sleep(LOOK / 10)
    began, cpu, its_cpu = time.perf_counter(), time.process_time(), cpu_seconds(cloud)
    written = _written()
    backlog = _outbox(service)["records"]
    looks = []
    while waiting := _outbox(service)["records"]:
        if waiting < backlog * (1 - len(looks) / LOOKS):
            looks.append(memory(os.getpid()).pss)
        await asyncio.sleep(LOOK)
    took = time.perf_counter() - began
    looks.append(memory(os.getpid()).pss)
    outbox = _outbox(service)
    lost = sum(outbox["dropped"].values()) + outbox["set_aside"]
    return (
        backlog / took,
        (time.process_time() - cpu) / backlog * 1e6,
        (cpu_seconds(cloud) - its_cpu) / backlog * 1e6,
        (_written() - written) / backlog,
        looks[0],
        looks[len(looks) // 2],
        looks[-1],
        max(looks),
        lost,
    )


def _pid_of(cloud: Path) -> int:
    pid: int = json.loads((cloud / "cloud.json").read_text())["pid"]
    return pid


def _outbox(service: UplinkService) -> dict:
    return service.status()["outbox"]


def _written() -> int:
    return written_of(Path("/proc/self/io").read_text())


def page(machine: str, runs: list[Figures]) -> str:
    """The runs as a table, and the budgets by the best of them."""
    lines = [
        machine,
        "",
        (
            "| messages | append/s | CPU us | bytes written | drain/s | CPU us | cloud's us | bytes written "
            "| PSS at the start | middle | end | most | lost |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        (
            f"| {each.messages:,} of {each.size} | {each.append:,.0f} | {each.append_cpu:.1f} | {each.written:,.0f} "
            f"| {each.drain:,.0f} | {each.drain_cpu:.1f} | {each.cloud_cpu:.1f} | {each.drain_written:,.0f} "
            f"| {each.resting / 1e6:.1f} MB | {each.middle / 1e6:.1f} | {each.end / 1e6:.1f} "
            f"| {each.peak / 1e6:.1f} | {each.lost} |"
        )
        for each in runs
    ]
    middle = sorted(runs, key=lambda each: each.drain)[len(runs) // 2]
    return "\n".join([*lines, "", "By the middle run: " + "; ".join(middle.verdicts())])


def main(argv: list[str]) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(prog='make bench ARGS="outbox ..."', description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="of one run (100000)")
    parser.add_argument("--size", type=int, default=200, help="of a payload, in bytes (200)")
    parser.add_argument("--rounds", type=int, default=3, help="runs (3)")
    parser.add_argument("--folder", type=Path, help="on the disk that the core's store is to be measured on")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file too")
    options = parser.parse_args(argv)
    runs = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="edgecore-bench-", dir=options.folder) as name:
            runs.append(_run(measure(Path(name), options.messages, options.size)))
            machine = describe(Path(name))
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in runs], indent=1) + "\n")
    print(page(machine, runs))
    return 0


def _run(what):
    """On the loop that the daemon uses."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(what)
    return uvloop.run(what)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
