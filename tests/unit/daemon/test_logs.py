import io
import json
import logging
import queue

import pytest

from edgecore.daemon.logs import BoundedQueueHandler, for_journal, logging_to, priority


def logged(write, *, level="info", style="text", journal=False):
    out = io.StringIO()
    with logging_to(out, level, style, journal=journal):
        write(logging.getLogger("edgecore.room"))
    return out.getvalue()


def fail(log):
    try:
        raise ValueError("cable")  # noqa: TRY301  a trace is the subject
    except ValueError:
        log.exception("camera broke camera=%s", "north")


def test_a_line_begins_with_the_time():
    text = logged(lambda log: log.info("unit ready unit=%s", "store"))
    when, _, rest = text.partition(" ")
    assert when.endswith("+00:00")
    assert rest == "info edgecore.room: unit ready unit=store\n"


def test_the_journal_gets_the_priority_on_every_line_and_no_time():
    lines = logged(fail, journal=True).splitlines()
    assert lines[0] == "<3>error edgecore.room: camera broke camera=north"
    assert lines[-1] == "<3>  ValueError: cable"
    assert all(line.startswith("<3>") for line in lines)


def test_json_lines_hold_the_trace():
    line = json.loads(logged(fail, style="json"))
    assert line["level"] == "error"
    assert line["logger"] == "edgecore.room"
    assert line["message"] == "camera broke camera=north"
    assert line["trace"].endswith("ValueError: cable")


def test_json_lines_without_a_trace_have_none():
    line = json.loads(logged(lambda log: log.warning("ä"), style="json"))
    assert set(line) == {"time", "level", "logger", "message"}
    assert line["message"] == "ä"


def test_the_level_is_kept():
    assert logged(lambda log: log.info("quiet"), level="warning") == ""
    assert "loud" in logged(lambda log: log.debug("loud"), level="debug")


def test_the_former_level_comes_back():
    before = logging.getLogger().level
    logged(lambda log: None, level="debug")
    assert logging.getLogger().level == before


@pytest.mark.parametrize(
    ("level", "number"),
    [
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
        (logging.DEBUG, 7),
    ],
)
def test_priorities_are_those_of_syslog(level, number):
    assert priority(level) == number


@pytest.mark.parametrize(
    ("environment", "journal"),
    [({}, False), ({"JOURNAL_STREAM": "8:1"}, True), ({"INVOCATION_ID": "a"}, True)],
)
def test_the_environment_says_whether_the_journal_listens(environment, journal):
    assert for_journal(environment) is journal


def test_a_full_queue_drops_the_newest_and_counts():
    records = queue.Queue(1)
    handler = BoundedQueueHandler(records)
    for text in ("first", "second", "third"):
        handler.handle(logging.LogRecord("a", logging.INFO, __file__, 1, text, (), None))
    assert handler.dropped == 2
    assert records.get_nowait().getMessage() == "first"


def test_what_was_dropped_is_said_at_the_end():
    out = io.StringIO()
    with logging_to(out, "info", "text", journal=False) as handler:
        handler.dropped = 3
    assert "log records dropped count=3" in out.getvalue()


def test_drain_waits_until_all_is_written():
    out = io.StringIO()
    with logging_to(out, "info", "text", journal=False) as handler:
        for number in range(100):
            logging.getLogger("x").info("line %d", number)
        handler.drain()
        assert "line 99" in out.getvalue()
