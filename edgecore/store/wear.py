"""What the core writes to its card, and what that means for the card's life.

A card wears out by being written. What Linux counts for this process is asked for by the writer thread,
which blocks anyway: /proc/PID/io, see proc_pid_io(5). It counts what the process caused to be written to a
disk; what the card writes beside that (write amplification) is its own, and allowed for in `card_endurance`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

IO: Final = Path("/proc/self/io")
# How often it is read at most: it costs some microseconds.
LOOK_SECONDS: Final = 5.0
DAY: Final = 24 * 3600.0
YEAR: Final = 365.25 * DAY
# A rate that was measured for less says nothing of a year: starting alone writes for a second.
LEAST_SECONDS: Final = 60.0


def written_of(text: str) -> int:
    """The bytes that went to a disk, of a /proc/PID/io; 0 where it does not say."""
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    return int(fields.get("write_bytes", 0)) - int(fields.get("cancelled_write_bytes", 0))


class Wear:
    """What was written since this was made. `look` is for the thread that writes, the rest for any."""

    def __init__(self, now: float, endurance: int, io: Path = IO) -> None:
        self._began = now
        self._looked = now - LOOK_SECONDS
        self._endurance = endurance
        self._io = io
        self._first: int | None = None
        self._written = 0

    def look(self, now: float) -> None:
        """Read the count, unless it was just read. `now`: monotonic."""
        if now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        try:
            total = written_of(self._io.read_text("ascii"))
        except (OSError, ValueError):
            return  # not Linux, or a kernel that does not count
        if self._first is None:
            self._first = total
        self._written = total - self._first

    def status(self, now: float, messages: int) -> dict[str, object]:
        """Bytes written, for each message, a day and a year; the years that the card lasts at this rate.

        `messages`: that were written since the start. Rates are None until they say something.
        """
        seconds = now - self._began
        known = self._first is not None and seconds >= LEAST_SECONDS and self._written > 0
        a_year = self._written / seconds * YEAR if known else None
        return {
            "written": self._written,
            "per_message": round(self._written / messages) if messages and self._written else None,
            "per_day": round(a_year / YEAR * DAY) if a_year else None,
            "per_year": round(a_year) if a_year else None,
            "card_years": round(self._endurance / a_year, 1) if a_year else None,
        }
