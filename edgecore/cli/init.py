"""`edgecore init`: a core's folder, authority, server certificate and first edgecore.toml."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgecore.cli.options import Dir, Json, paths_of
from edgecore.cli.output import emit_json, say

if TYPE_CHECKING:
    from edgecore.config import Cloud


def init(
    thing: Annotated[str, typer.Option("--thing", metavar="NAME", help="The core's own AWS thing name.")],
    folder: Dir = None,
    cloud: Annotated[
        str | None, typer.Option("--cloud", metavar="HOST[:PORT]", help="The AWS IoT Core endpoint.")
    ] = None,
    cloud_cert: Annotated[
        Path | None, typer.Option("--cloud-cert", metavar="F", help="The core's certificate there (PEM).")
    ] = None,
    cloud_key: Annotated[
        Path | None, typer.Option("--cloud-key", metavar="F", help="Its private key (PEM).")
    ] = None,
    cloud_ca: Annotated[
        Path | None,
        typer.Option("--cloud-ca", metavar="F", help="The CA to trust there; else the system's."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a core's folder: its certificate authority, its server certificate and edgecore.toml.

    Refuses a folder that has an edgecore.toml. Without --cloud the core works alone; [cloud] can be
    written into the file later.

    [bold]Example:[/bold] edgecore init --dir core --thing core-7
    [bold]Example:[/bold] edgecore init --thing core-7 --cloud abc-ats.iot.eu-west-1.amazonaws.com
    --cloud-cert core.cert.pem --cloud-key core.key.pem
    """
    where = _cloud(cloud, cloud_cert, cloud_key, cloud_ca)
    from edgecore.config import write_initial
    from edgecore.listener.addresses import local_names
    from edgecore.listener.pki import CertificateAuthority

    paths = paths_of(folder)
    config = write_initial(paths, thing, where)
    names = local_names()
    CertificateAuthority.load_or_create(paths.pki).ensure_server_certificate(names)
    if json:
        emit_json({"thing": config.thing, "config": str(paths.config), "pki": str(paths.pki)})
        return
    place = f" --dir {folder}" if folder is not None else ""
    say(f"core {config.thing}: {paths.config}, certificates in {paths.pki}")
    say(f"next: edgecore device add NAME{place}, then edgecore run{place} --group FOLDER")


def _cloud(cloud: str | None, cert: Path | None, key: Path | None, ca: Path | None) -> Cloud | None:
    """The cloud as given. Its certificate and key belong together with it."""
    if cloud is None:
        if cert or key or ca:
            raise typer.BadParameter("--cloud-cert, --cloud-key and --cloud-ca need --cloud HOST[:PORT]")
        return None
    if cert is None or key is None:
        raise typer.BadParameter("--cloud needs --cloud-cert and --cloud-key: the cloud asks who you are")
    from edgecore.config import Cloud, parse_endpoint

    host, port = parse_endpoint(cloud)
    return Cloud(host, port, cert, key, ca)
