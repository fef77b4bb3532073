"""`edgecore device password`: what a device that cannot hold a certificate comes with.

A password is read from a terminal or from standard input, never from the command line, which every user of
the machine can read and the shell keeps.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import typer

from edgecore.base.errors import ConfigError, PasswordError, StoreError
from edgecore.base.identity import is_name
from edgecore.cli.control import Control, NotRunningError
from edgecore.cli.options import Dir, Json, paths_of
from edgecore.cli.output import emit, emit_json, say

if TYPE_CHECKING:
    from edgecore.base.interfaces import DevicePasswords
    from edgecore.config.paths import Paths

Answer = dict[str, object]

# Bytes of randomness in a generated password: 144 bits, 24 characters that any keyboard has.
_RANDOM_BYTES: Final = 18
# More than a password may have (listener/passwords.py), so that a longer one is refused and not cut.
_MAX_LINE: Final = 4096
# Another verb may hold the store for a moment, or a core may be starting: it is asked next.
_PATIENCE: Final = 10.0
_LOOK_AGAIN: Final = 0.05


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
    async def directly(passwords: DevicePasswords) -> Answer:
        await passwords.set(name, chosen.encode())
        return {}

    path, body = f"/passwords/{quote(name, safe='')}", {"password": chosen}
    _ask(folder, lambda control: control.post(path, body), directly)


def _remove(name: str, folder: Path | None, *, json: bool) -> None:
    async def directly(passwords: DevicePasswords) -> Answer:
        return {"name": name, "removed": await passwords.remove(name)}

    answer = _ask(folder, lambda control: control.post(f"/passwords/{quote(name, safe='')}/remove"), directly)
    if json:
        emit_json(answer)
    elif answer["removed"]:
        say(f"device {name} has no password any more")
    else:
        say(f"device {name} had no password")


def _list(folder: Path | None, *, json: bool) -> None:
    async def directly(passwords: DevicePasswords) -> Answer:
        return {"devices": list(passwords.names())}

    answer = _ask(folder, lambda control: control.get("/passwords"), directly)
    names = answer["devices"]
    if json:
        emit_json(answer)
    elif isinstance(names, list) and names:
        emit("\n".join(names))
    else:
        say("no device has a password: `edgecore device password NAME` gives it one")


def _ask(
    folder: Path | None,
    running: Callable[[Control], Answer],
    directly: Callable[[DevicePasswords], Coroutine[Any, Any, Answer]],
) -> Answer:
    """Ask the core that runs; while none does, do it here, with the store's lock held."""
    from edgecore.store import StoreLock

    paths = paths_of(folder)
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return running(Control(paths.control))
        except NotRunningError:
            if not paths.config.exists():
                raise ConfigError(
                    str(paths.config), "", "no file", "a core's settings", "Make them with `edgecore init`."
                ) from None
        paths.state.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(StoreLock(paths.lock))
            except StoreError:
                if time.monotonic() > until:
                    raise
            else:
                return asyncio.run(_with_passwords(paths, directly))
        time.sleep(_LOOK_AGAIN)


async def _with_passwords(
    paths: Paths, act: Callable[[DevicePasswords], Coroutine[Any, Any, Answer]]
) -> Answer:
    from edgecore.base.clock import SystemClock
    from edgecore.listener.books import open_books
    from edgecore.listener.pki import CertificateAuthority
    from edgecore.store import Dictionary

    authority = CertificateAuthority.load_or_create(paths.pki)
    with (
        contextlib.closing(Dictionary.open(paths.registry)) as certificates,
        contextlib.closing(Dictionary.open(paths.passwords)) as passwords,
    ):
        return await act(open_books(certificates, passwords, authority, SystemClock()).passwords)
