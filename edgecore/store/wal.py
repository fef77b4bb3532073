"""What a write-ahead log holds, also behind a frame that cannot be read. Pure.

SQLite reads a log up to the first frame whose checksum is wrong and forgets the rest. After a power cut,
where only the end can be torn, that is right; when a byte in the middle went bad, it loses all later commits.
Each frame's checksum goes on from the one written in the frame before, so what follows can be checked too.

Both look alike while only one transaction is concerned: a torn one was never acknowledged. With
`synchronous=FULL` a transaction is written only after the one before it is on the disk. So a log is
damaged when a whole transaction follows the one with the bad frame; else it ends before that, as for SQLite.
It is damaged too when only what says that a frame is of this log went bad, the header or a frame's salts:
SQLite would end there, and the chain of checksums proves the frames.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

# sqlite.org/fileformat2.html#the_write_ahead_log; the second number says that checksums are big-endian.
MAGIC: Final = {0x377F0682: "<", 0x377F0683: ">"}
HEADER: Final = 32
FRAME_HEADER: Final = 24
_FIELDS: Final = struct.Struct(">6I")
_MASK: Final = 0xFFFF_FFFF
# Frames that are tried: each takes 64 checksums, 5 ms. One bad byte makes one bad frame.
MOST_MENDED: Final = 16

# Bytes at an offset; fewer, or none, where they cannot be read.
ReadAt = Callable[[int, int], bytes]
Sums = tuple[int, int]


@dataclass(slots=True)
class Log:
    """What a log says: where each page's newest content is, and which pages' newest content is unreadable."""

    pages: dict[int, int] = field(default_factory=dict)
    unreadable: set[int] = field(default_factory=set)
    size: int = 0  # of the database in pages, after the last commit; 0 without one
    damaged: bool = False


@dataclass(slots=True)
class _Frame:
    page: int
    size_after: int  # not 0 in the last frame of a transaction
    content: int  # its offset in the log
    good: bool
    ends_it: bool = False  # for SQLite, although it is good


@dataclass(slots=True)
class _Transaction:
    frames: list[_Frame]
    whole: bool
    size: int


def checksum(data: bytes, sums: Sums, order: str) -> Sums:
    """SQLite's checksum of `data`, going on from `sums`; `order` is "<" or ">"."""
    first, second = sums
    words = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for one, two in zip(words, words, strict=True):
        first = (first + one + second) & _MASK
        second = (second + two + first) & _MASK
    return first, second


def read_log(read: ReadAt, size: int, page_size: int) -> Log:
    """The log of `size` bytes that `read` reads, for a database with pages of `page_size`."""
    transactions = list(_transactions(read, size, page_size))
    torn = next((i for i, each in enumerate(transactions) if not each.whole), len(transactions))
    known = (frame for transaction in transactions[:torn] for frame in transaction.frames)
    damaged = torn + 1 < len(transactions) or any(frame.ends_it for frame in known)
    log = Log(damaged=damaged)
    for transaction in transactions if damaged else transactions[:torn]:
        log.size = transaction.size
        for frame in transaction.frames:
            _learn(log, frame)
    return log


def _learn(log: Log, frame: _Frame) -> None:
    if frame.good:
        log.pages[frame.page] = frame.content
        log.unreadable.discard(frame.page)
    else:
        log.pages.pop(frame.page, None)
        log.unreadable.add(frame.page)


def _transactions(read: ReadAt, size: int, page_size: int) -> Iterator[_Transaction]:
    """The transactions of the log, each ended by a good frame that commits."""
    collected: list[_Frame] = []
    whole = True
    for frame in _frames(read, size, page_size):
        collected.append(frame)
        whole = whole and frame.good
        if frame.good and frame.size_after:
            # The number of a bad frame's page may be bad itself.
            known = [each for each in collected if 0 < each.page <= frame.size_after]
            yield _Transaction(known, whole, frame.size_after)
            collected, whole = [], True


def _frames(read: ReadAt, size: int, page_size: int) -> Iterator[_Frame]:
    header = read(0, HEADER).ljust(HEADER, b"\0")
    magic, _, pages, _, salt1, salt2, *written = struct.unpack(">8I", header)
    order = MAGIC.get(magic, "<")
    whole = magic in MAGIC and pages == page_size and checksum(header[:24], (0, 0), order) == tuple(written)
    salts = (salt1, salt2) if whole else None
    count = (size - HEADER) // (FRAME_HEADER + page_size)
    return _checked(read, count, page_size, order, salts, (written[0], written[1]))


def _checked(
    read: ReadAt, count: int, page_size: int, order: str, salts: Sums | None, sums: Sums
) -> Iterator[_Frame]:
    """Each frame and whether it is good: of this log (not of an earlier round of it) and as it was written.

    Without a readable header the salts are those of the first frame whose checksum is right.
    """
    length = FRAME_HEADER + page_size
    header_is_whole = before_is_good = salts is not None
    mended = 0
    for number in range(count):
        offset = HEADER + number * length
        data = read(offset, length)
        if len(data) < length:
            before_is_good = False
            yield _Frame(0, 0, 0, good=False)
            continue
        page, size_after, *rest = _FIELDS.unpack_from(data)
        ours, written = (rest[0], rest[1]), (rest[2], rest[3])
        good = is_mended = False
        # The chain alone proves a frame that follows a good one, also when its salts went bad.
        if before_is_good or salts is None or ours == salts:
            good = _sums_of(data, sums, order) == written
        if not good and ours == salts and mended < MOST_MENDED:
            mended += 1
            page, size_after, is_mended = _mend(data, sums, order, written)
            good = is_mended
        if good and salts is None:
            salts = ours
        sums, before_is_good = written, good
        ends_it = not header_is_whole or ours != salts or is_mended
        yield _Frame(page, size_after, offset + FRAME_HEADER, good, ends_it)


def _mend(data: bytes, sums: Sums, order: str, written: Sums) -> tuple[int, int, bool]:
    """The frame's page and size with the bit put right that went bad in them; whether it was that.

    With a wrong number another page would be taken for the one that is lost.
    """
    numbers = int.from_bytes(data[:8], "big")
    for bit in range(64):
        other = (numbers ^ 1 << bit).to_bytes(8, "big")
        if _sums_of(other + data[8:], sums, order) == written:
            return int.from_bytes(other[:4], "big"), int.from_bytes(other[4:], "big"), True
    return numbers >> 32, numbers & _MASK, False


def _sums_of(data: bytes, sums: Sums, order: str) -> Sums:
    return checksum(data[FRAME_HEADER:], checksum(data[:8], sums, order), order)
