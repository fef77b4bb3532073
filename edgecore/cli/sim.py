"""`edgecore sim`: simulated neighbours to develop and test against."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from edgecore.cli.output import say

sim = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Run simulated neighbours: a cloud to develop against.",
)


@sim.callback()
def _sim() -> None:
    """Run simulated neighbours: a cloud to develop against."""


@sim.command("cloud")
def cloud(
    folder: Annotated[
        Path, typer.Option("--dir", metavar="C", help="Where its certificates and shadows are kept.")
    ],
    port: Annotated[int, typer.Option("--port", metavar="P", min=0, help="0 takes any free port.")] = 0,
    host: Annotated[str, typer.Option("--host", metavar="H", help="The address to listen on.")] = "127.0.0.1",
    things: Annotated[
        str, typer.Option("--things", metavar="A,B", help="Things to make certificates for.")
    ] = "",
) -> None:
    """Run a simulated AWS IoT Core: MQTT over mutual TLS, and device shadows. Until Ctrl-C.

    C/cloud.json says host, port and pid once it listens; C/core.cert.pem and C/core.key.pem are for a core.

    [bold]Example:[/bold] edgecore sim cloud --dir cloud --port 9883 --things gate,lamp
    """
    names = tuple(each.strip() for each in things.split(",") if each.strip())
    asyncio.run(_serve(folder, port, host, names))


async def _serve(folder: Path, port: int, host: str, things: tuple[str, ...]) -> None:
    from edgecore.sim.cloud import describe, serve

    task = asyncio.current_task()
    assert task is not None, "asyncio.run runs tasks"
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serve(folder, port, host, things, ready=lambda: say(describe(folder)))
