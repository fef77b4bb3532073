"""Put a new database in the place of a damaged one, so that a crash at any step loses neither.

The new file is made under a name of its own, synced, and renamed to NAME.salvaged-TIME: from then on
it is whole, and the next start goes on from wherever this one ended. The damaged file and its companions
become NAME.damaged-TIME, then the new one gets the name. What was salvaged stands in NAME.damaged-TIME.json.

Damaged files are kept for a person to look at, the newest few: a disk must not fill up with them.
"""

from __future__ import annotations

import contextlib
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

log = logging.getLogger(__name__)

# What SQLite appends to a database's name, in the order of their going; the last is the database itself.
COMPANIONS: Final = ("-wal", "-journal", "-shm", "")
MAKING: Final = ".salvaging"
WHOLE: Final = ".salvaged-"
DAMAGED: Final = ".damaged-"
REPORT: Final = ".json"
# Enough to compare with what came before; on a disk that damages one a day, three days.
KEPT: Final = 3
# Our own reports have less than a thousand bytes.
LONGEST_REPORT: Final = 64 * 1024


class Report(msgspec.Struct, frozen=True):
    """What stands beside a damaged file: what was wrong with it, rows salvaged, and what was not readable."""

    damage: str
    salvaged: dict[str, int]
    unread: str


def beside(path: Path, end: str) -> Path:
    """The file whose name is that of `path` and `end`."""
    return path.with_name(path.name + end)


def free_stamp(path: Path, now: float) -> str:
    """A name for this moment (epoch seconds) that no damaged file of `path` has yet."""
    stamp = moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while any(beside(path, DAMAGED + stamp + end).exists() for end in (*COMPANIONS, REPORT)):
        number += 1
        stamp = f"{moment}-{number}"
    return stamp


def exchange(path: Path, stamp: str, report: Report) -> str:
    """Put NAME.salvaging, which is whole and synced, in the place of `path`; gives the damaged one's name."""
    _write(beside(path, DAMAGED + stamp + REPORT), msgspec.json.encode(report))
    beside(path, MAKING).rename(beside(path, WHOLE + stamp))
    sync_folder(path.parent)
    return _put_in_place(path, stamp)


def finish(path: Path) -> None:
    """Go on with an exchange that an earlier start began, and forget a file that it did not finish."""
    for end in COMPANIONS:
        beside(path, MAKING + end).unlink(missing_ok=True)
    for whole in sorted(path.parent.glob(f"{_literal(path.name)}{WHOLE}*")):
        aside = _put_in_place(path, whole.name.removeprefix(path.name + WHOLE))
        log.warning("an exchange of %s was finished that was begun before: %s is set aside", path, aside)


def _put_in_place(path: Path, stamp: str) -> str:
    aside = beside(path, DAMAGED + stamp)
    for end in COMPANIONS:
        if end == "-shm":  # only an index of the log, of no use without the process that made it
            beside(path, end).unlink(missing_ok=True)
        elif beside(path, end).exists():
            beside(path, end).rename(beside(aside, end))
            with contextlib.suppress(OSError):  # a file of another owner is kept as it is
                beside(aside, end).chmod(0o600)
    sync_folder(path.parent)
    beside(path, WHOLE + stamp).rename(path)
    sync_folder(path.parent)
    return aside.name


def kept(path: Path) -> list[Path]:
    """The damaged files of `path`, the newest last, by when they were set aside."""
    found = [
        each
        for each in path.parent.glob(f"{_literal(path.name)}{DAMAGED}*")
        if not each.name.endswith((REPORT, *COMPANIONS[:-1]))
    ]
    return sorted(found, key=lambda each: (each.lstat().st_ctime_ns, each.name))


def reports(folder: Path) -> dict[str, Report | None]:
    """Every damaged file in the folder with its report; None when that is not there or cannot be read."""
    names = {each.name.removesuffix(REPORT) for each in folder.glob(f"*{DAMAGED}*{REPORT}")}
    names |= {each.name for each in folder.glob(f"*{DAMAGED}*")}
    plain = [name for name in names if not name.endswith((REPORT, *COMPANIONS[:-1]))]
    return {name: _read(folder / (name + REPORT)) for name in sorted(plain) if (folder / name).exists()}


def prune(path: Path, keep: int, newest: str) -> None:
    """Delete the oldest damaged files until `keep` are left; never that named `newest`, never quietly."""
    older = [each for each in kept(path) if each.name != newest]
    for each in older[: max(len(older) + bool(newest) - keep, 0)]:
        log.warning(
            "%s is deleted, %d bytes: of the damaged files of %s the newest %d are kept",
            each,
            each.lstat().st_size,
            path.name,
            keep,
        )
        for end in (*COMPANIONS, REPORT):
            with contextlib.suppress(OSError):  # what cannot be deleted stays, and stops nobody
                beside(each, end).unlink(missing_ok=True)
    for report in path.parent.glob(f"{_literal(path.name)}{DAMAGED}*{REPORT}"):
        if not report.with_name(report.name.removesuffix(REPORT)).exists():
            report.unlink(missing_ok=True)  # of an exchange that ended before it began


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: SQLite syncs a new file, not always its name."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Report | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            return msgspec.json.decode(file.read(LONGEST_REPORT), type=Report)
    return None


def _literal(name: str) -> str:
    """The name as a pattern of itself."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
