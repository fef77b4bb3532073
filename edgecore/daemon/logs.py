"""Structured logging through a bounded queue: writing to a slow disk or terminal never holds the loop.

One thread, started here and nowhere else in the frame, formats and writes. Modules log an event
phrase followed by key=value pairs. Under journald a line begins with its priority (sd-daemon(3)) and
leaves the time to the journal; elsewhere it begins with the time. What a peer says stands in lines too:
none can begin a record of its own, or move the cursor of whoever reads.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import queue
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Literal, TextIO

from edgecore.base.shown import lines

LogFormat = Literal["text", "json"]

# A record is some 500 bytes, so 5 MB at most: a burst beyond it is dropped and counted, never waited for.
QUEUE_LENGTH: Final = 10_000

# syslog's numbers (RFC 5424, table 2).
_PRIORITIES: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG_PRIORITY: Final = 7


def priority(level: int) -> int:
    """The number of syslog for a logging level."""
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG_PRIORITY)


def for_journal(environment: Mapping[str, str]) -> bool:
    """Whether a service manager takes our standard error (systemd.exec(5))."""
    return "JOURNAL_STREAM" in environment or "INVOCATION_ID" in environment


class TextFormatter(logging.Formatter):
    """`LEVEL logger: event key=value`, after the time, or after the priority for the journal.

    What does not begin a record is indented: a trace, and what somebody sent with a line end in it.
    """

    def __init__(self, *, journal: bool) -> None:
        super().__init__()
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, and the lines of a trace below it."""
        text = f"{record.levelname.lower()} {record.name}: {record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        text = lines(text).replace("\n", "\n  ")
        if self._journal:
            # Each line is a journal entry of its own and needs its own priority.
            return "\n".join(f"<{priority(record.levelno)}>{line}" for line in text.split("\n"))
        return f"{_when(record)} {text}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line = {
            "time": _when(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return lines(json.dumps(line, ensure_ascii=False))


def _when(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class BoundedQueueHandler(logging.handlers.QueueHandler):
    """Puts records in the queue; when it is full the newest is dropped and counted.

    The newest and not the oldest: a burst is best understood from its beginning.
    """

    def __init__(self, records: queue.Queue[logging.LogRecord]) -> None:
        super().__init__(records)
        self._records = records
        self.dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Leave the record as it is: formatting is the thread's work, and arguments are values."""
        return record

    def drain(self) -> None:
        """Wait until all that is queued has been written."""
        self._records.join()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue the record or count it."""
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self.dropped += 1


@contextlib.contextmanager
def logging_to(
    stream: TextIO | None, level: str, style: LogFormat, *, journal: bool
) -> Iterator[BoundedQueueHandler]:
    """Log at `level` and above to `stream` (standard error when None) until the block ends.

    On the way out everything queued is written, and what was dropped is said.
    """
    records: queue.Queue[logging.LogRecord] = queue.Queue(QUEUE_LENGTH)
    out = logging.StreamHandler(stream or sys.stderr)
    out.setFormatter(JsonFormatter() if style == "json" else TextFormatter(journal=journal))
    handler = BoundedQueueHandler(records)
    writer = logging.handlers.QueueListener(records, out)
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    writer.start()
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        if handler.dropped:
            records.put(_dropped(handler.dropped))
        writer.stop()


def _dropped(count: int) -> logging.LogRecord:
    text = "log records dropped count=%s"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (count,), None)
