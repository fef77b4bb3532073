"""`edgecore device password`: what a device that cannot hold a certificate comes with.

A password is read from a terminal or from standard input, never from the command line, which every user of
the machine can read and the shell keeps.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import typer

from edgecore.base.errors import PasswordError
from edgecore.base.identity import is_name
from edgecore.cli.device_access import Answer, ask_books
from edgecore.cli.options import Dir, Json
from edgecore.cli.output import emit, emit_json, say

if TYPE_CHECKING:
    from edgecore.listener.books import Books

# Bytes of randomness in a generated password: 144 bits, 24 characters that any keyboard has.
_RANDOM_BYTES: Final = 18
# More than a password may have (listener/passwords.py), so that a longer one is refused and not cut.
_MAX_LINE: Final = 4096


def password(
    name: Annotated[str, typer.Argument(help="The device: also its user name.", show_default=False)] = "",
    stdin: Annotated[bool, typer.Option("--stdin", help="Read it from standard input, one line.")] = False,
    generate: Annotated[
        bool, typer.Option("--generate", help="Make one that nobody can guess, and print it once.")
    ] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take it away; its sessions end now.")] = False,
    show: Annotated[bool, typer.Option("--list", help="List the devices that have one.")] = False,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Give a device a password, for the port that `passwords = true` in edgecore.toml opens.

    A certificate is better, for a device that can hold one: `edgecore device add`. The device may connect
    as soon as the group that runs names it, too.

    [bold]Example:[/bold] edgecore device password loop-north --generate --dir core
    """
    if (stdin + generate + remove + show) > 1:
        raise typer.BadParameter("one of --stdin, --generate, --remove and --list at a time")
    if show:
        _list(folder, json=json)
        return
    if not is_name(name):
        raise typer.BadParameter(f"device {name!r}: expected 1 to 128 of the characters a-z A-Z 0-9 : _ -")
    if remove:
        _remove(name, folder, json=json)
        return
    chosen = secrets.token_urlsafe(_RANDOM_BYTES) if generate else _read(stdin=stdin)
    _set(name, chosen, folder)
    said = {"name": name, "password": chosen} if generate else {"name": name}
    if json:
        emit_json(said)
    elif generate:
        emit(chosen)
    say(f"device {name} may come with this password, and with no other one")


def _read(*, stdin: bool) -> str:
    """One line of standard input, or what a person types twice, unseen."""
    if stdin:
        return _text(sys.stdin.buffer.readline(_MAX_LINE))
    if not sys.stdin.isatty():
        raise typer.BadParameter("standard input is no terminal: use --stdin or --generate")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _text(line: bytes) -> str:
    """A line without its end. Raises PasswordError."""
    try:
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except UnicodeDecodeError as error:
        raise PasswordError("found bytes that are no UTF-8 in the password, expected text") from error


def _set(name: str, chosen: str, folder: Path | None) -> None:
    async def directly(books: Books) -> Answer:
        await books.passwords.set(name, chosen.encode())
        return {}

    path, body = f"/passwords/{quote(name, safe='')}", {"password": chosen}
    ask_books(folder, lambda control: control.post(path, body), directly)


def _remove(name: str, folder: Path | None, *, json: bool) -> None:
    async def directly(books: Books) -> Answer:
        return {"name": name, "removed": await books.passwords.remove(name)}

    path = f"/passwords/{quote(name, safe='')}/remove"
    answer = ask_books(folder, lambda control: control.post(path), directly)
    if json:
        emit_json(answer)
    elif answer["removed"]:
        say(f"device {name} has no password any more")
    else:
        say(f"device {name} had no password")


def _list(folder: Path | None, *, json: bool) -> None:
    async def directly(books: Books) -> Answer:
        return {"devices": list(books.passwords.names())}

    answer = ask_books(folder, lambda control: control.get("/passwords"), directly)
    names = answer["devices"]
    if json:
        emit_json(answer)
    elif isinstance(names, list) and names:
        emit("\n".join(names))
    else:
        say("no device has a password: `edgecore device password NAME` gives it one")
