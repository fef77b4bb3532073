"""The folders of one demonstration, and the copy of the group that it runs.

ROOT/cloud         the simulated cloud (`edgecore sim cloud --dir`)
ROOT/core          the core (`edgecore run --dir`)
ROOT/group         the group, with the cameras' scenes tied to the wall clock
ROOT/certificates  what `edgecore device add` handed out
ROOT/logs          what the processes said
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlencode

from edgecore.base.errors import ConfigError

# A drawn camera's line in a group.toml: source = "synthetic:SCENE?OPTIONS".
_SOURCE: Final = re.compile(r'^(source\s*=\s*"synthetic:[a-z]+)(?:\?([^"]*))?"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything of one demonstration is."""

    root: Path

    @property
    def cloud(self) -> Path:
        """The simulated cloud's folder."""
        return self.root / "cloud"

    @property
    def core(self) -> Path:
        """The core's folder."""
        return self.root / "core"

    @property
    def group(self) -> Path:
        """The group that runs."""
        return self.root / "group"

    @property
    def certificates(self) -> Path:
        """Keys and certificates of the devices."""
        return self.root / "certificates"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    def prepare(self, group: Path, epoch: float, seed: int | None) -> None:
        """Make the folders and the copy of `group`. Raises ConfigError when there is something already."""
        if self.root.exists() and any(self.root.iterdir()):
            expected = "an empty folder or none, because counts start from nothing"
            raise ConfigError(str(self.root), "", "a folder that holds files", expected)
        if not (group / "group.toml").is_file():
            raise ConfigError(str(group), "", "no group.toml there", "the folder of a group")
        for folder in (self.cloud, self.core, self.certificates, self.logs):
            folder.mkdir(parents=True)
        shutil.copytree(group, self.group, ignore=shutil.ignore_patterns("__pycache__"))
        manifest = self.group / "group.toml"
        manifest.write_text(tied_to_clock(manifest.read_text(), epoch, seed))


def tied_to_clock(manifest: str, epoch: float, seed: int | None) -> str:
    """A group.toml whose drawn cameras show frame 0 at `epoch` (epoch seconds), of the seed if given.

    So the world goes on while the core is down, and a frame's number tells when it was.
    """

    def tie(found: re.Match[str]) -> str:
        options = dict(parse_qsl(found[2] or ""))
        options["epoch"] = f"{epoch:.3f}"
        if seed is not None:
            options["seed"] = str(seed)
        return f'{found[1]}?{urlencode(options)}"'

    return _SOURCE.sub(tie, manifest)
