"""The broker benchmark: the core's daemon beside Mosquitto, interleaved, as ratios of medians.

Both serve mutual TLS with the same certificates. Mosquitto keeps nothing on disk (persistence false); the
core does what it always does. What is counted is messages delivered; CPU is that of the broker's process.
Generators encode what they send before the clock runs. On a machine with two cores the generator has one:
a run in which it was busier than 85 % of a core and the broker was not is marked "g", a lower bound.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.benchmarks.brokers import EDGECORE, MOSQUITTO, mosquitto_program, raise_open_files
from tests.benchmarks.cases import TABLES, Case, cases
from tests.benchmarks.machine import describe
from tests.benchmarks.results import Figures, Row, as_records, from_records, markdown, row_of
from tests.benchmarks.stage import Scale, Stage

# A case of 5,000 connections, and what else is open.
DESCRIPTORS = 8_192


def measure(rounds: int, chosen: Sequence[Case], folder: Path, progress: Callable[[str], None]) -> list[Row]:
    """Every case in every round against both, one after the other: drift hits both alike."""
    runs: dict[str, dict[str, list[Figures]]] = {case.name: {MOSQUITTO: [], EDGECORE: []} for case in chosen}
    with contextlib.ExitStack() as stack:
        stage = Stage(folder, stack)
        for number in range(rounds):
            for case in chosen:
                if number >= case.rounds:
                    continue
                for who in (MOSQUITTO, EDGECORE):
                    progress(f"round {number + 1}/{min(rounds, case.rounds)}: {case.name}, {who}")
                    figures = case.run(stage, who)
                    runs[case.name][who].append(figures)
                    for fault in figures.faults:
                        progress(f"FAULT {case.name}, {who}: {fault}")
    return [row_of(case.name, case.title, case.table, runs[case.name]) for case in chosen]


def select(only: str, offered: Sequence[Case]) -> list[Case]:
    """The cases that `only` names: whole names or beginnings, with commas; all for "". Raises ValueError."""
    names = [case.name for case in offered]
    wanted: set[str] = set()
    for word in filter(None, only.split(",")):
        found = [name for name in names if name == word] or [name for name in names if name.startswith(word)]
        if not found:
            raise ValueError(f"no case begins with {word!r}; there are {', '.join(names)}")
        wanted.update(found)
    return [case for case in offered if not wanted or case.name in wanted]


def main(argv: list[str]) -> int:
    """Run the benchmark and print its tables. Exit code 2: it cannot be run here, or was asked wrongly."""
    options = _parser().parse_args(argv)
    scale = Scale(
        seconds=options.seconds,
        sizes=(64,) if options.quick else Scale.sizes,
        crowd=options.devices,
        multitude=options.multitude,
        stored=options.stored,
    )
    offered = cases(scale)
    if options.read:
        saved = json.loads(options.read.read_text())
        print(_page(saved["machine"], from_records(saved["rows"]), offered))
        return 0
    try:
        chosen = select(options.only, offered)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _end)
    found = _cannot_run()
    if found:
        print(found, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="edgecore-bench-", dir=options.folder) as name:
        rows = measure(options.rounds, chosen, Path(name), lambda text: print(text, file=sys.stderr))
        machine = describe(Path(name))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, "rows": as_records(rows)}, indent=1) + "\n")
    print(_page(machine, rows, offered))
    return 0


def _end(number: int, _frame: object) -> None:
    """Leave by the blocks that end the brokers too."""
    sys.exit(128 + number)


def _cannot_run() -> str:
    if mosquitto_program() is None:
        return "mosquitto is not installed: apt-get install mosquitto"
    files = raise_open_files()
    if files < DESCRIPTORS:
        return f"found a limit of {files} open files, expected {DESCRIPTORS}: raise it with ulimit -Hn"
    return ""


def _page(machine: str, rows: Sequence[Row], offered: Sequence[Case]) -> str:
    budgets = {case.name: case.budgets for case in offered}
    text = f"{machine}\n\n{markdown(rows, TABLES, budgets)}"
    if any(any(row.bounded.values()) for row in rows):
        text += "\n\n**g**: the generator was busier than the broker, so the figure is a lower bound."
    if any(any(row.faults.values()) for row in rows):
        text += "\n\n**†**: not as it should be:\n"
        for row in rows:
            for who, faults in row.faults.items():
                text += "".join(f"\n- {row.case}, {who}: {fault}" for fault in dict.fromkeys(faults))
    return text


def _parser() -> argparse.ArgumentParser:
    listing = "\n".join(f"  {case.name:29} {case.explains}" for case in cases(Scale()))
    parser = argparse.ArgumentParser(
        prog='make bench ARGS="broker ..."',
        description=__doc__,
        epilog=f"cases:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=5, help="of each case against each broker (5)")
    parser.add_argument("--seconds", type=float, default=Scale.seconds, help="of each measurement (2)")
    parser.add_argument("--quick", action="store_true", help="64 bytes only")
    parser.add_argument("--only", default="", help="cases whose name begins so; several with commas")
    parser.add_argument("--devices", type=int, default=Scale.crowd, help="that reconnect, or are idle (1000)")
    parser.add_argument("--multitude", type=int, default=Scale.multitude, help="of idle-multitude (5000)")
    parser.add_argument(
        "--stored", type=int, default=Scale.stored, help="messages of the offline case (20000)"
    )
    parser.add_argument("--folder", type=Path, help="on the disk that the core's store is to be measured on")
    parser.add_argument("--json", type=Path, help="write all that was measured to this file too")
    parser.add_argument("--read", type=Path, help="measure nothing: print the tables of such a file")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
