"""`edgecore run`: the core itself, in the foreground, as systemd starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgecore.cli.options import Dir


def run(
    folder: Dir = None,
    group: Annotated[
        Path | None,
        typer.Option("--group", metavar="F", help="Deploy the group in this folder first, if it changed."),
    ] = None,
    mqtt_port: Annotated[
        int | None,
        typer.Option(
            "--mqtt-port",
            metavar="P",
            min=0,
            max=65_535,
            help="0 takes any free port, as other listeners on standard ports then do: see D/run/ports.json.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take --group although an operator's deployment is active.")
    ] = False,
) -> None:
    """Run the core until SIGTERM or Ctrl-C; a second one ends it at once. The log goes to standard error.

    Ends with 0 when it was told to stop, 70 when a part that it cannot live without broke, 75 when
    another core holds the folder, 78 when a file is wrong. The process becomes that of the daemon.

    [bold]Example:[/bold] edgecore run --dir core --group deploy/sensor-gateway
    """
    argv = [sys.executable, "-P", "-m", "edgecore.daemon"]
    for option, value in (("--dir", folder), ("--group", group), ("--mqtt-port", mqtt_port)):
        if value is not None:
            argv += [option, str(value)]
    # The same process, for systemd and for signals; without what only the command line needs.
    os.execv(sys.executable, [*argv, *(["--force"] if force else [])])  # noqa: S606  our own interpreter
