"""The write-ahead log: what SQLite sees of it, and what it holds behind a bad frame."""

import sqlite3
import struct

import pytest

from edgecore.store.wal import checksum, read_log

FRAME = 24 + 4096
COMMITS = 8


@pytest.fixture
def log(tmp_path):
    """A log of eight commits, each of one row that fills a page of its own, copied before it is closed."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for x in range(COMMITS):
        connection.execute("INSERT INTO t VALUES (?, ?)", (x, bytes([x]) * 3000))
    content = (tmp_path / "x.db-wal").read_bytes()
    connection.close()
    return bytearray(content)


def read(log, size=4096):
    return read_log(lambda offset, length: bytes(log[offset : offset + length]), len(log), size)


def frames(log):
    """(page, size after) of each frame."""
    return [struct.unpack_from(">II", log, at) for at in range(32, len(log), FRAME)]


def commits(log):
    return [index for index, (_, size) in enumerate(frames(log)) if size]


def at(frame, byte=0):
    return 32 + frame * FRAME + byte


def newest(log, until=None):
    """Where each page's last content is, by the frames before `until`."""
    found = {}
    for index, (page, _) in list(enumerate(frames(log)))[:until]:
        found[page] = at(index, 24)
    return found


def test_a_whole_log(log):
    found = read(log)
    assert not found.damaged
    assert found.pages == newest(log)
    assert found.unreadable == set()
    assert found.size == frames(log)[-1][1]


@pytest.mark.parametrize("cut", [0, 10, 32, 33, 32 + FRAME - 1])
def test_a_log_without_a_whole_frame_is_empty(log, cut):
    found = read(log[:cut])
    assert (found.pages, found.size, found.damaged) == ({}, 0, False)


def test_a_torn_end_is_as_if_it_had_not_been_written(log):
    last = commits(log)[-2]
    found = read(log[: at(last + 2) - 1] if len(frames(log)) > last + 2 else log[:-1])
    assert not found.damaged
    assert found.pages == newest(log, last + 1)
    assert found.size == frames(log)[last][1]


def test_a_bad_frame_of_the_last_transaction_is_a_torn_end(log):
    log[at(len(frames(log)) - 1, 100)] ^= 1
    found = read(log)
    assert not found.damaged
    assert found.pages == newest(log, commits(log)[-2] + 1)


def test_behind_a_bad_frame_the_log_goes_on(log):
    bad = commits(log)[2]
    log[at(bad, 24 + 77)] ^= 1
    found = read(log)
    page = frames(log)[bad][0]
    assert found.damaged
    assert found.size == frames(log)[-1][1]
    whole = newest(log)
    if whole[page] == at(bad, 24):
        assert found.unreadable == {page}
        del whole[page]
    assert found.pages == whole


def test_a_page_that_is_written_again_heals_it(log):
    first = frames(log)[0][0]
    again = [index for index, (page, _) in enumerate(frames(log)) if page == first]
    assert len(again) > 1, "the tree's root is written by several commits"
    log[at(again[0], 24)] ^= 1
    found = read(log)
    assert found.damaged
    assert found.pages == newest(log)


@pytest.mark.parametrize("byte", [8, 12])
def test_salts_that_went_bad_do_not_hide_a_frame_that_the_chain_proves(log, byte):
    log[at(commits(log)[2], byte)] ^= 1
    found = read(log)
    assert found.damaged  # SQLite ends the log there
    assert found.pages == newest(log)


@pytest.mark.parametrize("byte", range(8))
def test_a_number_of_a_page_that_went_bad_is_put_right(log, byte):
    whole = newest(log)
    log[at(commits(log)[2], byte)] ^= 0x10
    found = read(log)
    assert found.damaged
    assert found.pages == whole
    assert found.unreadable == set()


def test_only_a_few_frames_are_tried(log, monkeypatch):
    monkeypatch.setattr("edgecore.store.wal.MOST_MENDED", 1)
    for index in commits(log)[1:3]:
        log[at(index, 1)] ^= 1
    found = read(log)
    assert found.damaged
    assert found.size == frames(log)[-1][1]


def test_also_the_only_transaction_is_proven_by_the_chain(log):
    first = commits(log)[0]
    one = log[: at(first + 1)]
    for byte in (4, at(first, 8)):
        bad = bytearray(one)
        bad[byte] ^= 1
        found = read(bad)
        assert found.damaged
        assert found.pages == newest(one)
    one[28] ^= 1  # the header's checksum, from which the chain begins
    assert not read(one).damaged
    assert read(one).pages == {}


@pytest.mark.parametrize("byte", [0, 5, 10, 16, 20, 26, 30])
def test_a_bad_header_does_not_hide_the_frames(log, byte):
    log[byte] ^= 1
    found = read(log)
    assert found.damaged
    missing = {page for page in newest(log) if page not in found.pages}
    assert missing <= {frames(log)[0][0]}  # unprovable where the header's own checksum went bad
    assert found.size == frames(log)[-1][1]


def test_frames_of_an_earlier_round_are_not_of_this_log(tmp_path):
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB)")
    for x in range(6):
        connection.execute("INSERT INTO t VALUES (?, ?)", (x, bytes([x]) * 3000))
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("DELETE FROM t WHERE x = 0")
    log = bytearray((tmp_path / "x.db-wal").read_bytes())
    connection.close()
    found = read(log)
    assert not found.damaged
    own = [index for index in range(len(frames(log))) if log[at(index, 8) : at(index, 16)] == log[16:24]]
    assert len(own) < len(frames(log))
    assert found.pages == newest(log, len(own))


def test_a_frame_that_the_disk_does_not_give(log):
    bad = commits(log)[2]

    def failing(offset, length):
        return b"" if offset == at(bad) else bytes(log[offset : offset + length])

    found = read_log(failing, len(log), 4096)
    assert found.damaged
    assert found.size == frames(log)[-1][1]


def test_another_page_size_is_another_databases_log(log):
    assert read(log, 8192).pages == {}


def test_the_checksum_is_that_of_the_header(log):
    for magic, order in ((0x377F0682, "<"), (0x377F0683, ">")):
        header = struct.pack(">I", magic) + bytes(log[4:24])
        first, second = checksum(header, (0, 0), order)
        if struct.unpack_from(">I", log) == (magic,):
            assert struct.unpack_from(">II", log, 24) == (first, second)
            break
    else:
        raise AssertionError("no known magic number")
