"""The commands of `edgecore sim cloud` that talk to a cloud that runs: faults, backup, jobs, policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from edgecore.base.errors import ConfigError, UnavailableError
from edgecore.cli.control import Control, NotRunningError
from edgecore.cli.output import emit_json

_Folder = Annotated[Path | None, typer.Option("--dir", metavar="C", help="The folder of the cloud.")]

FAULT_HELP: Final = """Break the cloud on purpose: a fault goes on, and `off` takes it off again.

[bold]cut[/bold]: every connection is reset, and every new one.
[bold]half-open[/bold]: connections are accepted and nothing is answered.
[bold]slow[/bold] SECONDS: every byte takes so much longer, each way.
[bold]lossy[/bold] SHARE: so many of the messages are lost, each way (0 to 1).
[bold]throttle[/bold] RATE: so many publishes a second, and HTTPS requests.
[bold]http[/bold] STATUS: what HTTPS requests are answered with (503).
[bold]skew[/bold] SECONDS: how far the cloud's clock is off.
[bold]deny[/bold] ACTION=RESOURCE: what policies deny to all.
[bold]hang-up[/bold]: a denied PUBLISH ends the connection in MQTT 5 too.
[bold]off[/bold] NAME: no longer that fault; without NAME no fault at all.

[bold]Example:[/bold] edgecore sim cloud fault slow 0.5 --dir cloud
[bold]Example:[/bold] edgecore sim cloud fault deny iot:Publish=topic/dt/* --dir cloud
[bold]Example:[/bold] edgecore sim cloud fault off --dir cloud
"""


def add_commands(app: typer.Typer) -> None:
    """Put the commands under `edgecore sim cloud`."""
    app.command("status", help=_help("Show what the cloud does and which faults are on.", "status"))(_status)
    app.command("fault", help=FAULT_HELP)(_fault)
    app.command("backup", help=_help("Keep the shadows as they are now.", "backup"))(_backup)
    app.command("restore", help=_help("Put back the shadows of the backup, versions too.", "restore"))(
        _restore
    )
    app.command("policies", help=_help("Read C/policies and C/things.json again.", "policies"))(_policies)
    job = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Create, show and cancel jobs.")
    example = """job create one gate,lamp --document '{"operation":"reboot"}'"""
    job.command("create", help=_help("Create a job for things.", example))(_create)
    job.command("show", help=_help("Show a job and its executions.", "job show one"))(_show)
    job.command("cancel", help=_help("Cancel a job.", "job cancel one --force"))(_cancel)
    app.add_typer(job, name="job")


def _help(text: str, example: str) -> str:
    return f"{text}\n\n[bold]Example:[/bold] edgecore sim cloud {example} --dir cloud"


def _status(context: typer.Context, folder: _Folder = None) -> None:
    _emit(context, folder, "/status", None)


def _fault(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which fault, or off.")],
    value: Annotated[str | None, typer.Argument(metavar="[VALUE]", help="How much of it.")] = None,
    folder: _Folder = None,
) -> None:
    if name == "off":
        _emit(context, folder, f"/faults/{quote(value, '')}/off" if value else "/faults/off", {})
    else:
        _emit(context, folder, f"/faults/{quote(name, '')}", {} if value is None else {"value": value})


def _backup(context: typer.Context, folder: _Folder = None) -> None:
    _emit(context, folder, "/backup", {})


def _restore(context: typer.Context, folder: _Folder = None) -> None:
    _emit(context, folder, "/restore", {})


def _policies(context: typer.Context, folder: _Folder = None) -> None:
    _emit(context, folder, "/account", {})


def _create(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="ID", help="The id of the new job.")],
    things: Annotated[str, typer.Argument(metavar="A,B", help="The things that are to do it.")],
    document: Annotated[str, typer.Option("--document", metavar="JSON", help="The job document.")] = "{}",
    timeout: Annotated[
        int | None, typer.Option("--timeout", metavar="S", help="Seconds that it may be in progress.")
    ] = None,
    folder: _Folder = None,
) -> None:
    try:
        parsed: Any = json.loads(document)
    except ValueError as error:
        raise ConfigError("--document", "", f"no JSON ({error})", "a JSON object") from error
    names = [each.strip() for each in things.split(",") if each.strip()]
    body = {"document": parsed, "things": names, "timeout": timeout}
    _emit(context, folder, f"/jobs/{quote(job, '')}", body)


def _show(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="ID", help="The job.")],
    folder: _Folder = None,
) -> None:
    _emit(context, folder, f"/jobs/{quote(job, '')}", None)


def _cancel(
    context: typer.Context,
    job: Annotated[str, typer.Argument(metavar="ID", help="The job.")],
    force: Annotated[bool, typer.Option("--force", help="What is in progress too.")] = False,
    folder: _Folder = None,
) -> None:
    _emit(context, folder, f"/jobs/{quote(job, '')}/cancel", {"force": force})


def _emit(context: typer.Context, folder: Path | None, path: str, body: Mapping[str, object] | None) -> None:
    """Ask the cloud and print its answer. `body` None asks, else it is posted."""
    where = folder or context.find_object(Path)
    if where is None:
        raise typer.BadParameter("say which cloud: the folder it was started with", param_hint="--dir")
    control = Control(where / "control.sock")
    try:
        emit_json(control.get(path) if body is None else control.post(path, body))
    except NotRunningError as error:
        raise UnavailableError(
            f"no simulated cloud runs in {where}: start it with `edgecore sim cloud --dir {where}`"
        ) from error
