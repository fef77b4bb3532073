"""Options that several verbs share, and what follows from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from edgecore.base.errors import ConfigError

if TYPE_CHECKING:
    from edgecore.config.paths import Paths

MQTT_PORT: Final = 8883  # IANA: secure-mqtt

Dir = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="D",
        help="The core's folder. Without it: /etc/edgecore, /var/lib/edgecore and /run/edgecore.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print data as JSON on standard output.")]
Qos = Annotated[int, typer.Option("--qos", min=0, max=2, help="MQTT quality of service.")]
Cert = Annotated[
    Path | None, typer.Option("--cert", metavar="F", help="Act as the device with this certificate (PEM).")
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="F", help="Its key; else NAME.key.pem beside NAME.cert.pem.")
]
Ca = Annotated[
    Path | None, typer.Option("--ca", metavar="F", help="The core's CA; else ca.pem beside the certificate.")
]
Host = Annotated[str, typer.Option("--host", metavar="H", help="Where the core listens for devices.")]
Port = Annotated[
    int | None,
    typer.Option("--port", metavar="P", help=f"Its MQTT port; else that of --dir, else {MQTT_PORT}."),
]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a device proves itself with: paths of PEM files."""

    certificate: Path
    key: Path
    ca: Path


def paths_of(folder: Path | None) -> Paths:
    """Where the core keeps its things, for a `--dir` or without one."""
    from edgecore.config.paths import Paths

    return Paths.under(folder) if folder is not None else Paths.system()


def credentials_of(cert: Path, key: Path | None, ca: Path | None) -> Credentials:
    """The three files; those not given are looked for beside the certificate. Raises ConfigError."""
    name = cert.name.removesuffix(".pem").removesuffix(".cert")
    found = Credentials(
        cert, key or cert.with_name(f"{name}.key.pem"), ca if ca is not None else cert.with_name("ca.pem")
    )
    for option, path in (("--cert", found.certificate), ("--key", found.key), ("--ca", found.ca)):
        if not path.is_file():
            raise ConfigError(
                str(path), "", "no file", "a PEM file", f"Name it with {option}; see `edgecore device add`."
            )
    return found


def mqtt_port(port: int | None, folder: Path | None) -> int:
    """The port as given, or the one that the running core of `folder` noted, or the standard one."""
    if port is not None:
        return port
    try:
        noted = json.loads(paths_of(folder).ports.read_text())["mqtt"]
    except (OSError, ValueError, KeyError):
        return MQTT_PORT
    return int(noted)
