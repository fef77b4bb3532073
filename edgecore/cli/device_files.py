"""The files of `edgecore device ...`: what is read for the core, and what it hands out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from edgecore.base.errors import ConfigError, EdgecoreError


def read_pem(path: Path, what: str) -> str:
    """The text of `path`, which is never empty: to the core that would mean "none". Raises ConfigError."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", str(error), f"{what} in PEM") from error
    if not text.strip():
        raise ConfigError(str(path), "", "nothing", f"{what} in PEM")
    return text


def new_files(out: Path, name: str, *parts: str) -> dict[str, Path]:
    """Where the device's own parts go: NAME.PART.pem. Raises ConfigError when one is there already."""
    files = {part: out / f"{name}.{part}.pem" for part in parts}
    for path in files.values():
        if path.exists():
            text = "Remove it, or choose another --out; a device may hold several certificates."
            raise ConfigError(str(path), "", "a file", "none, so that nothing is lost", text)
    return files


def write_pem(files: Mapping[Path, str], private: Path | None) -> None:
    """Write each; `private` so that its owner alone reads it. Raises EdgecoreError."""
    for path, text in files.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text, 0o600 if path == private else 0o644)
        except OSError as error:
            raise EdgecoreError(
                f"{path}: cannot be written: {error.strerror}\n"
                "the certificate was issued; revoke it, or do it again with another --out"
            ) from error


def _write(path: Path, text: str, mode: int) -> None:
    """Write so that nobody sees half a file, nor, for an instant, a key that all may read."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
