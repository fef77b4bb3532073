"""Open an SQLite file for good: looked at before all writing, salvaged when damaged, pragmas read back.

Plain blocking functions for the writer thread. A damaged file never stops the core: what is readable goes
into a new one, the damaged one is kept beside it (aside.py), and both are said. What is not damage, but a
file that cannot be opened or is no file, is an error.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from edgecore.base.errors import StoreError
from edgecore.store import aside, catalogue
from edgecore.store.btree import PAGE_SIZE, header_fault
from edgecore.store.pages import open_pages
from edgecore.store.salvage import Salvaged, salvage

log = logging.getLogger(__name__)

# The primary codes are the low byte of the extended ones (sqlite.org/rescode.html).
PRIMARY_CODE: Final = 0xFF
DAMAGED_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What SQLite may also say of a damaged file that it only reads: a schema that it cannot parse (ERROR), no
# code at all (text that Python cannot decode), and a sector that the disk does not give.
DAMAGED_WHEN_READ: Final = DAMAGED_CODES | {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT, 0}
UNREADABLE: Final = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})
# PRAGMA synchronous reads back as a number; 2 is FULL (sqlite.org/pragma.html#pragma_synchronous).
SYNCHRONOUS_FULL: Final = 2
# The write-ahead log is cut back to this after a checkpoint. Four times the automatic checkpoint.
LOG_SIZE_LIMIT: Final = 16 * 1024 * 1024
# Left free by a salvage, so that the core that it is for can write: the reserve and a log.
LEFT_FREE: Final = 24 * 1024 * 1024


class DamagedError(Exception):
    """The file is not a sound database. Stays inside the store."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening a file met. `set_aside`: the damaged file's new name, or ""; `salvaged`: rows by table.

    `kept`: the damaged files that lie in the folder, also of earlier starts and of other databases there,
    with the rows that were salvaged of each.
    """

    set_aside: str = ""
    salvaged: Mapping[str, int] = field(default_factory=dict)
    kept: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def primary_code(error: BaseException) -> int:
    """SQLite's primary result code of `error`, or 0."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & PRIMARY_CODE if isinstance(code, int) else 0


def open_database(path: Path, cache_bytes: int, now: float) -> tuple[sqlite3.Connection, Opening]:
    """A connection to the sound database at `path`, and what was met on the way to it.

    Raises StoreError when the file cannot be opened, or not as it must be.
    """
    opening = make_sound(path, now)
    connection = _connect(path)
    try:
        _set_pragmas(connection, path, cache_bytes)
        aside.sync_folder(path.parent)
    except sqlite3.Error as error:
        connection.close()
        raise _not_opened(path, error) from error
    except BaseException:
        connection.close()
        raise
    return connection, opening


def make_sound(path: Path, now: float, known: Mapping[str, str] | None = None) -> Opening:
    """See to it that `path` is a sound database, perhaps an empty one, with mode 0600.

    `now`: epoch seconds, for the name of a damaged file. `known`: the tables of a file that never has
    others. Raises StoreError when it can be neither read nor replaced.
    """
    try:
        for end in aside.COMPANIONS:
            _refuse_other_kinds(aside.beside(path, end))
        aside.finish(path)
        is_new = not path.exists()
        _make_private(path)
        if not is_new and path.stat().st_size == 0:
            log.warning("database %s is an empty file: beginning anew", path)
        set_aside, found = "", Salvaged()
        if damage := _damage(path, known):
            set_aside, found = _replace(path, now, damage, known)
            if damage := _damage(path, known):
                raise StoreError(f"{path}: a new database is damaged at once ({damage}): check the disk")
        kept = {
            name: report.salvaged if report else {} for name, report in aside.reports(path.parent).items()
        }
    except (OSError, sqlite3.Error) as error:
        raise _not_opened(path, error) from error
    return Opening(set_aside, found.rows, kept)


def _not_opened(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path}: cannot be opened: {error}; expected a file in a folder that this user may write to, "
        "and disk space"
    )


def _refuse_other_kinds(path: Path) -> None:
    """Raise StoreError for what is there and no plain file: a link leads elsewhere, a pipe waits for ever."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        kind = "a symbolic link" if stat.S_ISLNK(mode) else "no plain file"
        raise StoreError(
            f"{path}: cannot be opened: it is {kind}, expected a plain file; "
            "move it away (to keep the state elsewhere, move the whole folder: --dir)"
        )


def _make_private(path: Path) -> None:
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        with contextlib.suppress(OSError):  # a file of another owner: opening it decides
            os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


# Looking


def _damage(path: Path, known: Mapping[str, str] | None) -> str:
    """What is wrong with the database, or "". Writes nothing: what is damaged must not get worse."""
    if path.stat().st_size == 0:
        with open_pages(path) as pages:  # the file was there before its log: it lost its content
            return "it is empty, and its write-ahead log is not" if pages.log.size else ""
    try:
        _check_bytes(path)
        with contextlib.closing(_connect_to_look(path)) as connection:
            check_schema(connection, known)
            check_integrity(connection)
    except DamagedError as error:
        return str(error)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) in UNREADABLE or primary_code(error) in DAMAGED_WHEN_READ:
            return str(error)
        raise
    return ""


def _check_bytes(path: Path) -> None:
    """What SQLite does not look at, or passes over: the header's fixed fields, and the log's middle."""
    journal = aside.beside(path, "-journal")
    if path.stat().st_size > PAGE_SIZE and journal.exists() and journal.stat().st_size:
        raise DamagedError("a rollback journal stands beside it, which edgecore never leaves")
    with open_pages(path) as pages:
        if fault := header_fault(pages.header()):
            raise DamagedError(fault)
        if pages.log.damaged:
            raise DamagedError("its write-ahead log has bad frames before its end")
        if pages.is_cut():  # SQLite would read zeros there
            raise DamagedError("it ends before its last page")


def _connect_to_look(path: Path) -> sqlite3.Connection:
    """Read only: a connection that may write would put the log into the file when it closes.

    Only a file of one page, whose very first transaction was cut off, may be rolled back.
    """
    is_begun = path.stat().st_size <= PAGE_SIZE and aside.beside(path, "-journal").exists()
    mode = "rw" if is_begun else "ro"
    connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode={mode}", uri=True)
    connection.execute("PRAGMA trusted_schema=OFF")
    return connection


def check_schema(connection: sqlite3.Connection, known: Mapping[str, str] | None = None) -> None:
    """Raise DamagedError when there is more than plain tables and indexes, or less than there was.

    A trigger or a view would be run by what the core itself writes and reads.
    """
    rows = connection.execute("SELECT type, name, rootpage, sql FROM sqlite_master").fetchall()
    for kind, name, root, _ in rows:
        if kind not in ("table", "index") or not root:
            raise DamagedError(f"it has a {kind} {name!r} that edgecore does not make")
    if known is None:
        if fault := catalogue.fault(connection):
            raise DamagedError(fault)
    elif rows and (found := {name: sql for kind, name, _, sql in rows if kind == "table"}) != known:
        raise DamagedError(f"its tables are {sorted(found)}, not as they were made: {sorted(known)}")


def check_integrity(connection: sqlite3.Connection) -> None:
    """Raise DamagedError unless `PRAGMA integrity_check` finds the file sound.

    It reads the whole file: 0.07 s for 73 MB from the page cache, as long as the disk takes otherwise. The
    quick check takes 0.06 s and does not see that a table and its index differ.
    """
    (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if finding != "ok":
        raise DamagedError(finding)


# Replacing


def _replace(path: Path, now: float, damage: str, known: Mapping[str, str] | None) -> tuple[str, Salvaged]:
    """Salvage what is readable, put the rest aside, and say so."""
    log.error("database %s is damaged (%s): salvaging what is readable", path, damage)
    stamp = aside.free_stamp(path, now)
    found = _salvage(path, known)
    name = aside.exchange(path, stamp, aside.Report(damage, found.rows, found.unread()))
    aside.prune(path, aside.KEPT, newest=name)
    log.error(
        "database %s: salvaged %s; not readable: %s; the damaged file is kept as %s",
        path,
        ", ".join(f"{table} {rows}" for table, rows in found.rows.items()) or "nothing",
        found.unread() or "nothing known",
        name,
    )
    return name, found


def _salvage(path: Path, known: Mapping[str, str] | None) -> Salvaged:
    """Make NAME.salvaging; an empty file where nothing can be salvaged."""
    target = aside.beside(path, aside.MAKING)
    size = path.stat().st_size
    keep = aside.KEPT
    while keep and _room(path) < size:  # the older ones were salvaged in their time
        keep -= 1
        aside.prune(path, keep, newest="")
    try:
        return salvage(path, target, _room(path), known)
    except (OSError, sqlite3.Error) as error:
        log.warning("database %s: nothing can be salvaged: %s", path, error)
    for end in aside.COMPANIONS:
        aside.beside(target, end).unlink(missing_ok=True)
    _make_private(target)
    return Salvaged()


def _room(path: Path) -> int:
    return max(shutil.disk_usage(path.parent).free - LEFT_FREE, 0)


# Opening


def _connect(path: Path) -> sqlite3.Connection:
    try:
        # No implicit transactions: the store says BEGIN and COMMIT itself.
        return sqlite3.connect(path, isolation_level=None, cached_statements=256)
    except sqlite3.Error as error:
        raise _not_opened(path, error) from error


def _set_pragmas(connection: sqlite3.Connection, path: Path, cache_bytes: int) -> None:
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA cache_size={-(cache_bytes // 1024)}")
    connection.execute(f"PRAGMA journal_size_limit={LOG_SIZE_LIMIT}")
    # What is deleted is written over, whatever the build's default: salvage reads pages, and one that still
    # held an old row could lend its bytes to another row. The price: 919 bytes written for a message of 200,
    # stored and drained, against 530 without.
    connection.execute("PRAGMA secure_delete=ON")
    check_pragma(connection, path, "journal_mode", "wal")
    check_pragma(connection, path, "synchronous", SYNCHRONOUS_FULL)


def check_pragma(connection: sqlite3.Connection, path: Path, name: str, expected: object) -> None:
    """Raise StoreError unless the pragma reads back as `expected`: durability rests on it."""
    (found,) = connection.execute(f"PRAGMA {name}").fetchone()
    if found != expected:
        raise StoreError(
            f"{path}: PRAGMA {name} reads back {found!r}, expected {expected!r}: "
            "this file system cannot keep what is acknowledged; move the state folder to a local disk"
        )
