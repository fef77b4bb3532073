"""The broker benchmark: edgecore's listener and router beside Mosquitto, interleaved, as ratios of medians.

    python -m tests.benchmarks.broker [--rounds 5] [--seconds 2] [--quick] [--json]

Both serve mutual TLS with the same certificates, no persistence, no logging per message. What is counted
is messages delivered; CPU is that of the broker's process per delivered message. On a machine with two
cores the generator has one of them: a run in which it was busier than BUSY and the broker was not was
bounded by the generator, and is marked with "g".
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import load, load_pki

DEVICES = 200
BUSY = 0.85

MOSQUITTO = """\
listener {port} 127.0.0.1
cafile {pki}/ca.pem
certfile {pki}/server.pem
keyfile {pki}/server.key
require_certificate true
allow_anonymous true
persistence false
log_dest none
set_tcp_nodelay true
# Started by root it would change to a user that cannot read the keys.
user {user}
# The default windows (20 in flight, 1000 queued) would bound QoS 1 here, not the broker.
max_inflight_messages 256
max_queued_messages 100000
"""


@dataclass(frozen=True)
class Case:
    """One row of the table: a name and what to run against (pki, port, pid)."""

    name: str
    run: Callable[[Path, int, int], load.Figures]
    paced: bool = False


def cases(seconds: float, quick: bool) -> list[Case]:
    shapes = ((1, 1), (1, 10), (20, 1))
    sizes = (64,) if quick else (64, 200)
    found = [
        _saturated(*shape, size, qos, seconds, False) for qos in (0, 1) for shape in shapes for size in sizes
    ]
    found.extend(_saturated(*shape, 64, 0, seconds, True) for shape in (shapes[0], shapes[2]))
    for rate in (4000, 400):
        name = f"paced {rate}/s from {DEVICES} devices, 64 B, QoS 0"
        found.append(Case(name, _paced(rate, max(seconds, 3.0)), paced=True))
    return found


def _saturated(publishers, subscribers, size, qos, seconds, single) -> Case:
    def run(pki: Path, port: int, pid: int) -> load.Figures:
        return load.saturated(pki, port, pid, publishers, subscribers, size, qos, seconds, single)

    name = f"{publishers}→{subscribers}, {size} B, QoS {qos}" + (", one per TLS record" if single else "")
    return Case(name, run)


def _paced(rate: int, seconds: float):
    return lambda pki, port, pid: load.paced(pki, port, pid, DEVICES, rate, 64, seconds)


@contextlib.contextmanager
def mosquitto(pki: Path) -> Iterator[tuple[int, int]]:
    """Run Mosquitto; gives (port, pid)."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config = pki / "mosquitto.conf"
    config.write_text(MOSQUITTO.format(port=port, pki=pki, user=getpass.getuser()))
    with _process([program, "-c", str(config)]) as process:
        _wait_for(port, process)
        yield port, process.pid


@contextlib.contextmanager
def core(pki: Path) -> Iterator[tuple[int, int]]:
    """Run the minimal core; gives (port, pid)."""
    command = [sys.executable, "-m", "tests.benchmarks.broker_core", str(pki), "0"]
    with _process(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the core did not start")
        yield int(line), process.pid


@contextlib.contextmanager
def _process(command, **options) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        if process.stdout is not None:
            process.stdout.close()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(100):
        if process.poll() is not None:
            raise RuntimeError("mosquitto ended at once")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("mosquitto does not listen")


def measure(rounds: int, chosen: list[Case], progress) -> dict[str, dict[str, list[load.Figures]]]:
    """Every case in every round against both, one after the other: drift hits both alike."""
    results = {case.name: {"mosquitto": [], "edgecore": []} for case in chosen}
    with tempfile.TemporaryDirectory() as name:
        pki = Path(name)
        load_pki.make(pki, DEVICES)
        with mosquitto(pki) as peer, core(pki) as ours:
            for number in range(rounds):
                for case in chosen:
                    for who, (port, pid) in (("mosquitto", peer), ("edgecore", ours)):
                        load.wait_until_idle(pid)
                        figures = case.run(pki, port, pid)
                        results[case.name][who].append(figures)
                        for fault in figures.faults:
                            print(f"{case.name}, {who}: {fault}", file=sys.stderr)
                    progress(number, case)
    return results


def summary(results) -> list[dict[str, object]]:
    """Medians and ratios, one record per case."""
    rows = []
    for name, by in results.items():
        row: dict[str, object] = {"case": name}
        for who, runs in by.items():
            for key in ("rate", "broker_cpu", "broker_busy", "generator_busy", "p50", "p99"):
                row[f"{who}_{key}"] = statistics.median(getattr(run, key) for run in runs)
            row[f"{who}_faults"] = sum(len(run.faults) for run in runs)
        row["rate_ratio"] = row["edgecore_rate"] / (row["mosquitto_rate"] or float("nan"))
        row["cpu_ratio"] = row["edgecore_broker_cpu"] / row["mosquitto_broker_cpu"]
        rows.append(row)
    return rows


def table(rows) -> str:
    """The summary as a markdown table."""
    lines = [
        "| case | Mosquitto msg/s | edgecore msg/s | ratio | Mosquitto µs CPU | ours | ratio | p50 / p99 ms | ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["case"], _rate(row, "mosquitto"), _rate(row, "edgecore"), f"{row['rate_ratio']:.2f}x"]
        cells += [f"{row['mosquitto_broker_cpu']:.2f}", f"{row['edgecore_broker_cpu']:.2f}"]
        cells.append(f"{row['cpu_ratio']:.2f}x")
        for who in ("mosquitto", "edgecore"):
            late = row[f"{who}_p99"]
            cells.append(f"{row[f'{who}_p50']:.2f} / {late:.2f}" if late else "")
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _rate(row, who: str) -> str:
    bounded = row[f"{who}_broker_busy"] < BUSY < row[f"{who}_generator_busy"]
    return f"{row[f'{who}_rate']:,.0f}" + (" g" if bounded else "")


def main(argv: list[str]) -> int:
    """Run the benchmark and print its table. Exit code 2: Mosquitto is not installed."""
    parser = argparse.ArgumentParser(prog="broker", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--quick", action="store_true", help="64 bytes only")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if not (shutil.which("mosquitto") or Path("/usr/sbin/mosquitto").exists()):
        print("mosquitto is not installed: apt-get install mosquitto", file=sys.stderr)
        return 2
    chosen = [case for case in cases(options.seconds, options.quick) if options.only in case.name]
    results = measure(options.rounds, chosen, _progress(options.rounds))
    rows = summary(results)
    print(json.dumps(rows, indent=2) if options.json else table(rows))
    return 0


def _progress(rounds: int):
    return lambda number, case: print(f"round {number + 1}/{rounds}: {case.name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
