"""Executions of jobs: what their records say and when their timers end."""

import pytest

from edgecore.sim.cloud import executions as e
from edgecore.sim.cloud.executions import Execution, Job


def execution(**more):
    return Execution(Job("one", {"a": 1}, more.pop("timeout", None)), "lamp", 100, 1, **more)


def test_a_queued_one_has_not_started():
    assert "startedAt" not in execution().summary()
    assert execution().pending


@pytest.mark.parametrize("status", sorted(e.TERMINAL))
def test_terminal_states_are_not_pending(status):
    assert not execution(status=status).pending


def test_the_start_is_the_first_time_that_it_is_in_progress():
    one = execution()
    one.change(e.IN_PROGRESS, 110)
    one.change(e.IN_PROGRESS, 120)
    assert (one.started_at, one.updated_at, one.version) == (110, 120, 3)


def test_what_runs_ranks_before_what_waits():
    first, second = execution(), execution(status=e.IN_PROGRESS)
    assert second.rank < first.rank


@pytest.mark.parametrize(("now", "late"), [(159, False), (160, True)])
def test_timers_end_only_what_is_in_progress(now, late):
    one = execution(timeout=60)
    one.set_step(1, 0)
    assert not one.late(now)
    one.step_ends = None
    one.change(e.IN_PROGRESS, 100)
    assert one.late(now) is late


def test_the_state_has_its_details_even_if_empty():
    assert execution().state() == {"status": "QUEUED", "statusDetails": {}, "versionNumber": 1}
    assert "statusDetails" not in execution().full()
