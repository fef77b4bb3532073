"""A fuzzing run: `python -m tests.fuzz --packets 10000000 --seed 1`. README.md records what was reached."""

from __future__ import annotations

import argparse
import json
import logging
import re
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "doubles"))
from tests.fuzz.engine import Bench, LawError, Mutator, codec, read_packets

SEEDS = Path(__file__).parent / "seeds.txt"
VERSIONS = (4, 5)


def signature(version, data, outcome):
    """What makes a packet worth keeping: its kind and what became of it, without the numbers in it."""
    kind, said, text = outcome
    text = re.sub(r"'[^']*'|\"[^\"]*\"|b'.*?'|0[xb][0-9a-f]+|\d+", "_", text)
    return version, data[0] >> 4 if data else -1, kind, said, text[:24]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, help="write the shortest packet of each new kind of outcome here"
    )
    options = parser.parse_args()
    logging.disable()
    mutator, bench = Mutator(options.seed, read_packets(SEEDS)), Bench()
    counts, kept, broken = Counter(), {}, 0
    began = time.monotonic()
    for number in range(options.packets):
        version, data = mutator.next()
        try:
            outcome = bench.give(version, data)
            codec(version or VERSIONS[number & 1], data)
        except LawError as error:
            broken += 1
            counts["broken"] += 1
            print(f"BROKEN: {version} {data.hex()}  # {error}", flush=True)
            if broken > 20:
                break
            continue
        counts[outcome[0]] += 1
        for code in outcome[1]:
            if isinstance(code, int):
                counts[f"{'v5' if code > 5 else '3.1.1'} {code:#04x}"] += 1
        if options.keep and len(data) < 100:
            key = signature(version, data, outcome)
            if key not in kept or len(data) < len(kept[key]):
                kept[key] = data
    seconds = time.monotonic() - began
    total = sum(counts[each] for each in ("accepted", "refused", "ended by the client", "broken"))
    print(json.dumps({"seed": options.seed, "packets": total, "seconds": round(seconds), **counts}, indent=2))
    if options.keep:
        lines = [
            f"{key[0]} {data.hex()}" for key, data in sorted(kept.items(), key=lambda each: str(each[0]))
        ]
        options.keep.write_text("\n".join(lines) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
