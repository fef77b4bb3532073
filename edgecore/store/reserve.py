"""Disk space held back, so that deletions still commit when the disk is full. Knows nothing of SQLite.

A file of real blocks stands beside the database. It is given back when SQLite meets a full disk, and
taken again when there is room; while it is not held, only works that free space may run.
"""

from __future__ import annotations

import os
from pathlib import Path


class Reserve:
    """The ballast file of `size` bytes at `path`. `held` says whether its blocks are allocated now."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size
        self.held = False

    def hold(self) -> bool:
        """Allocate the blocks, unless they are; False when the disk has no room for them."""
        if not self.held:
            self.held = self._allocate()
        return self.held

    def release(self) -> bool:
        """Give the blocks back; False when there were none to give."""
        if not self.held:
            return False
        self._path.unlink(missing_ok=True)
        self.held = False
        return True

    def _allocate(self) -> bool:
        if self.size == 0:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self.size)
            finally:
                os.close(descriptor)
        except OSError:
            # No room (ENOSPC, EDQUOT), or no fallocate here: a part of a reserve only takes space.
            self._path.unlink(missing_ok=True)
            return False
        return True
