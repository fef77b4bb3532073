"""Pages of a database that may be damaged: from its file, and over it from its write-ahead log.

Nothing is written, and SQLite has no part in it. A page that the disk does not give is None.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from edgecore.store.btree import FILE_HEADER, page_size_of
from edgecore.store.wal import Log, read_log

# The most pages that an SQLite database can have.
MOST_PAGES: Final = 2**32 - 2


class Pages:
    """The pages 1 to `count` of a database, `size` bytes each, as its last readable commit left them."""

    def __init__(self, main: int, log_file: int | None, log_size: int) -> None:
        """`main` and `log_file` are open descriptors; the caller closes them."""
        self._main = main
        self._log_file = log_file
        self.size = page_size_of(_read(main, 0, FILE_HEADER))
        self.log = Log()
        if log_file is not None:
            self.log = read_log(lambda offset, length: _read(log_file, offset, length), log_size, self.size)
        stored = os.fstat(main).st_size
        self._stored, self._begun = stored // self.size, -(-stored // self.size)
        self.count = min(max(self._stored, self.log.size), MOST_PAGES)
        self.unread: set[int] = set()

    def read(self, number: int) -> bytes | None:
        """The page, or None when it is not there or cannot be read (then `unread` has its number)."""
        content = self._content(number) if 0 < number <= self.count else b""
        if len(content) == self.size:
            return content
        self.unread.add(number)
        return None

    def is_cut(self) -> bool:
        """Whether pages are missing at the end: each must be in the file, and whole, or in its log."""
        last = self.log.size or self._begun
        return any(number not in self.log.pages for number in range(self._stored + 1, last + 1))

    def header(self) -> bytes:
        """The first 100 bytes, as SQLite sees them; fewer when there are not as many."""
        return self._content(1)[:FILE_HEADER]

    def _content(self, number: int) -> bytes:
        if number in self.log.unreadable:
            return b""
        offset = self.log.pages.get(number)
        if offset is None or self._log_file is None:
            return _read(self._main, (number - 1) * self.size, self.size)
        return _read(self._log_file, offset, self.size)


def _read(descriptor: int, offset: int, length: int) -> bytes:
    try:
        return os.pread(descriptor, length, offset)
    except OSError:  # a bad sector: what it held is lost, the rest is not
        return b""


@contextlib.contextmanager
def open_pages(path: Path) -> Iterator[Pages]:
    """The pages of the database at `path`, and of the log beside it. Raises OSError."""
    with contextlib.ExitStack() as stack:
        main = _open(path, stack)
        log_file, log_size = None, 0
        with contextlib.suppress(FileNotFoundError):
            log_file = _open(path.with_name(path.name + "-wal"), stack)
            log_size = os.fstat(log_file).st_size
        yield Pages(main, log_file, log_size)


def _open(path: Path, stack: contextlib.ExitStack) -> int:
    # Not through a link, and never waiting for the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor
