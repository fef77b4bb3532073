"""`edgecore demo`: a whole traffic junction on this machine, with a live summary and a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

import edgecore
from edgecore.base.errors import EdgecoreError
from edgecore.cli import exit_codes
from edgecore.cli.options import Json
from edgecore.cli.output import console, emit_json, say

if TYPE_CHECKING:
    from edgecore.sim.junction import Junction
    from edgecore.sim.stage import Plan
    from edgecore.sim.tally import Tallies

# The example group of a checkout.
GROUP: Final = Path(edgecore.__file__).parent.parent / "deploy" / "traffic-junction"
# Seconds between two pictures in a terminal, and between two lines elsewhere.
_REFRESH: Final = 0.2
_LINE: Final = 5.0


def demo(
    for_: Annotated[
        str | None, typer.Option("--for", metavar="30s", help="End after this time. Without it: Ctrl-C.")
    ] = None,
    cloud_outage: Annotated[
        str | None, typer.Option("--cloud-outage", metavar="10s", help="Cut the cloud link in the middle.")
    ] = None,
    kill_core: Annotated[
        bool, typer.Option("--kill-core", help="Kill the core with SIGKILL in the middle, start it again.")
    ] = False,
    json: Json = False,
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="D", help="Keep everything there. Without it: a folder that goes."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Another scene, other measurements.")
    ] = None,
    group: Annotated[Path, typer.Option("--group", metavar="F", help="The group that runs.")] = GROUP,
) -> None:
    """Run a whole traffic junction on this machine: cloud, core, devices, camera.

    A simulated cloud and a core, each a process of its own; 22 devices with certificates of their own; a
    camera through the ONNX model; a function that times the signals; controllers that follow their shadows.

    At the end all is compared: every message that was acknowledged has arrived in the cloud, counted lines
    match the scene, shadows are the same here and there. Ends with 0 only if all of it agrees.

    [bold]Example:[/bold] edgecore demo
    [bold]Example:[/bold] edgecore demo --for 30s --cloud-outage 10s --json
    """
    from edgecore.sim.stage import Plan

    plan = Plan(
        group=group,
        duration=_seconds("--for", for_) if for_ is not None else None,
        outage=_seconds("--cloud-outage", cloud_outage) if cloud_outage is not None else 0.0,
        kill=kill_core,
        seed=seed,
    )
    if plan.duration is not None and plan.outage >= plan.duration:
        raise typer.BadParameter("--cloud-outage must be shorter than --for")
    with _root(folder) as root:
        try:
            tallies = asyncio.run(_run(plan, root, quiet=json))
        except asyncio.CancelledError:
            raise typer.Exit(exit_codes.INTERRUPTED) from None
    if json:
        emit_json(tallies.as_json())
    else:
        _show(tallies)
    if tallies.reasons():
        raise typer.Exit(exit_codes.FAILED)


def _seconds(option: str, text: str) -> float:
    from edgecore.deployments.quantities import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


@contextlib.contextmanager
def _root(folder: Path | None) -> Iterator[Path]:
    """Where everything is kept: the folder given, or one that goes away at the end."""
    if folder is not None:
        yield folder
        return
    made = Path(tempfile.mkdtemp(prefix="edgecore-demo-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


async def _run(plan: Plan, root: Path, *, quiet: bool) -> Tallies:
    from edgecore.base.clock import SystemClock
    from edgecore.sim.junction import Junction

    live = not quiet and sys.stderr.isatty()
    junction = Junction(plan, root, SystemClock(), (lambda _line: None) if live else say)
    show = _show_live(junction) if live else _show_lines(junction)
    async with _interruptible(junction) as stop:
        showing = asyncio.create_task(show)
        try:
            return await junction.run(stop)
        except (EdgecoreError, TimeoutError, ExceptionGroup) as error:
            raise _plain(error) from error
        finally:
            showing.cancel()
            await asyncio.wait([showing])


@contextlib.asynccontextmanager
async def _interruptible(junction: Junction) -> AsyncIterator[asyncio.Event]:
    """The event that ends the run in order: Ctrl-C sets it. Again, or while starting, ends all at once."""
    loop, task, stop = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    if task is None:
        raise AssertionError("not in a task")

    def interrupt() -> None:
        if stop.is_set() or not junction.started:
            task.cancel()
        stop.set()

    loop.add_signal_handler(signal.SIGINT, interrupt)
    for end in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(end, task.cancel)
    try:
        yield stop
    finally:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(each)


def _plain(error: BaseException) -> BaseException:
    """What went wrong first, as one error of edgecore where it is one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, TimeoutError):
        return EdgecoreError(str(error) or "something did not happen in time")
    return error


async def _show_live(junction: Junction) -> None:
    """The summary in a terminal, on standard error, until cancelled."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from edgecore.sim.summary import render

    screen = Console(stderr=True)
    with Live(console=screen, auto_refresh=False) as shown:
        while True:
            now = junction.snapshot()
            starting = Text("\n".join(junction.notes), "dim")
            shown.update(starting if now is None else render(now, screen.width), refresh=True)
            await asyncio.sleep(_REFRESH)


async def _show_lines(junction: Junction) -> None:
    """A line now and then on standard error, until cancelled."""
    from edgecore.sim.summary import line

    while True:
        await asyncio.sleep(_LINE)
        if (now := junction.snapshot()) is not None:
            say(line(now))


def _show(tallies: Tallies) -> None:
    from edgecore.sim.summary import verdict

    console().print(verdict(tallies))
