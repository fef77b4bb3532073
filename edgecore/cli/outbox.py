"""`edgecore outbox`: the messages that the cloud will never take, which were set aside on disk."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import typer

from edgecore.cli import exit_codes
from edgecore.cli.control import Control
from edgecore.cli.options import Dir, Json, paths_of
from edgecore.cli.outbox_words import as_object, details, print_list
from edgecore.cli.output import emit, emit_json, say

outbox = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Look at messages that the cloud will never take; send them again, or drop them.",
)

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Their ids, as `edgecore outbox list` shows them."),
]
All = Annotated[bool, typer.Option("--all", help="All that are set aside now.")]


@outbox.command("list")
def list_messages(
    after: Annotated[str, typer.Option("--after", metavar="ID", help="Go on behind this one.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 100,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """List the messages that were set aside, the oldest first: topic, size, when, and why.

    [bold]Example:[/bold] edgecore outbox list --dir core
    """
    query = urlencode({"after": after, "limit": limit})
    answer: dict[str, Any] = Control(paths_of(folder).control).get(f"/outbox/aside?{query}")
    if json:
        emit_json(answer)
    else:
        print_list(answer["messages"])
    if answer["next"] is not None:
        say(f"there are more: edgecore outbox list --after {answer['next']}")


@outbox.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `edgecore outbox list` shows it.")],
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Show one of them: its payload on standard output, all else beside it.

    With --json a payload that is not text is base64, in [italic]payload_base64[/italic].

    [bold]Example:[/bold] edgecore outbox show 3-17 --dir core
    """
    answer: dict[str, Any] = Control(paths_of(folder).control).get(f"/outbox/aside/{quote(name, safe='')}")
    found = as_object(answer, base64.b64decode(answer["payload"]))
    if json:
        emit_json(found)
        return
    say("\n".join(details(found)))
    if "payload" in found:
        emit(found["payload"])
    else:
        say(f"the payload is no text: {found['bytes']} bytes; --json has them as base64")


@outbox.command("retry")
def retry(names: Ids = None, everything: All = False, json: Json = False, folder: Dir = None) -> None:
    """Put messages into the outbox again, as if they came now.

    What the cloud refuses again is set aside again.

    Ends with 1 when one of them could not go, and says why.

    [bold]Example:[/bold] edgecore outbox retry 3-17 3-18 --dir core
    [bold]Example:[/bold] edgecore outbox retry --all --dir core
    """
    _command("retry", names, folder, everything=everything, json=json)


@outbox.command("drop")
def drop(names: Ids = None, everything: All = False, json: Json = False, folder: Dir = None) -> None:
    """Give messages up: they are deleted.

    [bold]Example:[/bold] edgecore outbox drop 3-17 --dir core
    """
    _command("drop", names, folder, everything=everything, json=json)


# What was done, in the words of a result.
_DONE = {"retry": "in the outbox again", "drop": "dropped"}


def _command(
    what: str, names: list[str] | None, folder: Path | None, *, everything: bool, json: bool
) -> None:
    if bool(names) == everything:
        raise typer.BadParameter("name messages by their ids, as `edgecore outbox list` shows them, or --all")
    body = {"all": True} if everything else {"ids": names}
    answer: dict[str, Any] = Control(paths_of(folder).control).post(f"/outbox/aside/{what}", body)
    done, left = answer["done"], answer["left"]
    if json:
        emit_json(answer)
    else:
        say(f"{done} {'message' if done == 1 else 'messages'} {_DONE[what]}")
        for name, why in left.items():
            say(f"{name} is left: {why}")
    if left:
        raise typer.Exit(exit_codes.FAILED)
