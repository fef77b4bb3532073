"""`edgecore pub`: publish one message, as the operator over the control socket or as a device over MQTT."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgecore.base.errors import ConfigError
from edgecore.base.topic import check_topic
from edgecore.cli.options import (
    Ca,
    Cert,
    Dir,
    Host,
    Json,
    Key,
    Port,
    Qos,
    credentials_of,
    mqtt_port,
    paths_of,
)
from edgecore.cli.output import emit_json, say


def pub(
    topic: Annotated[str, typer.Argument(help="The topic, without wildcards.")],
    payload: Annotated[str | None, typer.Argument(help="The payload; else standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Take the payload from a file.")] = None,
    qos: Qos = 1,
    retain: Annotated[bool, typer.Option("--retain", help="Keep it for later subscribers.")] = False,
    json: Json = False,
    folder: Dir = None,
    cert: Cert = None,
    key: Key = None,
    ca: Ca = None,
    host: Host = "localhost",
    port: Port = None,
) -> None:
    """Publish a message.

    Without --cert it is published by you, the operator, over the core's control socket; the core logs it.

    [bold]Example:[/bold] edgecore pub cmd/gate/open '{"for": 5}' --dir core
    [bold]Example:[/bold] edgecore pub dt/gate/temp 21.5 --cert certs/gate.cert.pem
    """
    check_topic(topic)
    content = _payload(payload, file)
    if cert is not None:
        from edgecore.cli.mqtt_client import DeviceClient

        with DeviceClient(credentials_of(cert, key, ca), host, mqtt_port(port, folder)) as client:
            client.publish(topic, content, qos, retain=retain)
        say(f"published {len(content)} bytes to {topic}")
        return
    from edgecore.cli.control import Control

    sent = base64.b64encode(content).decode()
    body = {"topic": topic, "payload": sent, "qos": qos, "retain": retain}
    answer = Control(paths_of(folder).control).post("/publish", body)
    if json:
        emit_json(answer)
    else:
        say(f"published {len(content)} bytes to {topic}: {answer['receivers']} receivers")


def _payload(text: str | None, file: Path | None) -> bytes:
    if text is not None and file is not None:
        raise typer.BadParameter("give the payload or --file, not both")
    if file is not None:
        try:
            return file.read_bytes()
        except OSError as error:
            raise ConfigError(str(file), "", error.strerror or str(error), "a readable file") from error
    return text.encode() if text is not None else sys.stdin.buffer.read()
