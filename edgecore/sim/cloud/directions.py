"""How to reach a simulated cloud: words for a person, and a program for AWS's own client.

`cloud.json` in its folder says where it listens while it runs.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from edgecore.sim.cloud.faults import FAULTS

NOTE: Final = "cloud.json"
CONTROL: Final = "control.sock"

_SNIPPET: Final = """\
# pip install awsiotsdk
from threading import Event
from awscrt import mqtt5
from awsiot import mqtt5_client_builder

here, connected, stopped = {folder!r}, Event(), Event()
client = mqtt5_client_builder.mtls_from_path(
    cert_filepath=here + "/{stem}.cert.pem",
    pri_key_filepath=here + "/{stem}.key.pem",
    ca_filepath=here + "/ca.pem",
    endpoint={host!r},
    port={port},
    client_id={client_id!r},
    on_lifecycle_connection_success=lambda _: connected.set(),
    on_lifecycle_stopped=lambda _: stopped.set(),
)
client.start()
assert connected.wait(20), "no connection"
packet = mqtt5.PublishPacket(topic="dt/hello", payload=b"hello", qos=mqtt5.QoS.AT_LEAST_ONCE)
print("PUBACK", client.publish(packet).result(20).puback.reason_code.name)
client.stop()
stopped.wait(20)
"""


def write_note(folder: Path, host: str, port: int, https_port: int, control: bool) -> None:
    """Say where the cloud listens."""
    note = {
        "host": host,
        "port": port,
        "https_port": https_port,
        "credentials_port": https_port,
        "control": str(folder / CONTROL) if control else None,
        "pid": os.getpid(),
    }
    path = folder / NOTE
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(note) + "\n", "utf-8")
    fresh.replace(path)


def read_note(folder: Path) -> dict[str, Any]:
    """What `write_note` wrote. Raises FileNotFoundError when no cloud runs there."""
    note: dict[str, Any] = json.loads((folder / NOTE).read_text("utf-8"))
    return note


def snippet(folder: Path) -> str:
    """A program for awsiotsdk that connects to the cloud in `folder` and publishes."""
    note = read_note(folder)
    things = _things(folder)
    stem, client_id = (f"things/{things[0]}", things[0]) if things else ("core", "core")
    return _SNIPPET.format(
        folder=str(folder.resolve()), stem=stem, host=_host(note), port=note["port"], client_id=client_id
    )


def describe(folder: Path) -> str:
    """How to reach the cloud that runs in `folder`, for a person."""
    note = read_note(folder)
    host = _host(note)
    core = folder / "core"
    lines = [
        f"simulated cloud on {note['host']}:{note['port']} (MQTT 3.1.1 and 5, mutual TLS), pid {note['pid']}",
        f"  HTTPS        https://{host}:{note['https_port']}  data plane and credentials, mutual TLS",
        f"  CA           {folder / 'ca.pem'}",
        f"  core         {core}.cert.pem  {core}.key.pem",
    ]
    lines += [f"  thing        {folder / 'things' / name}.cert.pem  .key.pem" for name in _things(folder)]
    lines += [
        "  served       QoS 0 and 1, sessions up to 1 h, retained messages, shared subscriptions,",
        "               lifecycle events, device shadows, jobs, policies, credentials provider",
        "  not served   rules (basic ingest is counted), streams, provisioning, Defender, custom auth",
        f"  faults       edgecore sim cloud fault NAME --dir {folder}   ({', '.join(FAULTS)})",
        "",
        "a core that uses it:",
        f"  edgecore init --dir CORE --thing NAME --cloud {host}:{note['port']} \\",
        f"    --cloud-cert {core}.cert.pem --cloud-key {core}.key.pem --cloud-ca {folder / 'ca.pem'}",
        "",
        "AWS's own client, in Python:",
    ]
    lines += [f"  {line}" for line in snippet(folder).splitlines()]
    return "\n".join(lines)


def _things(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".cert.pem") for path in folder.glob("things/*.cert.pem"))


def _host(note: dict[str, Any]) -> str:
    """A name that the server certificate holds; a cloud on all addresses is reached as localhost."""
    return "localhost" if note["host"] in ("0.0.0.0", "::") else str(note["host"])  # noqa: S104  compared only
