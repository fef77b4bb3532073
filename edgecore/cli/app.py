"""`edgecore`: the list of verbs, each loaded only when it is used, and one place for errors.

A verb is a file of this package with a function of its name (or a typer app, where it has verbs of
its own). `--help` and completion of the verbs' names load none of them.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from edgecore import __version__
from edgecore.base.errors import ConfigError, EdgecoreError, NotAuthorizedError, UnavailableError
from edgecore.cli import exit_codes
from edgecore.cli.output import emit, say

if TYPE_CHECKING:
    from collections.abc import Sequence

# The verbs in the order of `--help`: name -> the words beside it. The file is cli/NAME.py.
VERBS: Final = {
    "demo": "Run a whole traffic junction on this machine: cloud, core, devices, camera.",
    "init": "Make a core's folder: its authority, server certificate and edgecore.toml.",
    "run": "Run the core until it is told to stop.",
    "status": "Show what every part of a running core is doing.",
    "device": "Add, show, renew and revoke client devices and their certificates.",
    "pub": "Publish a message, as the operator or as a device.",
    "sub": "Watch messages, as the operator or as a device.",
    "shadow": "Read, change and watch device shadows.",
    "outbox": "Look at messages that the cloud will never take; send them again, or drop them.",
    "sim": "Run simulated neighbours: a cloud to develop against.",
}

# The first class that an error is an instance of decides the exit code.
_CODES: Final[tuple[tuple[type[EdgecoreError], int], ...]] = (
    (ConfigError, exit_codes.CONFIG),
    (NotAuthorizedError, exit_codes.NOT_PERMITTED),
    (UnavailableError, exit_codes.UNAVAILABLE),
)


def load_verb(name: str) -> Any:  # noqa: ANN401  a command of typer's, whose class is not public
    """The command behind a verb; imports its file."""
    found = getattr(importlib.import_module(f"edgecore.cli.{name}"), name)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
        alone.command(name)(found)
        found = alone
    command = get_command(found)
    command.name = name
    return command


class Verbs(TyperGroup):
    """The group of verbs. Holds a name and a line for each; the command is loaded to be run."""

    def __init__(self, **attrs: Any) -> None:  # noqa: ANN401  typer's own arguments, passed on
        super().__init__(**attrs)
        self.commands = {name: TyperCommand(name, help=words) for name, words in VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401  see load_verb
        """The command that `args` names. typer suggests a name for a misspelt one."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load_verb(name) if name and command else command, rest


def _print_version(wanted: bool) -> None:
    if wanted:
        emit(f"edgecore {__version__}")
        raise typer.Exit


app = typer.Typer(cls=Verbs, no_args_is_help=True, rich_markup_mode="rich", epilog=exit_codes.EPILOG)


@app.callback(epilog=exit_codes.EPILOG)
def _edgecore(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A Greengrass-style core: routes messages, runs functions, keeps shadows, sees, and syncs to the cloud.

    Try it now, without hardware or account: [bold]edgecore demo[/bold]
    """


def exit_code_for(error: EdgecoreError) -> int:
    """The exit code that an error ends with."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), exit_codes.FAILED)


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point. What edgecore raises on purpose is put in words; anything else is a fault."""
    try:
        app(arguments, prog_name="edgecore")
    except EdgecoreError as error:
        say(f"edgecore: {error}")
        sys.exit(exit_code_for(error))
