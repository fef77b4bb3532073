"""Where a core keeps its files: all under one folder, or where Linux puts them. Pure: makes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True)
class Paths:
    """The folders of one core.

    `etc`: edgecore.toml. `pki`: the CA and the server's certificate. `state`: what must last. `artifacts`:
    groups that were deployed. `run`: the control socket and ports.json, gone after a boot.
    """

    etc: Path
    pki: Path
    state: Path
    artifacts: Path
    run: Path

    @classmethod
    def under(cls, folder: Path) -> Self:
        """`--dir D`: a whole core under one folder, so that many run on one machine."""
        root = folder.absolute()
        return cls(root, root / "pki", root / "state", root / "artifacts", root / "run")

    @classmethod
    def system(cls) -> Self:
        """The core of this machine, as the Filesystem Hierarchy Standard 3.0 places it."""
        lib = Path("/var/lib/edgecore")
        run = Path("/run/edgecore")
        return cls(Path("/etc/edgecore"), lib / "pki", lib / "state", lib / "artifacts", run)

    @property
    def config(self) -> Path:
        """The settings of this machine."""
        return self.etc / "edgecore.toml"

    @property
    def database(self) -> Path:
        """The one SQLite database."""
        return self.state / "edgecore.sqlite"

    @property
    def registry(self) -> Path:
        """The dictionary of devices and their certificates."""
        return self.state / "registry.sqlite"

    @property
    def passwords(self) -> Path:
        """The dictionary of devices that may come with a password."""
        return self.state / "passwords.sqlite"

    @property
    def lock(self) -> Path:
        """Held by whoever has the store open."""
        return self.state / "lock"

    @property
    def control(self) -> Path:
        """The socket of the control API."""
        return self.run / "control.sock"

    @property
    def ports(self) -> Path:
        """The ports in use, JSON."""
        return self.run / "ports.json"
