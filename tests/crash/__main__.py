"""The long forms of the proofs of durability; docs/durability.md says what each proves.

    python -m tests.crash kill --rounds 1000 --seed 1 [--broker mosquitto]

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

from tests.crash.brokers import Edgecore, Mosquitto
from tests.crash.law import FAULTS
from tests.crash.record import Record, totals
from tests.crash.rounds import Rounds

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
    if broken:
        print(f"the broker's folder is kept: {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder)
    return record.rows


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
    options = parser.parse_args()
    total = totals(asyncio.run(options.run(options)))
    print(json.dumps(dict(sorted(total.items())), indent=2))
    return 1 if any(total[kind] for kind in FAULTS) else 0


if __name__ == "__main__":
    raise SystemExit(main())
