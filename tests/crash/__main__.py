"""The long forms of the proofs of durability; docs/durability.md says what each proves.

    python -m tests.crash kill --rounds 1000 --seed 1 [--broker mosquitto]
    python -m tests.crash order --messages 100000
    python -m tests.crash cuts --cuts 500
    python -m tests.crash silence --cuts 200
    python -m tests.crash month

A run that was stopped is taken up where its record ends; the exit code is 1 when the law was broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path

from tests.crash import month, one_by_one, power, silence, strace
from tests.crash.brokers import Edgecore, Mosquitto
from tests.crash.law import FAULTS
from tests.crash.record import Record, totals
from tests.crash.rounds import Rounds

# Messages of one run under strace: its trace is some 40 MB.
ORDER_RUN = 1000
# Cuts of one recording.
CUTS_PER_RECORDING = 50
# Silent cuts of one core and cloud.
SILENT_PER_RUN = 50
BROKERS = {
    "edgecore": Edgecore,
    "mosquitto": Mosquitto,
    "mosquitto-sigterm": partial(Mosquitto, ending=signal.SIGTERM),
}


async def kill(options):
    """SIGKILL rounds. Gives the rows."""
    record = Record(options.record, {"what": "kill", "broker": options.broker, "seed": options.seed})
    if record.next >= options.rounds:
        return record.rows
    folder = Path(tempfile.mkdtemp(prefix="edgecore-crash-"))
    broker = BROKERS[options.broker](folder)
    await broker.prepare()
    rounds = Rounds(broker, options.seed)
    await rounds.begin()
    broken = False
    for number in range(record.next, options.rounds):
        report = await rounds.play(number)
        broken = broken or bool(report.verdict.broken)
        record.add(report.record(), options.rounds)
    await rounds.end()
    _keep_or_remove(folder, broken)
    return record.rows


async def order(options):
    """Acknowledgements under strace, one by one. Gives the rows."""
    if strace.why_not():
        raise SystemExit(strace.why_not())
    runs = -(-options.messages // ORDER_RUN)
    record = Record(options.record, {"what": "order", "seed": options.seed})
    with tempfile.TemporaryDirectory(prefix="edgecore-order-") as folder:
        core = await one_by_one.prepare(Path(folder)) if record.next < runs else None
        for number in range(record.next, runs):
            run = await one_by_one.run(core, number, ORDER_RUN)
            row = {"number": number, "messages": ORDER_RUN, "answers": run.finding.answers}
            row |= {"early": len(run.finding.early), "seconds": round(run.seconds, 2)}
            record.add(row | ({"examples": run.finding.early[:20]} if run.finding.early else {}), runs)
    return record.rows


async def cuts(options):
    """Power cuts by replay. Gives the rows."""
    if strace.why_not():
        raise SystemExit(strace.why_not())
    record = Record(options.record, {"what": "cuts", "seed": options.seed})
    while record.next < options.cuts:
        # Each recording has its seed; one that was interrupted is made again for what is left of it.
        number, done = divmod(record.next, CUTS_PER_RECORDING)
        folder = Path(tempfile.mkdtemp(prefix="edgecore-cuts-"))
        broken = False
        recording = await power.record(folder / "recording", f"{options.seed}/{number}")
        left = min(CUTS_PER_RECORDING - done, options.cuts - record.next)
        async for cut in power.cut_and_verify(
            recording, f"{options.seed}/{record.next}", left, folder / "cut"
        ):
            broken = broken or bool(cut.verdict.broken)
            row = {
                "number": record.next,
                "cut": 1,
                "at": f"line {cut.line}",
                "mode": cut.mode,
                "unsynced": cut.pending,
            }
            row |= {**cut.verdict.counts, "seconds": round(cut.seconds, 2)}
            record.add(row | ({"examples": cut.verdict.examples} if broken else {}), options.cuts)
        _keep_or_remove(folder, broken)
    return record.rows


async def silent(options):
    """Silent cuts of the link to the cloud. Gives the rows."""
    record = Record(options.record, {"what": "silence", "seed": options.seed})
    while record.next < options.cuts:
        first, number = record.next, min(SILENT_PER_RUN, options.cuts - record.next)
        with tempfile.TemporaryDirectory(prefix="edgecore-silence-") as folder:
            for row in await silence.play(Path(folder), number, f"{options.seed}/{first}"):
                record.add(row | {"number": first + row["number"]}, options.cuts)
    return record.rows


async def whole_month(options):
    """The simulated month offline. Gives the rows."""
    record = Record(options.record, {"what": "month", "scale": options.scale})
    if not record.next:
        with tempfile.TemporaryDirectory(prefix="edgecore-month-") as folder:
            record.add({"number": 0, **await month.play(Path(folder), options.scale)}, 1)
    return record.rows


def _keep_or_remove(folder, broken):
    if broken:
        print(f"the core's folder is kept: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)


def main():
    """Run what was asked for, print its totals, say by the exit code whether the law held."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, default=1)
    common.add_argument("--record", type=Path, default=Path("build/crash.jsonl"))
    kills = verbs.add_parser("kill", parents=[common], help=kill.__doc__.splitlines()[0])
    kills.add_argument("--rounds", type=int, default=1000)
    kills.add_argument("--broker", choices=BROKERS, default="edgecore")
    kills.set_defaults(run=kill)
    orders = verbs.add_parser("order", parents=[common], help=order.__doc__.splitlines()[0])
    orders.add_argument("--messages", type=int, default=100_000)
    orders.set_defaults(run=order)
    powers = verbs.add_parser("cuts", parents=[common], help=cuts.__doc__.splitlines()[0])
    powers.add_argument("--cuts", type=int, default=500)
    powers.set_defaults(run=cuts)
    silences = verbs.add_parser("silence", parents=[common], help=silent.__doc__.splitlines()[0])
    silences.add_argument("--cuts", type=int, default=200)
    silences.set_defaults(run=silent)
    months = verbs.add_parser("month", parents=[common], help=whole_month.__doc__.splitlines()[0])
    months.add_argument("--scale", type=int, default=1, help="divides the month and its bounds")
    months.set_defaults(run=whole_month)
    options = parser.parse_args()
    total = totals(asyncio.run(options.run(options)))
    print(json.dumps(dict(sorted(total.items())), indent=2))
    return 1 if any(total[kind] for kind in (*FAULTS, "early", "unexplained")) else 0


if __name__ == "__main__":
    raise SystemExit(main())
