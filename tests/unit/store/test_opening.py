"""Opening for good: looked at first, salvaged when damaged, pragmas read back, modes and kinds of files."""

import errno
import logging
import os
import sqlite3
import stat
import struct
from contextlib import closing

import pytest

from edgecore.base.errors import StoreError
from edgecore.store import aside, opening
from edgecore.store.migrate import migrate
from edgecore.store.opening import (
    DamagedError,
    check_integrity,
    check_pragma,
    check_schema,
    make_sound,
    open_database,
    primary_code,
)

NOW = 1_700_000_000.0
NAME = "x.db.damaged-20231114T221320Z"
STEP = "CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB NOT NULL)"
ROWS = {x: bytes([x]) * 500 for x in range(100)}


@pytest.fixture
def path(tmp_path):
    """A sound database of some pages, closed in order."""
    path = tmp_path / "x.db"
    connection, _ = open_database(path, 1024 * 1024, NOW)
    fill(connection)
    connection.close()
    return path


def fill(connection):
    connection.execute("BEGIN")
    migrate(connection, "room", [STEP])
    connection.executemany("INSERT INTO t VALUES (?, ?)", ROWS.items())
    connection.execute("COMMIT")


def opened(path):
    """What opening met, and the rows that are there."""
    connection, met = open_database(path, 1024 * 1024, NOW)
    with closing(connection):
        connection.execute("BEGIN")
        migrate(connection, "room", [STEP])
        connection.execute("COMMIT")
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return met, dict(connection.execute("SELECT x, y FROM t"))


def patch_file(path, at, content):
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)


def test_a_new_file_is_private(tmp_path):
    connection, met = open_database(tmp_path / "x.db", 1024 * 1024, NOW)
    connection.execute("CREATE TABLE t (x)")
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    connection.close()
    assert (met.set_aside, met.kept) == ("", {})
    assert modes == {"x.db": 0o600, "x.db-wal": 0o600, "x.db-shm": 0o600}


def test_a_file_that_others_could_read_is_made_private(path):
    path.chmod(0o644)
    opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_sound_file_stays_as_it_is(path):
    before = path.read_bytes()
    assert make_sound(path, NOW).set_aside == ""
    assert path.read_bytes() == before
    assert opened(path)[1] == ROWS


def test_a_pragma_that_does_not_hold_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db")
    with pytest.raises(StoreError, match="synchronous reads back 2, expected 3"):
        check_pragma(connection, tmp_path, "synchronous", 3)
    connection.close()


def test_text_is_not_a_database(tmp_path):
    path = tmp_path / "x.db"
    path.write_text("hello" * 500)
    connection, met = open_database(path, 1024, NOW)
    connection.close()
    assert met.set_aside == NAME
    assert (tmp_path / NAME).read_text().startswith("hello")


def test_what_is_readable_is_salvaged_the_rest_set_aside_and_both_are_said(path, caplog):
    content = bytearray(path.read_bytes())
    at = content.index(ROWS[50]) // 4096 * 4096
    patch_file(path, at, bytes(4096))
    damaged = path.read_bytes()
    met, rows = opened(path)
    assert rows.items() < ROWS.items()
    assert len(rows) > 80
    assert met.set_aside == NAME
    assert met.salvaged == {"migrations": 1, "t": len(rows)}
    assert met.kept == {NAME: met.salvaged}
    assert path.with_name(NAME).read_bytes() == damaged
    assert f"salvaged migrations 1, t {len(rows)}; not readable: 1 pages" in caplog.text
    assert NAME in caplog.text
    again, _ = opened(path)
    assert (again.set_aside, again.kept) == ("", {NAME: met.salvaged})


@pytest.mark.parametrize("length", [16, 100])
def test_a_destroyed_header_costs_nothing(path, length):
    patch_file(path, 0, b"\xff" * length)
    met, rows = opened(path)
    assert rows == ROWS
    assert met.set_aside


@pytest.mark.parametrize(("at", "value"), [(18, 3), (19, 3), (47, 9), (59, 3), (21, 65)])
def test_a_header_that_sqlite_would_misunderstand(path, at, value):
    patch_file(path, at, bytes([value]))
    met, rows = opened(path)
    assert rows == ROWS
    assert met.set_aside


def test_a_renamed_table_is_damage(path):
    content = path.read_bytes()
    at = content.index(b"CREATE TABLE t ")
    patch_file(path, at, b"CREATE TABLE s ")
    met, rows = opened(path)
    assert rows == ROWS
    assert met.set_aside


def test_an_index_that_differs_from_its_table_is_damage(tmp_path):
    path = tmp_path / "x.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE q (k INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        connection.execute("INSERT INTO q VALUES (1, 'outbox')")
        connection.commit()
    patch_file(path, path.read_bytes().rindex(b"outbox"), b"inbox_")
    assert make_sound(path, NOW).set_aside
    with closing(sqlite3.connect(path)) as connection:
        assert len(connection.execute("SELECT * FROM q").fetchall()) == 1
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def killed(tmp_path, path, commits):
    """A copy of the files while a log of some commits is not yet in the database."""
    connection, _ = open_database(path, 1024 * 1024, NOW)
    for x in range(commits):
        connection.execute("UPDATE t SET y = ? WHERE x = ?", (b"new" * 100, x * 9))
    copy = tmp_path / "copy"
    copy.mkdir()
    for end in ("", "-wal"):
        (copy / f"x.db{end}").write_bytes(aside.beside(path, end).read_bytes())
    connection.close()
    return copy / "x.db"


def updated(commits):
    return {**ROWS, **{x * 9: b"new" * 100 for x in range(commits)}}


def test_a_log_after_a_kill_is_no_damage(tmp_path, path):
    copy = killed(tmp_path, path, 5)
    met, rows = opened(copy)
    assert (met.set_aside, rows) == ("", updated(5))


def test_commits_behind_a_bad_frame_are_not_lost(tmp_path, path):
    copy = killed(tmp_path, path, 8)
    log = aside.beside(copy, "-wal")
    content = bytearray(log.read_bytes())
    content[32 + 24 + 4000] ^= 1
    log.write_bytes(content)
    met, rows = opened(copy)
    assert met.set_aside
    wanted = updated(8)
    assert rows.items() <= wanted.items()
    assert {x: rows.get(x) for x in range(9, 72, 9)}.items() <= wanted.items()
    assert len(rows) > 80
    assert (copy.parent / f"{NAME}-wal").read_bytes() == content


def test_the_log_is_not_put_into_a_damaged_file(tmp_path, path):
    copy = killed(tmp_path, path, 3)
    os.truncate(copy, copy.stat().st_size - 4096)
    main, log = copy.read_bytes(), aside.beside(copy, "-wal").read_bytes()
    make_sound(copy, NOW)
    assert (copy.parent / NAME).read_bytes() == main
    assert (copy.parent / f"{NAME}-wal").read_bytes() == log


def test_a_file_that_lost_its_content_and_kept_its_log(tmp_path, path):
    copy = killed(tmp_path, path, 3)
    copy.write_bytes(b"")
    assert make_sound(copy, NOW).set_aside == NAME
    copy.unlink()
    assert make_sound(copy, NOW).set_aside == ""


def test_an_empty_file_is_new_and_that_is_said(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    path = tmp_path / "x.db"
    path.touch()
    assert make_sound(path, NOW).set_aside == ""
    assert "is an empty file: beginning anew" in caplog.text


@pytest.mark.parametrize("cut", [1, 2048, 4096, 5000])
def test_a_file_that_ends_early(path, cut):
    os.truncate(path, path.stat().st_size - cut)
    met, rows = opened(path)
    assert met.set_aside
    assert rows.items() <= ROWS.items()
    assert len(rows) > 70


def test_a_rollback_journal_is_not_played_into_the_file(path):
    journal = aside.beside(path, "-journal")
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 1, 7, 1, 512, 4096)
    journal.write_bytes(header.ljust(512, b"\0") + struct.pack(">I", 2) + b"\xee" * 4096 + bytes(4))
    met, rows = opened(path)
    assert rows == ROWS
    assert met.set_aside
    assert aside.beside(path.with_name(NAME), "-journal").exists()


def test_a_file_that_was_only_just_begun_may_be_rolled_back(tmp_path):
    path = tmp_path / "x.db"
    path.write_bytes(b"")
    aside.beside(path, "-journal").write_bytes(b"\0" * 512)
    connection, met = open_database(path, 1024, NOW)
    connection.close()
    assert met.set_aside == ""


def hostile(path, *statements):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON t BEGIN DELETE FROM t; END",
        "CREATE VIEW evil AS SELECT x FROM t",
        "CREATE VIRTUAL TABLE evil USING fts5(z)",
    ],
)
def test_what_would_run_is_not_kept(path, statement):
    hostile(path, statement)
    met, rows = opened(path)
    assert rows == ROWS
    assert met.set_aside
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO t VALUES (1000, x'00')")
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (101,)
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        assert {"t", "migrations", "catalogue"} <= names
        assert "evil" not in names  # the plain tables beneath a virtual one are plain


def test_a_trigger_in_the_place_of_a_table_is_seen(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TRIGGER evil AFTER INSERT ON t BEGIN DELETE FROM t; END")
        with pytest.raises(DamagedError, match="a trigger 'evil' that edgecore does not make"):
            check_schema(connection)


def test_known_tables_are_the_only_ones(tmp_path):
    connection = sqlite3.connect(":memory:")
    check_schema(connection, {"t": STEP})
    connection.execute(STEP)
    check_schema(connection, {"t": STEP})
    with pytest.raises(DamagedError, match=r"its tables are \['t'\]"):
        check_schema(connection, {"t": STEP + " STRICT"})
    connection.execute("CREATE TABLE u (x)")
    with pytest.raises(DamagedError, match=r"its tables are \['t', 'u'\]"):
        check_schema(connection, {"t": STEP})
    connection.close()


@pytest.mark.parametrize("end", ["", "-wal", "-journal", "-shm"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_refused_and_left_alone(path, tmp_path, kind, end):
    victim = tmp_path / "victim"
    victim.write_text("not yours")
    victim.chmod(0o644)
    place = aside.beside(path, end)
    place.unlink(missing_ok=True)
    {"link": lambda: place.symlink_to(victim), "pipe": lambda: os.mkfifo(place), "folder": place.mkdir}[
        kind
    ]()
    with pytest.raises(StoreError, match=r"cannot be opened: it is (a symbolic link|no plain file)"):
        open_database(path, 1024, NOW)
    assert victim.read_text() == "not yours"
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert not list(tmp_path.glob("*.damaged-*"))


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        open_database(tmp_path / "none" / "x.db", 1024, NOW)


def test_a_disk_that_damages_at_once_is_an_error(path, monkeypatch):
    def always(_):
        raise DamagedError("torn")

    monkeypatch.setattr("edgecore.store.opening.check_integrity", always)
    with pytest.raises(StoreError, match="damaged at once"):
        open_database(path, 1024, NOW)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_BUSY, "locked"),
        (sqlite3.SQLITE_CANTOPEN, "no way"),
        (sqlite3.SQLITE_IOERR_LOCK, "lock"),
    ],
)
def test_an_error_that_is_not_damage_is_an_error(path, monkeypatch, code, words):
    def failing(_):
        error = sqlite3.OperationalError(words)
        error.sqlite_errorcode = code
        raise error

    monkeypatch.setattr("edgecore.store.opening.check_integrity", failing)
    with pytest.raises(StoreError, match=words):
        open_database(path, 1024, NOW)
    assert not list(path.parent.glob("*.damaged-*"))


def test_a_sector_that_the_disk_does_not_give_is_damage(path, monkeypatch):
    """SQLite reports a read error; page by page, all but that sector is there."""
    bad = path.read_bytes().index(ROWS[50]) // 4096 * 4096
    real_pread, real_check = os.pread, opening.check_integrity
    inode = path.stat().st_ino

    def pread(descriptor, length, offset):
        if offset == bad and os.fstat(descriptor).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real_pread(descriptor, length, offset)

    def check(connection):
        if path.stat().st_ino == inode:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
            raise error
        real_check(connection)

    monkeypatch.setattr("edgecore.store.pages.os.pread", pread)
    monkeypatch.setattr("edgecore.store.opening.check_integrity", check)
    met, rows = opened(path)
    assert met.set_aside == NAME
    assert rows.items() < ROWS.items()
    assert len(rows) > 80


def test_when_nothing_can_be_written_beside_it_a_new_one_is_begun(path, monkeypatch, caplog):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("edgecore.store.opening.salvage", full)
    patch_file(path, 0, b"\xff" * 100)
    met, rows = opened(path)
    assert rows == {}
    assert (met.set_aside, dict(met.salvaged)) == (NAME, {})
    assert "nothing can be salvaged: [Errno 28]" in caplog.text


def test_older_damaged_files_make_room_for_a_salvage(path, monkeypatch):
    for number in range(3):
        path.with_name(f"x.db.damaged-{number}").write_bytes(b"x")
    rooms = iter([0, 0, 10**9, 10**9])
    monkeypatch.setattr("edgecore.store.opening._room", lambda _: next(rooms))
    patch_file(path, 0, b"\xff" * 100)
    _, rows = opened(path)
    assert rows == ROWS
    assert sorted(each.name for each in aside.kept(path)) == ["x.db.damaged-2", NAME]


def test_a_crash_at_any_step_loses_neither(path, monkeypatch, tmp_path):
    """Until a start comes through: the salvaged rows are in use, and the damaged file is whole."""
    patch_file(path, 0, b"\xff" * 100)
    damaged, original = path.read_bytes(), tmp_path / "original"
    original.write_bytes(damaged)
    step, came_through = 0, False
    while not came_through:
        for each in tmp_path.glob("x.db*"):
            each.unlink()
        path.write_bytes(damaged)
        came_through = _crash_at(path, monkeypatch, step)
        met, rows = opened(path)
        assert rows == ROWS, step
        found = [each for each in tmp_path.glob("x.db.damaged-*") if not each.name.endswith(".json")]
        assert [each.read_bytes() for each in found] == [damaged], step
        assert set(met.kept) == {each.name for each in found}
        assert not list(tmp_path.glob("*.salvag*"))
        step += 1
    assert step > 10


class CrashError(BaseException):
    """The process ends here."""


def _crash_at(path, monkeypatch, step):
    """Open it and end before the step; whether there are not as many steps."""
    left = step

    def crashing(real):
        def act(*args, **kwargs):
            nonlocal left
            if left == 0:
                raise CrashError
            left -= 1
            return real(*args, **kwargs)

        return act

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "fsync", "write", "fchmod"):
            patch.setattr(f"os.{name}", crashing(getattr(os, name)))
        try:
            make_sound(path, NOW)
        except CrashError:
            return False
    return True


def test_integrity_of_a_sound_file():
    connection = sqlite3.connect(":memory:")
    check_integrity(connection)
    connection.close()


def test_codes():
    assert primary_code(ValueError()) == 0
    error = sqlite3.OperationalError()
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert primary_code(error) == sqlite3.SQLITE_IOERR
