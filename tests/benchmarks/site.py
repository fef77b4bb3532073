"""Where the brokers of a benchmark live: one CA, one server certificate, devices, and a core's folder.

The certificates are the core's own, as `edgecore device add` makes them, and Mosquitto is given the same.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import closing
from pathlib import Path

from edgecore.base.clock import SystemClock
from edgecore.config.paths import Paths
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.registry import Registry
from edgecore.store import Dictionary

# What devices measure, what is flooded, and commands from one device to each of the others.
ROUTES = """
[[routes]]
from = "device:*"
topic = ["dt/#", "fl/#", "cmd/#"]
to = "device:*"
"""

# The caps of connections and sessions are above all cases: one address holds all devices here.
SETTINGS = """\
thing = "bench-core"
[listener]
host = "127.0.0.1"
max_connections = 20000
max_connections_per_address = 20000
max_sessions = 20000
{bounds}
"""

# `wide`: no queue or window bounds a lossless run. `default`: as each broker comes.
BOUNDS = {
    "wide": """\
max_queued = 200000
max_queued_bytes = "256MiB"
session_records = 60000
session_bytes = "64MiB"
""",
    "default": "",
}


def name_of(number: int) -> str:
    """The name of a device; all have the same length."""
    return f"dev-{number:04}"


class Site:
    """One folder with certificates of devices, and a core's folder that was never started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pki = folder / "core" / "pki"
        self.group = folder / "group"
        self.certificates = folder / "devices"

    def certificate(self, number: int) -> tuple[Path, Path]:
        """The files of a device's certificate and key."""
        name = name_of(number)
        return self.certificates / f"{name}.pem", self.certificates / f"{name}.key"

    def core(self, bounds: str) -> Path:
        """A core's folder of its own, with nothing in its store yet."""
        copies = self.folder / "cores"
        copies.mkdir(exist_ok=True)
        copy = copies / str(len(list(copies.iterdir())))
        shutil.copytree(self.folder / "core", copy)
        (copy / "edgecore.toml").write_text(SETTINGS.format(bounds=BOUNDS[bounds]))
        return copy


def make_site(folder: Path, devices: int) -> Site:
    """A new site with that many devices in its registry and its group."""
    site = Site(folder)
    for each in (site.group, site.certificates):
        each.mkdir(parents=True)
    asyncio.run(_add_devices(site, devices))
    tables = "".join(f"[devices.{name_of(number)}]\n" for number in range(devices))
    (site.group / "group.toml").write_text(f'[group]\nname = "bench"\n{tables}{ROUTES}')
    return site


async def _add_devices(site: Site, devices: int) -> None:
    paths = Paths.under(site.folder / "core")
    paths.state.mkdir(parents=True)
    authority = CertificateAuthority.load_or_create(site.pki)
    authority.ensure_server_certificate()
    with closing(Dictionary.open(paths.registry)) as dictionary:
        registry = Registry(dictionary, authority, SystemClock())
        for number in range(devices):
            issued = await registry.add(name_of(number))
            certificate, key = site.certificate(number)
            certificate.write_bytes(issued.certificate)
            key.write_bytes(issued.key)
