"""`edgecore shadow`: read, change and watch device shadows, as the operator or as the device itself."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from edgecore.base.errors import ConfigError
from edgecore.base.identity import is_name
from edgecore.cli.control import Control
from edgecore.cli.options import (
    Ca,
    Cert,
    Dir,
    Host,
    Json,
    Key,
    Port,
    credentials_of,
    mqtt_port,
    paths_of,
)
from edgecore.cli.output import emit_json, say
from edgecore.cli.shadow_talk import DeviceLine, Document, Line, OperatorLine, ask
from edgecore.cli.shadow_talk import watch as watch_changes
from edgecore.cli.shadow_words import print_change, print_list
from edgecore.shadow.document import SECTIONS
from edgecore.shadow.topics import SHADOW_NAME, ShadowId

shadow = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    help="Read, change and watch device shadows, as the operator or as the device itself.",
)

Thing = Annotated[str, typer.Argument(help="The thing's name: a device's, unless its group says otherwise.")]
Name = Annotated[str, typer.Option("--name", metavar="N", help="A named shadow; without it the classic one.")]


@shadow.command("get")
def get(
    thing: Thing,
    name: Name = "",
    json: Json = False,
    folder: Dir = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    host: Host = "localhost",
    port: Port = None,
) -> None:
    """Print a shadow: desired, reported, and what differs (delta). With --json all of the document.

    [bold]Example:[/bold] edgecore shadow get loop-north --dir core
    [bold]Example:[/bold] edgecore shadow get loop-north --name config --cert certs/loop-north.cert.pem
    """
    asked = _shadow(thing, name)
    with _line(folder, cert, key, ca, host, port) as line:
        document = ask(line, asked, "get", {})
    _print(asked, document, document["state"], json=json)


@shadow.command("update")
def update(
    thing: Thing,
    state: Annotated[str | None, typer.Argument(help='As {"desired": {...}}; null removes a key.')] = None,
    name: Name = "",
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take the state from a file.")] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=0, help="Only if the shadow is at this version.")
    ] = None,
    json: Json = False,
    folder: Dir = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    host: Host = "localhost",
    port: Port = None,
) -> None:
    """Change a shadow: what is named is merged in, what is null is removed, the rest stays.

    Done when it is on disk. A whole request as AWS IoT takes it, with "state", may be given too.

    [bold]Example:[/bold] edgecore shadow update loop-north '{"desired": {"sensitivity": 7}}' --dir core
    [bold]Example:[/bold] edgecore shadow update loop-north --file state.json --version 8 --dir core
    """
    asked, body = _shadow(thing, name), _request(state, file)
    if version is not None:
        body["version"] = version
    with _line(folder, cert, key, ca, host, port) as line:
        document = ask(line, asked, "update", body)
    _print(asked, document, document["state"], json=json)


@shadow.command("delete")
def delete(
    thing: Thing,
    name: Name = "",
    json: Json = False,
    folder: Dir = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    host: Host = "localhost",
    port: Port = None,
) -> None:
    """Delete a shadow. Its version is remembered: one that is made again goes on counting.

    [bold]Example:[/bold] edgecore shadow delete loop-north --name config --dir core
    """
    asked = _shadow(thing, name)
    with _line(folder, cert, key, ca, host, port) as line:
        document = ask(line, asked, "delete", {})
    if json:
        emit_json(document)
    else:
        say(f"shadow {asked} is deleted; it was at version {document['version']}")


@shadow.command("list")
def list_shadows(
    thing: Annotated[str | None, typer.Argument(help="Only those of this thing.")] = None,
    json: Json = False,
    folder: Dir = None,
) -> None:
    """List the shadows of this core: version, size, and whether the cloud has the same.

    [bold]Example:[/bold] edgecore shadow list --dir core
    """
    answer: dict[str, Any] = Control(paths_of(folder).control).get("/shadows")
    shadows = [each for each in answer["shadows"] if thing in (None, each["thing"])]
    if json:
        emit_json({"shadows": shadows})
    else:
        print_list(shadows)


@shadow.command("watch")
def watch(
    thing: Annotated[str, typer.Argument(help="The thing's name; without it those of all things.")] = "+",
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="N", help='Only this named shadow, or "" for the classic one.'),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after so many changes.")
    ] = None,
    json: Json = False,
    folder: Dir = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    host: Host = "localhost",
    port: Port = None,
) -> None:
    """Watch shadows change until Ctrl-C: which value became what, and what the device has still to do.

    [bold]Example:[/bold] edgecore shadow watch loop-north --dir core
    """
    if thing != "+":
        _shadow(thing, name or "")
    with _line(folder, cert, key, ca, host, port) as line:
        for changed, documents in islice(watch_changes(line, thing, name), count):
            if json:
                emit_json(
                    {"thing": changed.thing, "name": changed.name, "documents": documents}, compact=True
                )
            else:
                print_change(changed, documents)


def _shadow(thing: str, name: str) -> ShadowId:
    if not is_name(thing):
        raise typer.BadParameter(f"{thing!r}: expected 1 to 128 of the characters a-z A-Z 0-9 : _ -")
    if name and SHADOW_NAME.fullmatch(name) is None:
        raise typer.BadParameter(f"--name {name!r}: expected 1 to 64 of the characters a-z A-Z 0-9 $ : _ -")
    return ShadowId(thing, name)


def _request(text: str | None, file: Path | None) -> Document:
    """An update's body, of a state or of a whole request. Raises ConfigError, typer.BadParameter."""
    if (text is None) == (file is None):
        raise typer.BadParameter("give the state or --file, one of them")
    if file is not None:
        try:
            text = file.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(str(file), "", str(error), "a readable file of JSON") from error
    try:
        body = jsonlib.loads(text or "")
    except ValueError as error:
        raise typer.BadParameter(f"the state is no JSON: {error}") from error
    if isinstance(body, dict) and "state" in body:
        return body
    if not isinstance(body, dict) or not body.keys() <= set(SECTIONS):
        raise typer.BadParameter('expected {"desired": {...}, "reported": {...}}, or one of the two')
    return {"state": body}


@contextmanager
def _line(
    folder: Path | None, cert: Path | None, key: Path | None, ca: Path | None, host: str, port: int | None
) -> Iterator[Line]:
    """The way to the core: the control socket, or MQTT with a device's certificate."""
    if cert is None:
        yield OperatorLine(paths_of(folder).control)
        return
    from edgecore.cli.mqtt_client import DeviceClient

    with DeviceClient(credentials_of(cert, key, ca), host, mqtt_port(port, folder)) as client:
        yield DeviceLine(client)


def _print(asked: ShadowId, document: Document, state: Document, *, json: bool) -> None:
    if json:
        emit_json(document)
        return
    emit_json(state or {})
    say(f"shadow {asked} is at version {document['version']}")
