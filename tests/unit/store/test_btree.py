"""SQLite's pages and records, read from bytes: what SQLite wrote, and what it never would."""

import sqlite3
import struct

import pytest

from edgecore.store.btree import (
    INDEX_LEAF,
    TABLE_LEAF,
    decode_record,
    header_fault,
    in_order,
    page_size_of,
    parse_page,
    varint,
)


@pytest.fixture
def content(tmp_path):
    """The bytes of a database of two pages: the schema, and a table with three rows."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    connection.execute("CREATE TABLE t (a INTEGER, b TEXT, c BLOB)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?)", [(1, "ä", b"x"), (-300, "", b""), (2**40, "z" * 50, None)]
    )
    connection.close()
    return (tmp_path / "x.db").read_bytes()


def page(content, number=2):
    return bytearray(content[(number - 1) * 4096 : number * 4096])


def records(data, number=2):
    parsed = parse_page(bytes(data), number)
    return [decode_record(bytes(data[cell.start : cell.end])) for cell in parsed.cells], parsed.senseless


ROWS = [(1, "ä", b"x"), (-300, "", b""), (2**40, "z" * 50, None)]


def test_rows_as_sqlite_wrote_them(content):
    parsed = parse_page(bytes(page(content)), 2)
    assert (parsed.kind, [cell.rowid for cell in parsed.cells]) == (TABLE_LEAF, [1, 2, 3])
    assert records(page(content)) == (ROWS, 0)


def test_the_first_page_begins_behind_the_files_header(content):
    ((kind, name, _, root, sql),), senseless = records(page(content, 1), 1)
    assert (kind, name, root, senseless) == ("table", "t", 2, 0)
    assert sql.startswith("CREATE TABLE t")


def test_what_is_no_page_of_a_tree(content):
    assert parse_page(bytes(4096), 2) is None
    assert parse_page(b"\xff" * 4096, 2) is None
    assert parse_page(b"hello" * 1000, 2) is None


def test_a_pointer_that_leads_beyond_the_page_costs_its_cell_alone(content):
    data = page(content)
    struct.pack_into(">H", data, 8 + 2, 4095)
    assert records(data) == ([ROWS[0], ROWS[2]], 1)


def test_of_two_cells_that_share_bytes_neither_is_believed(content):
    data = page(content)
    (first,) = struct.unpack_from(">H", data, 8)
    struct.pack_into(">H", data, 8 + 4, first)
    assert records(data) == ([ROWS[1]], 2)


def test_a_cell_in_a_free_block_was_deleted(content):
    data = page(content)
    (second,) = struct.unpack_from(">H", data, 8 + 2)
    struct.pack_into(">H", data, 1, second)
    struct.pack_into(">HH", data, second, 0, 8)
    assert records(data) == ([ROWS[0], ROWS[2]], 1)


def test_a_count_too_high_does_not_bring_back_what_was_deleted(content, tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("PRAGMA secure_delete=OFF")
        connection.execute("DELETE FROM t WHERE a = ?", (2**40,))
    connection.close()
    data = page((tmp_path / "x.db").read_bytes())
    assert records(data) == (ROWS[:2], 0)
    struct.pack_into(">H", data, 3, 3)
    found, _ = records(data)
    assert set(found) <= set(ROWS[:2])


def test_a_count_beyond_the_page_is_cut(content):
    data = page(content)
    struct.pack_into(">H", data, 3, 0xFFFF)
    parsed = parse_page(bytes(data), 2)
    assert len(parsed.cells) <= 3


def test_a_loop_of_free_blocks_ends(content):
    data = page(content)
    struct.pack_into(">H", data, 1, 200)
    struct.pack_into(">HH", data, 200, 200, 8)
    assert records(data) == (ROWS, 0)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x00",
        b"\x05\x01",  # a header longer than the record
        b"\x02\x01",  # a value that is not there
        b"\x02\x01\x05\x05",  # and one too many
        b"\x02\x0a",  # reserved types
        b"\x02\x0b",
        b"\x02\x0f\xff",  # text that is not UTF-8
        b"\x02\x07\x00",  # half a float
        b"\x03\x01\x05",  # a header that ends inside a value's place
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_record_that_does_not_account_for_its_bytes_is_none(record):
    assert decode_record(record) in (None, ())


def test_values_of_every_kind():
    assert decode_record(bytes.fromhex("0b00010203040506070809 0c")[:11]) is None
    record = (
        bytes([9, 0, 1, 4, 7, 8, 9, 14, 15])
        + b"\xff"
        + b"\x80\x00\x00\x00"
        + struct.pack(">d", 1.5)
        + b"b"
        + b"t"
    )
    assert decode_record(record) == (None, -1, -(2**31), 1.5, 0, 1, b"b", "t")


def test_varints():
    assert varint(b"\x7f", 0) == (127, 1)
    assert varint(b"x\x81\x00", 1) == (128, 3)
    assert varint(b"\xff" * 9, 0) == (-1, 9)
    with pytest.raises(IndexError):
        varint(b"\x80", 0)


def test_one_altered_key_costs_its_own_row_alone():
    keys = [(1,), (2,), (900,), (4,), (5,)]
    assert in_order("abcde", keys) == ["a", "b", "d", "e"]
    assert in_order("ab", [(2,), (2,)]) in (["a"], ["b"])
    assert in_order([], []) == []


def test_the_header_that_sqlite_writes_is_sound(content):
    assert header_fault(content[:100]) == ""
    assert page_size_of(content[:100]) == 4096


@pytest.mark.parametrize(
    ("at", "value", "words"),
    [
        (0, b"X", "does not begin"),
        (16, b"\x11", "page size is 4352"),
        (16, b"\x00", "page size is 0"),
        (18, b"\x03", "versions are 3"),
        (19, b"\x06", "versions are 1 and 6"),
        (20, b"\x08", "fixed numbers"),
        (21, b"\x41", "fixed numbers"),
        (47, b"\x05", "schema format 5"),
        (59, b"\x03", "encoding 3"),
        (67, b"\x01", "vacuum"),
    ],
)
def test_a_header_that_edgecore_never_makes(content, at, value, words):
    header = bytearray(content[:100])
    header[at : at + 1] = value
    assert words in header_fault(bytes(header))
    assert page_size_of(bytes(header)) == 4096


def test_a_short_header(content):
    assert "does not begin" in header_fault(content[:99])
    assert page_size_of(b"") == 4096
    assert page_size_of(content[:16] + b"\x00\x01") == 65536


def test_the_kind_of_a_clustered_table(tmp_path):
    with sqlite3.connect(tmp_path / "x.db") as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b BLOB, PRIMARY KEY (a)) WITHOUT ROWID")
        connection.execute("INSERT INTO t VALUES (7, ?)", (b"z" * 3000,))
    connection.close()
    data = (tmp_path / "x.db").read_bytes()[4096:8192]
    parsed = parse_page(data, 2)
    (cell,) = parsed.cells
    assert parsed.kind == INDEX_LEAF
    assert cell.overflow == 3
    assert cell.size == 3000 + len(b"\x04\x01\xae\x7c\x07")
