"""Reading SQLite's bytes without SQLite: what it wrote comes out as it went in; anything else does no harm."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore.store.btree import decode_record, parse_page
from edgecore.store.pages import open_pages
from edgecore.store.salvage import salvage
from edgecore.store.wal import read_log

integers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
blobs = st.one_of(
    st.binary(max_size=60),
    st.integers(900, 12_000).map(lambda n: bytes(range(256)) * (n // 256) + b"z" * (n % 256)),
)
numbers = st.floats(allow_nan=False)
clustered = st.dictionaries(st.tuples(texts, integers), st.tuples(blobs, st.none() | numbers), max_size=40)
plain = st.dictionaries(
    integers,
    st.tuples(texts, st.none() | blobs, st.one_of(integers, texts, blobs, numbers, st.none())),
    max_size=40,
)

TABLES = (
    "CREATE TABLE c (t TEXT, i INTEGER, b BLOB NOT NULL, r REAL, PRIMARY KEY (t, i)) WITHOUT ROWID",
    "CREATE TABLE p (t TEXT NOT NULL, k INTEGER PRIMARY KEY, b BLOB, x)",
)


@given(clustered, plain)
@settings(max_examples=60, deadline=None)
def test_a_salvage_of_a_sound_file_is_that_file(first, second):
    with tempfile.TemporaryDirectory() as folder:
        path, copy = Path(folder) / "x.db", Path(folder) / "y.db"
        with closing(sqlite3.connect(path)) as connection:
            for table in TABLES:
                connection.execute(table)
            connection.executemany(
                "INSERT INTO c VALUES (?, ?, ?, ?)", [(t, i, b, r) for (t, i), (b, r) in first.items()]
            )
            connection.executemany(
                "INSERT INTO p VALUES (?, ?, ?, ?)", [(t, k, b, x) for k, (t, b, x) in second.items()]
            )
            connection.commit()
        found = salvage(path, copy, 10**9)
        assert (found.unread(), found.rows) == ("", {"c": len(first), "p": len(second)})
        for table in "cp":
            with closing(sqlite3.connect(path)) as one, closing(sqlite3.connect(copy)) as other:
                statement = f"SELECT * FROM {table} ORDER BY 1, 2, 3, 4"
                assert one.execute(statement).fetchall() == other.execute(statement).fetchall()


@given(st.binary(max_size=4096), st.sampled_from([2, 5, 10, 13]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_no_page_is_too_strange(content, kind, first):
    page = (bytes(100) if first else b"") + bytes([kind]) + content
    page = page[:4096].ljust(4096, b"\xaa")
    parsed = parse_page(page, 1 if first else 2)
    for cell in parsed.cells:
        assert 0 <= cell.start <= cell.end <= 4096
        decode_record(page[cell.start : cell.end])


@given(st.binary(max_size=300))
@settings(max_examples=400, deadline=None)
def test_no_record_is_too_strange(content):
    values = decode_record(content)
    assert values is None or len(values) <= len(content)


@given(st.binary(max_size=20_000), st.booleans())
@settings(max_examples=100, deadline=None)
def test_no_log_is_too_strange(content, begun):
    if begun:
        content = b"\x37\x7f\x06\x82\x00\x2d\xe2\x18\x00\x00\x10\x00" + content
    log = read_log(lambda offset, length: content[offset : offset + length], len(content), 4096)
    assert all(offset + 4096 <= len(content) for offset in log.pages.values())


@given(st.binary(min_size=1, max_size=30_000))
@settings(max_examples=60, deadline=None)
def test_no_file_is_too_strange(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.db"
        path.write_bytes(content)
        assert salvage(path, Path(folder) / "y.db", 10**9).rows == {}
        with open_pages(path) as pages:
            assert pages.count == len(content) // pages.size
