"""Pages from a file and its log, as the last readable commit left them."""

import errno
import os
import sqlite3

import pytest

from edgecore.store.pages import open_pages


@pytest.fixture
def path(tmp_path):
    """A database of five pages in order, and three commits more in its log."""
    source = tmp_path / "source.db"
    connection = sqlite3.connect(source, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
    for x in range(3):
        connection.execute("INSERT INTO t VALUES (?, ?)", (x, b"o" * 3000))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("UPDATE t SET y = ? WHERE x = 1", (b"n" * 3000,))
    for x in (8, 9):
        connection.execute("INSERT INTO t VALUES (?, ?)", (x, b"n" * 3000))
    for name in ("source.db", "source.db-wal"):
        (tmp_path / name.replace("source", "x")).write_bytes((tmp_path / name).read_bytes())
    connection.close()
    return tmp_path / "x.db"


def test_a_page_in_the_log_hides_the_one_in_the_file(path):
    with open_pages(path) as pages:
        contents = [pages.read(number) for number in range(1, pages.count + 1)]
        assert pages.header() == contents[0][:100]
    assert sum(b"n" * 3000 in content for content in contents) == 3
    assert sum(b"o" * 3000 in content for content in contents) == 2
    assert not pages.is_cut()
    assert pages.unread == set()


def test_without_a_log(path):
    path.with_name("x.db-wal").unlink()
    with open_pages(path) as pages:
        assert sum(b"o" * 3000 in pages.read(number) for number in range(1, pages.count + 1)) == 3


def test_a_page_that_is_not_there(path):
    with open_pages(path) as pages:
        assert pages.read(0) is None
        assert pages.read(pages.count + 1) is None
        assert len(pages.unread) == 2


def test_a_file_that_ends_before_its_last_page(path):
    os.truncate(path, path.stat().st_size - 100)
    with open_pages(path) as pages:
        assert pages.is_cut()
    path.with_name("x.db-wal").unlink()
    with open_pages(path) as pages:
        assert pages.is_cut()
    os.truncate(path, 8192)
    with open_pages(path) as pages:
        assert not pages.is_cut()  # nothing here says that there were more: SQLite's header does


def test_a_sector_that_the_disk_does_not_give(path, monkeypatch):
    path.with_name("x.db-wal").unlink()
    real = os.pread

    def pread(descriptor, length, offset):
        if offset == 2 * 4096:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, length, offset)

    monkeypatch.setattr("edgecore.store.pages.os.pread", pread)
    with open_pages(path) as pages:
        assert pages.read(3) is None
        assert pages.read(2) is not None
    assert pages.unread == {3}


def test_a_bad_frame_hides_the_page_in_the_file_too(path):
    log = path.with_name("x.db-wal")
    content = bytearray(log.read_bytes())
    content[32 + 24 + 50] ^= 1
    log.write_bytes(content)  # the commits behind it prove that it had been on the disk
    with open_pages(path) as pages:
        assert pages.log.damaged
        (number,) = pages.log.unreadable
        assert pages.read(number) is None


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="symbolic"), open_pages(tmp_path / "link"):
        pass
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"seek|Illegal"), open_pages(tmp_path / "pipe") as pages:
        os.lseek(pages._main, 0, os.SEEK_SET)
    with pytest.raises(FileNotFoundError), open_pages(tmp_path / "none"):
        pass
