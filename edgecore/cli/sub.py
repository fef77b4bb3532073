"""`edgecore sub`: watch messages, as the operator over the control socket or as a device over MQTT."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from edgecore.base.topic import check_filter
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
from edgecore.cli.output import emit, emit_json, say


@dataclass(frozen=True, slots=True)
class Seen:
    """One message as it is shown. `sender` is "" when it is not known: a device is not told."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    sender: str = ""


def sub(
    filters: Annotated[list[str], typer.Argument(metavar="FILTER...", help="Topic filters.")],
    qos: Annotated[
        int | None,
        typer.Option("--qos", min=0, max=2, help="MQTT quality of service."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="End after this many messages.")
    ] = None,
    json: Json = False,
    folder: Dir = None,
    cert: Cert = None,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="NAME", help="With --cert: get what came while you were away."),
    ] = None,
    key: Key = None,
    ca: Ca = None,
    host: Host = "localhost",
    port: Port = None,
) -> None:
    """Watch messages until Ctrl-C: one line for each, the topic and the payload.

    Without --cert you watch as the operator, over the core's control socket. With --json each line is an
    object; a payload that is not text is base64, in [italic]payload_base64[/italic].

    Without --qos it is 0, and 1 with --session: then the core keeps messages of QoS 1 and 2 for you, until
    you have been away for a day.

    [bold]Example:[/bold] edgecore sub 'junction/#' --dir core
    [bold]Example:[/bold] edgecore sub 'cmd/gate/+' --cert certs/gate.cert.pem --count 1
    [bold]Example:[/bold] edgecore sub 'cmd/gate/+' --cert certs/gate.cert.pem --session desk
    """
    for each in filters:
        check_filter(each)
    if session is not None and (cert is None or not session):
        raise typer.BadParameter("--session NAME needs --cert: it is a device that has sessions")
    if cert is None:
        _show(_as_operator(paths_of(folder).control, filters, qos or 0), count, as_json=json)
        return
    from edgecore.cli.mqtt_client import DeviceClient

    wanted = qos if qos is not None else int(bool(session))
    credentials = credentials_of(cert, key, ca)
    with DeviceClient(credentials, host, mqtt_port(port, folder), session or "") as client:
        client.subscribe(filters, wanted)
        say("subscribed")
        seen = (Seen(each.topic, bytes(each.payload), each.qos, each.retain) for each in client.messages())
        _show(seen, count, as_json=json)


def _as_operator(socket: Path, filters: list[str], qos: int) -> Iterator[Seen]:
    from edgecore.cli.control import Control

    query = urlencode([*(("filter", each) for each in filters), ("qos", qos)])
    for line in Control(socket).stream(f"/subscribe?{query}"):
        if not line:
            say("subscribed")
        elif "dropped" in line:
            say(f"{line['dropped']} messages dropped: this terminal is too slow for them")
        else:
            payload = base64.b64decode(str(line["payload"]))
            qos, retain = int(str(line["qos"])), bool(line["retain"])
            yield Seen(str(line["topic"]), payload, qos, retain, str(line["sender"]))
    say("the core ended the stream: it is stopping")


def _show(messages: Iterable[Seen], count: int | None, *, as_json: bool) -> None:
    for message in islice(messages, count):
        text = _text(message.payload)
        if as_json:
            emit_json(_as_object(message, text), compact=True)
        else:
            emit(f"{message.topic} {text if text is not None else f'<{len(message.payload)} bytes>'}")


def _as_object(message: Seen, text: str | None) -> dict[str, object]:
    payload = (
        {"payload": text}
        if text is not None
        else {"payload_base64": base64.b64encode(message.payload).decode()}
    )
    sender = {"sender": message.sender} if message.sender else {}
    return {
        "topic": message.topic,
        **payload,
        "qos": message.qos,
        "retain": message.retain,
        **sender,
    }


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None
