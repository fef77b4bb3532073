"""`edgecore device`: who may connect, with which certificate, signed by which authority."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from edgecore.base.identity import is_name
from edgecore.cli.device_access import Answer, ask
from edgecore.cli.device_files import new_files, read_pem, write_pem
from edgecore.cli.device_password import password
from edgecore.cli.device_words import print_device, print_list, progress
from edgecore.cli.options import Dir, Json
from edgecore.cli.output import emit_json, say

device = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Add, show, renew and revoke client devices and their certificates.",
)

device.command("password")(password)

Name = Annotated[str, typer.Argument(help="1 to 128 of a-z A-Z 0-9 : _ -")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")]
Csr = Annotated[
    Path | None,
    typer.Option("--csr", metavar="F", help="A signing request (PEM): the device keeps its own key."),
]
Existing = Annotated[
    Path | None,
    typer.Option(
        "--certificate",
        metavar="F",
        help="A certificate (PEM) that the device has already, as one of AWS IoT: it is registered, and "
        "trusted by itself; no other of its issuer is.",
    ),
]
Days = Annotated[
    int | None,
    typer.Option("--days", metavar="N", min=1, help="Let it end after so many days; else never."),
]


@device.command("add")
def add(
    name: Name,
    out: Out = Path(),
    csr: Csr = None,
    certificate: Existing = None,
    days: Days = None,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Let a device in, by whichever certificate: a new one, one for its own key, or one that it has.

    Writes NAME.cert.pem, NAME.key.pem and ca.pem to --out; with --csr no key, with --certificate only
    ca.pem, for the device has the rest. It may connect as soon as the group that runs names it, too.

    [bold]Example:[/bold] edgecore device add loop-north --dir core --out certs/
    [bold]Example:[/bold] edgecore device add loop-south --dir core --certificate aws/loop-south.cert.pem
    """
    if not is_name(name):
        raise typer.BadParameter(f"{name!r}: expected 1 to 128 of the characters a-z A-Z 0-9 : _ -")
    asked = {"name": name, **_asked(csr, certificate, days)}
    own = _own_files(out, name, asked)
    issued = ask(
        folder,
        lambda control: control.post("/devices", asked),
        lambda answers: answers.add(asked),
    )
    _hand_out(issued, own, out, json=json)


@device.command("renew")
def renew(
    name: Name,
    out: Out = Path(),
    csr: Csr = None,
    certificate: Existing = None,
    days: Days = None,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Give a device another certificate. It stays the same device: its sessions and routes are unchanged.

    The certificates that it has stay good until they are revoked: `device show`, then `device revoke
    --certificate`. --certificate with one that is registered already writes today's ca.pem.

    [bold]Example:[/bold] edgecore device renew loop-north --dir core --out renewed/
    """
    asked = _asked(csr, certificate, days)
    own = _own_files(out, name, asked)
    issued = ask(
        folder,
        lambda control: control.post(f"/devices/{quote(name, safe='')}/renew", asked),
        lambda answers: answers.renew(name, asked),
    )
    _hand_out(issued, own, out, json=json)
    if not json:
        say(f"the certificates that it had stay good: edgecore device show {name}")


@device.command("list")
def list_devices(json: Json = False, folder: Dir = None) -> None:
    """List the devices of the registry, and how far a change of the authority is.

    [bold]Example:[/bold] edgecore device list --dir core
    """
    answer = ask(folder, lambda control: control.get("/devices"), lambda answers: answers.all())
    if json:
        emit_json(answer)
    else:
        print_list(answer)


@device.command("show")
def show(name: Name, json: Json = False, folder: Dir = None) -> None:
    """Show each certificate of a device: fingerprint, serial, issuer, validity, when added, whether revoked.

    [bold]Example:[/bold] edgecore device show loop-north --dir core
    """
    answer = ask(
        folder,
        lambda control: control.get(f"/devices/{quote(name, safe='')}"),
        lambda answers: answers.one(name),
    )
    if json:
        emit_json(answer)
    else:
        print_device(answer, time.time())


@device.command("revoke")
def revoke(
    name: Name,
    certificate: Annotated[
        str | None,
        typer.Option(
            "--certificate",
            metavar="FINGERPRINT",
            help="Only this one: the first digits of its fingerprint do. Without it: all of them.",
        ),
    ] = None,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Revoke every certificate of a device, or one of them, and close its sessions now.

    A certificate that was revoked stays so; `device add` lets the device in again with another.

    [bold]Example:[/bold] edgecore device revoke loop-north --dir core
    [bold]Example:[/bold] edgecore device revoke loop-north --dir core --certificate 3fa92b
    """
    asked: Answer = {"certificate": certificate}
    answer = ask(
        folder,
        lambda control: control.post(f"/devices/{quote(name, safe='')}/revoke", asked),
        lambda answers: answers.revoke(name, asked),
    )
    left = answer["fingerprints"]
    if json:
        emit_json(answer)
    elif not left:
        say(f"device {name} is revoked: it can no longer connect")
    else:
        others = len(left) if isinstance(left, list) else 0
        say(f"that certificate of device {name} is revoked; {others} of its certificates are good")


@device.command("rotate-ca")
def rotate_ca(
    finish: Annotated[
        bool, typer.Option("--finish", help="End the old authority: what it signed is refused from now on.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --finish: even if devices hold nothing of the new one.")
    ] = False,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """Change the core's own certificate authority, without locking a device out.

    A new authority signs devices from now on, and both are trusted. Renew each device: it gets a
    certificate of the new one, and a ca.pem with both. Then --finish: the server changes to the new one.

    [bold]Example:[/bold] edgecore device rotate-ca --dir core
    [bold]Example:[/bold] edgecore device rotate-ca --dir core --finish
    """
    if force and not finish:
        raise typer.BadParameter("--force goes with --finish")
    if not finish:
        answer = ask(
            folder,
            lambda control: control.post("/authority/rotate"),
            lambda answers: answers.rotate(),
        )
    else:
        asked: Answer = {"force": force}
        answer = ask(
            folder,
            lambda control: control.post("/authority/finish", asked),
            lambda answers: answers.finish_rotation(asked),
        )
    if json:
        emit_json(answer)
    elif not finish:
        say(f"a new authority signs devices from now on: {progress(answer)}")
    else:
        say("the old authority has ended: only devices with something of the new one can connect")


def _asked(csr: Path | None, existing: Path | None, days: int | None) -> Answer:
    """How the device is to come by its certificate, as the control API takes it."""
    if existing is not None and (csr is not None or days is not None):
        raise typer.BadParameter("--certificate goes with neither --csr nor --days: it is as it is")
    return {
        "csr": read_pem(csr, "a signing request") if csr is not None else "",
        "certificate": read_pem(existing, "a certificate") if existing is not None else "",
        "days": days or 0,
    }


def _own_files(out: Path, name: str, asked: Answer) -> dict[str, Path]:
    """Where that goes which the device does not have yet: its certificate, its key."""
    if asked["certificate"]:
        return {}
    return new_files(out, name, *(("cert",) if asked["csr"] else ("cert", "key")))


def _hand_out(issued: Answer, own: dict[str, Path], out: Path, *, json: bool) -> None:
    """Write what the device must hold, and say where."""
    written = {"ca": out / "ca.pem"}
    if "cert" in own:
        written["certificate"] = own["cert"]
    if "key" in own:
        written["key"] = own["key"]
    write_pem({file: str(issued[part]) for part, file in written.items()}, written.get("key"))
    places = {part: str(file) for part, file in written.items()}
    if json:
        emit_json({"name": issued["name"], "fingerprint": issued["fingerprint"], **places})
    else:
        say(f"device {issued['name']}: {', '.join(places.values())}")
