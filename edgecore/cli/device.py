"""`edgecore device`: who may connect. Asks the running core, or opens the registry itself while none runs."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeVar
from urllib.parse import quote

import typer

from edgecore.base.errors import ConfigError, EdgecoreError, StoreError
from edgecore.base.identity import is_name
from edgecore.cli.control import Control, NotRunningError
from edgecore.cli.options import Dir, Json, paths_of
from edgecore.cli.output import console, emit_json, say

if TYPE_CHECKING:
    from edgecore.base.interfaces import DeviceRecord, Devices
    from edgecore.config.paths import Paths

T = TypeVar("T")
Answer = dict[str, object]

# Another `edgecore device` may hold the store for a moment, or a core may be starting: it is asked next.
_PATIENCE: Final = 10.0
_LOOK_AGAIN: Final = 0.05

device = typer.Typer(
    no_args_is_help=True, rich_markup_mode="rich", help="Add, list and revoke client devices."
)

Name = Annotated[str, typer.Argument(help="1 to 128 of a-z A-Z 0-9 : _ -")]


@device.command("add")
def add(
    name: Name,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = Path(),
    csr: Annotated[
        Path | None,
        typer.Option("--csr", metavar="F", help="A signing request (PEM): the device keeps its own key."),
    ] = None,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Issue a certificate for a device: NAME.cert.pem, NAME.key.pem and ca.pem in --out.

    The device may connect as soon as the group that runs names it, too.

    [bold]Example:[/bold] edgecore device add loop-north --dir core --out certs/
    """
    if not is_name(name):
        raise typer.BadParameter(f"{name!r}: expected 1 to 128 of the characters a-z A-Z 0-9 : _ -")
    request = _read(csr) if csr is not None else ""
    files = {part: out / f"{name}.{part}.pem" for part in ("cert", "key")}
    for path in (files["cert"], *([] if csr else [files["key"]])):
        if path.exists():
            text = "Remove it, or choose another --out; a device may hold several certificates."
            raise ConfigError(str(path), "", "a file", "none, so that nothing is lost", text)
    issued = _ask(
        folder,
        lambda control: control.post("/devices", {"name": name, "csr": request}),
        lambda devices: _add_directly(devices, name, request),
    )
    out.mkdir(parents=True, exist_ok=True)
    written = {"certificate": files["cert"], "ca": out / "ca.pem"}
    if issued["key"]:
        written["key"] = files["key"]
    for part, path in written.items():
        _write(path, str(issued[part]), 0o600 if part == "key" else 0o644)
    if json:
        emit_json({"name": name, **{part: str(path) for part, path in written.items()}})
    else:
        say(f"device {name}: " + ", ".join(str(path) for path in written.values()))


@device.command("list")
def list_devices(json: Json = False, folder: Dir = None) -> None:
    """List the devices of the registry.

    [bold]Example:[/bold] edgecore device list --dir core
    """
    answer = _ask(folder, lambda control: control.get("/devices"), _list_directly)
    if json:
        emit_json(answer)
        return
    records = answer["devices"]
    if not isinstance(records, list) or not records:
        say("no devices yet: add one with `edgecore device add NAME`")
        return
    _table(records)


@device.command("revoke")
def revoke(name: Name, json: Json = False, folder: Dir = None) -> None:
    """Revoke every certificate of a device, and close its sessions now.

    [bold]Example:[/bold] edgecore device revoke loop-north --dir core
    """
    answer = _ask(
        folder,
        lambda control: control.post(f"/devices/{quote(name, safe='')}/revoke"),
        lambda devices: _revoke_directly(devices, name),
    )
    if json:
        emit_json(answer)
    else:
        say(f"device {name} is revoked: it can no longer connect")


def _ask(
    folder: Path | None,
    running: Callable[[Control], Answer],
    direct: Callable[[Devices], Awaitable[Answer]],
) -> Answer:
    """Ask the core that runs; while none does, do it here, with the store's lock held."""
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
        try:
            return _directly(paths, direct)
        except _HeldError:
            if time.monotonic() > until:
                raise
        time.sleep(_LOOK_AGAIN)


class _HeldError(StoreError):
    """The store is held by another process, for now."""


def _directly(paths: Paths, act: Callable[[Devices], Awaitable[T]]) -> T:
    from edgecore.store import StoreLock

    paths.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = StoreLock(paths.lock)
    try:
        lock.__enter__()
    except StoreError as error:
        raise _HeldError(str(error)) from error
    try:
        return asyncio.run(_with_registry(paths, act))
    finally:
        lock.__exit__(None, None, None)


async def _with_registry(paths: Paths, act: Callable[[Devices], Awaitable[T]]) -> T:
    from edgecore.base.clock import SystemClock
    from edgecore.listener.pki import CertificateAuthority
    from edgecore.listener.registry import Registry
    from edgecore.store import Dictionary

    dictionary = Dictionary.open(paths.registry)
    try:
        return await act(Registry(dictionary, CertificateAuthority.load_or_create(paths.pki), SystemClock()))
    finally:
        dictionary.close()


async def _add_directly(devices: Devices, name: str, csr: str) -> Answer:
    issued = await devices.add(name, csr.encode())
    certificate, key, ca = issued.certificate.decode(), issued.key.decode(), issued.ca.decode()
    return {"name": name, "certificate": certificate, "key": key, "ca": ca}


async def _list_directly(devices: Devices) -> Answer:
    return {"devices": [_plain(record) for record in devices.records()]}


async def _revoke_directly(devices: Devices, name: str) -> Answer:
    return _plain(await devices.revoke(name))


def _plain(record: DeviceRecord) -> Answer:
    """As the control API puts a device."""
    return {
        "name": record.name,
        "fingerprints": list(record.fingerprints),
        "revoked": list(record.revoked),
        "added_at": record.added_at,
    }


def _table(records: list[Answer]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("device", "certificates", "revoked", "added"):
        table.add_column(heading)
    for record in records:
        held, revoked = record["fingerprints"], record["revoked"]
        added = datetime.fromtimestamp(float(str(record["added_at"])), UTC).strftime("%Y-%m-%d %H:%M UTC")
        table.add_row(str(record["name"]), _count(held), _count(revoked), added)
    console().print(table)


def _count(fingerprints: object) -> str:
    return str(len(fingerprints)) if isinstance(fingerprints, list) else "?"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", str(error), "a signing request in PEM") from error


def _write(path: Path, text: str, mode: int) -> None:
    """Write so that nobody sees half a file, nor, for an instant, a key that all may read."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise EdgecoreError(
            f"{path}: cannot be written: {error.strerror}\n"
            "the certificate was issued; revoke it or add again with another --out"
        ) from error
