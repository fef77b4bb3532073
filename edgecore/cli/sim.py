"""`edgecore sim`: simulated neighbours to develop and test against."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer

from edgecore.cli.output import say
from edgecore.cli.sim_cloud import add_commands

sim = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Run simulated neighbours: a cloud to develop against.",
)


@sim.callback()
def _sim() -> None:
    """Run simulated neighbours: a cloud to develop against."""


_cloud = typer.Typer(invoke_without_command=True, rich_markup_mode="rich")
sim.add_typer(_cloud, name="cloud")
add_commands(_cloud)


@_cloud.callback()
def cloud(
    context: typer.Context,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="C", help="Where its certificates and shadows are kept.")
    ] = None,
    port: Annotated[int, typer.Option("--port", metavar="P", min=0, help="MQTT; 0 takes any free port.")] = 0,
    https_port: Annotated[
        int, typer.Option("--https-port", metavar="P", min=0, help="HTTPS: shadows, publish, credentials.")
    ] = 0,
    host: Annotated[str, typer.Option("--host", metavar="H", help="The address to listen on.")] = "127.0.0.1",
    things: Annotated[
        str, typer.Option("--things", metavar="A,B", help="Things to make certificates for.")
    ] = "",
    limits: Annotated[
        bool, typer.Option("--limits", help="AWS's rate limits: 100 publishes a second, and the rest.")
    ] = False,
    credential_seconds: Annotated[
        int, typer.Option("--credential-seconds", metavar="S", help="How long temporary credentials live.")
    ] = 3600,
) -> None:
    """Run a simulated AWS IoT Core until Ctrl-C: MQTT and HTTPS over mutual TLS, shadows, jobs, credentials.

    C/cloud.json says host, ports and pid once it listens; C/core.cert.pem and C/core.key.pem are for a core.
    C/policies/*.json and C/things.json restrict what certificates may do; without them everything is allowed.
    The commands below talk to a cloud that runs, to break it on purpose, for example.

    [bold]Example:[/bold] edgecore sim cloud --dir cloud --port 9883 --things gate,lamp
    [bold]Example:[/bold] edgecore sim cloud fault half-open --dir cloud
    """
    if context.invoked_subcommand is not None:
        context.obj = folder
        return
    if folder is None:
        raise typer.BadParameter("say where its certificates and shadows are kept", param_hint="--dir")
    names = tuple(each.strip() for each in things.split(",") if each.strip())
    asyncio.run(_serve(folder, port, host, names, https_port, limits, credential_seconds))


async def _serve(
    folder: Path,
    port: int,
    host: str,
    things: tuple[str, ...],
    https_port: int,
    limits: bool,
    credential_seconds: int,
) -> None:
    from edgecore.sim.cloud import AWS, NONE, describe, serve

    task = asyncio.current_task()
    assert task is not None, "asyncio.run runs tasks"
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await serve(
            folder,
            port,
            host,
            things,
            ready=lambda: say(describe(folder)),
            https_port=https_port,
            limits=AWS if limits else NONE,
            credential_seconds=credential_seconds,
        )
