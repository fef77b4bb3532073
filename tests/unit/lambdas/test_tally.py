import logging

from edgecore.base.clock import ManualClock
from edgecore.lambdas.tally import REPORTS, Tally


def test_errors_are_remembered_and_the_log_is_spared(caplog):
    clock = ManualClock(0.0)
    tally = Tally(logging.getLogger("t"), clock)
    for n in range(REPORTS + 5):
        tally.report(f"error {n}", "detail")
    assert len(caplog.records) == REPORTS
    assert caplog.records[0].message == "error 0\ndetail"
    clock.advance(1)
    tally.report("last")
    status = tally.status()
    assert caplog.records[-1].message == "last"
    assert (status["last_error"], status["last_error_at"]) == ("last", "1970-01-01T00:00:01+00:00")
    assert status["reports_suppressed"] == 5


def test_without_errors_there_is_no_time_of_one():
    status = Tally(logging.getLogger("t"), ManualClock()).status()
    assert (status["last_error_at"], status["invocations"], status["errors"]) == ("", 0, 0)
