"""What a benchmark ran on, in one line for its reader."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from tests.benchmarks.brokers import mosquitto_program


def describe(folder: Path) -> str:
    """Date, processors, Python, Mosquitto, and the file system of `folder`, where the store was."""
    found = [
        dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        f"{os.cpu_count()} {platform.machine()} cores shared by broker and generators",
        f"Linux {platform.release()}",
        f"CPython {platform.python_version()}",
        f"uvloop {metadata.version('uvloop')}",
        _mosquitto(),
        f"store on {file_system(folder, Path('/proc/mounts').read_text())}",
    ]
    return ", ".join(found)


def file_system(folder: Path, mounts: str) -> str:
    """The type of the file system that holds `folder`, of the lines of /proc/mounts."""
    best = ("", "an unknown file system")
    for line in mounts.splitlines():
        _, place, kind, *_ = line.split()
        if folder.is_relative_to(place) and len(place) >= len(best[0]):
            best = (place, kind)
    return best[1]


def _mosquitto() -> str:
    asked = subprocess.run([str(mosquitto_program()), "-h"], capture_output=True, text=True, check=False)
    return asked.stdout.split("\n", 1)[0].replace("mosquitto version", "Mosquitto")
