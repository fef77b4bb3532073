"""Pages, cells and records of an SQLite file, read from bytes with no trust in any of them. Pure.

SQLite itself gives up a page, and all that hangs below it, at the first thing that it does not understand.
Salvage wants what still makes sense there. The format is fixed (sqlite.org/fileformat2.html): its
documentation promises that it stays readable, and every number here is from it.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple, TypeVar

Value = int | float | str | bytes | None
T = TypeVar("T")

MAGIC: Final = b"SQLite format 3\0"
FILE_HEADER: Final = 100  # bytes of page 1 before its own header
# What SQLite makes unless it is told otherwise, and edgecore never tells it.
PAGE_SIZE: Final = 4096

TABLE_INTERIOR: Final = 5
TABLE_LEAF: Final = 13
INDEX_INTERIOR: Final = 2
INDEX_LEAF: Final = 10
INTERIOR: Final = frozenset({TABLE_INTERIOR, INDEX_INTERIOR})
KINDS: Final = frozenset({TABLE_INTERIOR, TABLE_LEAF, INDEX_INTERIOR, INDEX_LEAF})

# No cell is shorter: a freed one must hold the header of a free block.
SMALLEST_CELL: Final = 4
# Lengths of the serial types 0 to 9: NULL, integers of growing length, a float, and the constants 0 and 1.
LENGTHS: Final = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
FLOAT: Final = 7
ZERO: Final = 8
FIRST_BLOB: Final = 12  # from here on even types are blobs, odd ones texts, of (type - 12) // 2 bytes
_PAIR: Final = struct.Struct(">HH")


class Cell(NamedTuple):
    """One cell: its child page (interior), its rowid (tables), and where its payload is.

    `size` is the whole payload's; `start` to `end` is the part on this page, and `overflow` the page on
    which it goes on, or 0. A table's interior cells have no payload.
    """

    child: int
    rowid: int
    size: int
    start: int
    end: int
    overflow: int


class Page(NamedTuple):
    """A b-tree page: its kind, its rightmost child (interior), the cells that make sense, how many do not."""

    kind: int
    right: int
    cells: list[Cell]
    senseless: int


def page_size_of(header: bytes) -> int:
    """The page size that a file's header tells, or SQLite's own when it tells none that can be."""
    (size,) = struct.unpack_from(">H", header.ljust(18, b"\0"), 16)
    size = 65536 if size == 1 else size
    return size if size >= 512 and size & (size - 1) == 0 else PAGE_SIZE


def header_fault(header: bytes) -> str:
    """What is wrong with the first 100 bytes of a database that edgecore made, or ""."""
    if len(header) < FILE_HEADER or header[:16] != MAGIC:
        return "it does not begin as an SQLite database"
    (size,) = struct.unpack_from(">H", header, 16)
    if size not in (1, page_size_of(header)):
        return f"its page size is {size}"
    if not (header[18] in (1, 2) and header[19] in (1, 2)):
        return f"its format versions are {header[18]} and {header[19]}, expected 1 or 2"
    if header[20:24] != bytes((0, 64, 32, 32)):
        return "its fixed numbers are not SQLite's"
    schema, encoding, vacuum = (
        _words(header, 44),
        _words(header, 56),
        (_words(header, 52), _words(header, 64)),
    )
    if schema > 4 or encoding > 1 or vacuum != (0, 0):
        return f"it has schema format {schema}, encoding {encoding}, vacuum {vacuum}; expected 4, 1, (0, 0)"
    return ""


def _words(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def varint(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at `at` and where it ends. Raises IndexError beyond the data."""
    value = 0
    for index in range(at, at + 8):
        byte = data[index]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, index + 1
    value = value << 8 | data[at + 8]
    return value - (1 << 64) if value >> 63 else value, at + 9


def parse_page(page: bytes, number: int) -> Page | None:
    """The b-tree page in these bytes, or None when they are none. `number`: page 1 begins with the header.

    A cell is left out, and counted, when it does not fit the page, or takes bytes that another cell or a
    free block takes too: one of the two is then not what was written, and nothing tells which.
    """
    at = FILE_HEADER if number == 1 else 0
    kind = page[at]
    if kind not in KINDS:
        return None
    count, content = _PAIR.unpack_from(page, at + 3)
    first = at + (12 if kind in INTERIOR else 8)
    count = min(count, (len(page) - first) // 2)
    floor = first + 2 * count
    read = _READERS[kind]
    limits = _local_limits(kind, len(page))
    found: list[tuple[int, int, int, Cell | None]] = []
    for place, offset in enumerate(struct.unpack_from(f">{count}H", page, first)):
        if offset >= floor:
            try:
                cell, end = read(page, offset, limits)
            except IndexError:
                continue
            if end <= len(page):
                found.append((offset, max(end, offset + SMALLEST_CELL), place, cell))
    found += [(begin, end, -1, None) for begin, end in _free_blocks(page, at, floor)]
    cells = _apart(_of_content(found, page, at, content))
    right = _words(page, at + 8) if kind in INTERIOR else 0
    return Page(kind, right, cells, count - len(cells))


def _of_content(
    found: list[tuple[int, int, int, Cell | None]], page: bytes, at: int, content: int
) -> list[tuple[int, int, int, Cell | None]]:
    """Without the cells below the page's content area, when those inside fill it to the byte.

    What lies below it was deleted; a page whose count of cells is wrong would bring it back.
    """
    inside = [each for each in found if each[0] >= content]
    if len(inside) == len(found):
        return found
    filled = sum(end - begin for begin, end, _, _ in inside) + page[at + 7]
    return inside if filled == len(page) - content else found


def _free_blocks(page: bytes, at: int, floor: int) -> list[tuple[int, int]]:
    """The extents of the free blocks; they are linked in growing order, or the chain is not followed."""
    blocks = []
    (offset,) = struct.unpack_from(">H", page, at + 1)
    last = floor - 1
    while last < offset <= len(page) - SMALLEST_CELL:
        following, size = _PAIR.unpack_from(page, offset)
        if size < SMALLEST_CELL or offset + size > len(page):
            break
        blocks.append((offset, offset + size))
        last, offset = offset + size - 1, following
    return blocks


def _apart(found: list[tuple[int, int, int, Cell | None]]) -> list[Cell]:
    """The cells that share no byte with another extent, in the order of the page's pointers."""
    found.sort(key=lambda each: each[:2])
    shared: set[int] = set()
    furthest, owner = 0, 0
    for index, (begin, end, _, _) in enumerate(found):
        if begin < furthest:
            shared |= {owner, index}
        if end > furthest:
            furthest, owner = end, index
    kept = [(place, cell) for i, (_, _, place, cell) in enumerate(found) if cell and i not in shared]
    kept.sort(key=lambda each: each[0])
    return [cell for _, cell in kept]


def _local_limits(kind: int, size: int) -> tuple[int, int, int]:
    """Most payload kept on the page, least when it overflows, and bytes on each overflow page."""
    most = size - 35 if kind == TABLE_LEAF else (size - 12) * 64 // 255 - 23
    return most, (size - 12) * 32 // 255 - 23, size - 4


def _with_payload(
    page: bytes, at: int, size: int, child: int, rowid: int, limits: tuple[int, int, int]
) -> tuple[Cell, int]:
    most, least, per_page = limits
    if 0 < size <= most:
        return Cell(child, rowid, size, at, at + size, 0), at + size
    if size <= 0:
        raise IndexError
    local = least + (size - least) % per_page
    end = at + (local if local <= most else least)
    return Cell(child, rowid, size, at, end, _words(page, end)), end + 4


def _table_leaf(page: bytes, at: int, limits: tuple[int, int, int]) -> tuple[Cell, int]:
    size, at = varint(page, at)
    rowid, at = varint(page, at)
    return _with_payload(page, at, size, 0, rowid, limits)


def _index_leaf(page: bytes, at: int, limits: tuple[int, int, int]) -> tuple[Cell, int]:
    size, at = varint(page, at)
    return _with_payload(page, at, size, 0, 0, limits)


def _index_interior(page: bytes, at: int, limits: tuple[int, int, int]) -> tuple[Cell, int]:
    child = _words(page, at)
    size, at = varint(page, at + 4)
    return _with_payload(page, at, size, child, 0, limits)


def _table_interior(page: bytes, at: int, _: tuple[int, int, int]) -> tuple[Cell, int]:
    rowid, end = varint(page, at + 4)
    return Cell(_words(page, at), rowid, 0, end, end, 0), end


_READERS: Final = {
    TABLE_LEAF: _table_leaf,
    TABLE_INTERIOR: _table_interior,
    INDEX_LEAF: _index_leaf,
    INDEX_INTERIOR: _index_interior,
}


def decode_record(payload: bytes) -> tuple[Value, ...] | None:
    """The values of a record, or None unless its header accounts for every byte of it."""
    try:
        return _decode(payload)
    except (IndexError, UnicodeDecodeError, struct.error):
        return None


def _decode(payload: bytes) -> tuple[Value, ...] | None:
    size = len(payload)
    header, at = varint(payload, 0)
    if header > size:
        return None
    body = header
    values: list[Value] = []
    while at < header:
        kind = payload[at]
        at += 1
        if kind >= 0x80:
            kind, at = varint(payload, at - 1)
        begin = body
        if kind >= FIRST_BLOB:
            body += (kind - FIRST_BLOB) >> 1
            content = payload[begin:body]
            values.append(content.decode() if kind & 1 else content)
        elif 0 < kind < FLOAT:
            body += LENGTHS[kind]
            values.append(int.from_bytes(payload[begin:body], "big", signed=True))
        elif 0 <= kind < len(LENGTHS):
            body += LENGTHS[kind]
            values.append(_constant(kind, payload[begin:body]))
        else:
            return None
        if body > size:
            return None
    return tuple(values) if at == header and body == size else None


def _constant(kind: int, content: bytes) -> Value:
    """What is no integer of a length: NULL, a float, or the numbers 0 and 1 that take no bytes."""
    if kind == FLOAT:
        (value,) = struct.unpack(">d", content)
        return float(value)
    return kind - ZERO if kind else None


def in_order(rows: Sequence[T], keys: Sequence[tuple[Value, ...]]) -> list[T]:
    """Most rows that can stay so that their keys strictly grow: one altered key costs only its own row.

    Keys must be comparable. `keys` are of `rows`, in the same order.
    """
    ends: list[tuple[Value, ...]] = []  # the lowest last key of a growing run, by the run's length
    last: list[int] = []
    before: list[int] = []
    for index, key in enumerate(keys):
        length = bisect_left(ends, key)
        ends[length : length + 1] = [key]
        last[length : length + 1] = [index]
        before.append(last[length - 1] if length else -1)
    kept: list[T] = []
    index = last[-1] if last else -1
    while index >= 0:
        kept.append(rows[index])
        index = before[index]
    return kept[::-1]
