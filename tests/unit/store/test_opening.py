"""Opening for good: pragmas read back, damage set aside under a name of its own."""

import sqlite3

import pytest

from edgecore.base.errors import StoreError
from edgecore.store.opening import (
    DamagedError,
    check_integrity,
    check_pragma,
    open_database,
    primary_code,
    set_aside,
)

NOW = 1_700_000_000.0


def test_a_new_file_is_private(tmp_path):
    connection, aside = open_database(tmp_path / "x.db", 1024 * 1024, NOW)
    connection.close()
    assert aside == ""
    assert (tmp_path / "x.db").stat().st_mode & 0o777 == 0o600


def test_a_pragma_that_does_not_hold_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db")
    with pytest.raises(StoreError, match="synchronous reads back 2, expected 3"):
        check_pragma(connection, tmp_path, "synchronous", 3)
    connection.close()


def test_text_is_not_a_database(tmp_path):
    path = tmp_path / "x.db"
    path.write_text("hello" * 500)
    connection, aside = open_database(path, 1024, NOW)
    connection.close()
    assert (tmp_path / aside).read_text().startswith("hello")


def test_names_of_damaged_files_do_not_collide(tmp_path):
    path = tmp_path / "x.db"
    names = []
    for _ in range(3):
        path.write_text("x")
        (tmp_path / "x.db-wal").write_text("y")
        names.append(set_aside(path, NOW))
    assert len(set(names)) == 3
    assert all((tmp_path / f"{name}-wal").exists() for name in names)
    assert not path.exists()


def test_a_folder_in_its_place_is_an_error(tmp_path):
    (tmp_path / "x.db").mkdir()
    with pytest.raises(StoreError, match="cannot be opened"):
        open_database(tmp_path / "x.db", 1024, NOW)


def test_a_disk_that_damages_at_once_is_an_error(tmp_path, monkeypatch):
    def always(_):
        raise DamagedError("torn")

    monkeypatch.setattr("edgecore.store.opening.check_integrity", always)
    with pytest.raises(StoreError, match="damaged at once"):
        open_database(tmp_path / "x.db", 1024, NOW)


def test_an_error_that_is_not_damage_is_an_error(tmp_path, monkeypatch):
    def locked(_):
        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode = sqlite3.SQLITE_BUSY
        raise error

    monkeypatch.setattr("edgecore.store.opening.check_integrity", locked)
    with pytest.raises(StoreError, match="locked"):
        open_database(tmp_path / "x.db", 1024, NOW)


def test_integrity_of_a_sound_file():
    connection = sqlite3.connect(":memory:")
    check_integrity(connection)
    connection.close()


def test_codes():
    assert primary_code(ValueError()) == 0
    error = sqlite3.OperationalError()
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
    assert primary_code(error) == sqlite3.SQLITE_IOERR
