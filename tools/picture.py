"""Makes docs/live-summary.svg, the picture in the README, from a real run of the traffic junction.

    .venv/bin/python tools/picture.py

Runs for about 40 s with a cloud outage in it, and keeps the fullest picture after the outbox has drained.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from edgecore.base.clock import SystemClock
from edgecore.sim.junction import Junction
from edgecore.sim.snapshot import Snapshot
from edgecore.sim.stage import Plan, running
from edgecore.sim.summary import WIDTH, render
from edgecore.sim.tally import Tallies

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "live-summary.svg"
# Seconds. The outage lies in the middle; its hump is still to be seen in the outbox's line 10 s later.
DURATION, OUTAGE = 32.0, 6.0


def objects(now: Snapshot) -> int:
    """How much there is to see."""
    return sum(len(camera.objects) for camera in now.cameras)


def is_better(now: Snapshot, best: Snapshot | None) -> bool:
    """Whether this moment shows more than the best so far: after the outage, all well again."""
    well = now.outbox == 0 and all(one.converged for one in now.controllers)
    late = now.seconds > (DURATION + OUTAGE) / 2 + 3
    return now.phase == "running" and well and late and (best is None or objects(now) > objects(best))


async def run() -> tuple[Tallies, Snapshot | None]:
    """Run the junction; its tallies and its best moment."""
    best: Snapshot | None = None

    async def look() -> None:
        nonlocal best
        while True:
            await asyncio.sleep(0.1)
            now = junction.snapshot()
            if now is not None and is_better(now, best):
                best = now

    with tempfile.TemporaryDirectory(prefix="edgecore-picture-") as folder:
        plan = Plan(ROOT / "deploy" / "traffic-junction", duration=DURATION, outage=OUTAGE)
        junction = Junction(plan, Path(folder), SystemClock(), print)
        async with running(look()):
            tallies = await junction.run(asyncio.Event())
    return tallies, best


def save(now: Snapshot) -> None:
    """Write the picture."""
    console = Console(record=True, width=WIDTH + 2, file=io.StringIO(), force_terminal=True)
    console.print(render(now))
    console.save_svg(str(PICTURE), title="edgecore demo")


def main() -> None:
    """Run, judge, save."""
    tallies, best = asyncio.run(run())
    if reasons := tallies.reasons():
        sys.exit("no picture of a run that does not agree: " + "; ".join(reasons))
    if best is None:
        sys.exit("the outbox did not drain in time for a picture")
    save(best)
    where = PICTURE.relative_to(ROOT)
    print(f"{where}: {best.seconds:.0f} s into the run, {objects(best)} objects in the picture")


if __name__ == "__main__":
    main()
