"""Keeps the shadows of the simulated cloud over its restarts: one JSON line per write, last one wins.

Writes follow the replies by a few milliseconds and are not synced: enough for a simulator that is
restarted, not for one that is killed in the middle of a burst.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from edgecore.base.errors import StoreError
from edgecore.sim.cloud.shadows import Key, Shadow


class Journal:
    """The file of shadows. `open`, `flush` and `close` touch the disk; `write` does not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: deque[str] = deque()

    def open(self) -> list[tuple[Key, Shadow]]:
        """Read what is there and rewrite it with one line per shadow. Raises StoreError."""
        shadows = _read(self._path)
        write_backup(self._path, shadows.items())
        self._file = self._path.open("a", encoding="utf-8")
        return list(shadows.items())

    @property
    def waiting(self) -> bool:
        """Whether `flush` has something to write."""
        return bool(self._lines)

    def write(self, key: Key, shadow: Shadow) -> None:
        """Keep one shadow as it is now, with the next `flush`."""
        self._lines.append(_line(key, shadow))

    def flush(self) -> None:
        """Write what waits. One thread at a time."""
        while self._lines:
            self._file.write(self._lines.popleft())
        self._file.flush()

    def close(self) -> None:
        """Write what waits and close."""
        self.flush()
        self._file.close()


def write_backup(path: Path, shadows: Iterable[tuple[Key, Shadow]]) -> None:
    """Keep all shadows in a file of the journal's form."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join(_line(key, shadow) for key, shadow in shadows), "utf-8")
    fresh.replace(path)


def read_backup(path: Path) -> list[tuple[Key, Shadow]]:
    """What `write_backup` kept. Raises StoreError when there is nothing."""
    if not path.exists():
        raise StoreError(f"{path}: no backup was made: `edgecore sim cloud backup` makes one")
    return list(_read(path).items())


def _line(key: Key, shadow: Shadow) -> str:
    record = {
        "thing": key.thing,
        "shadow": key.shadow,
        "version": shadow.version,
        "state": shadow.state,
        "metadata": shadow.metadata,
        "timestamp": shadow.timestamp,
        "deleted_at": shadow.deleted_at,
    }
    return json.dumps(record) + "\n"


def _read(path: Path) -> dict[Key, Shadow]:
    if not path.exists():
        return {}
    shadows: dict[Key, Shadow] = {}
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            key, shadow = _parse(line)
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break  # killed in the middle of its last line
            raise StoreError(f"{path}: line {number} is no shadow record; delete the file") from error
        shadows[key] = shadow
    return shadows


def _parse(line: str) -> tuple[Key, Shadow]:
    record = json.loads(line)
    return Key(record["thing"], record["shadow"]), Shadow(
        record["version"], record["state"], record["metadata"], record["timestamp"], record["deleted_at"]
    )
