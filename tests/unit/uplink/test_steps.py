from edgecore.uplink import steps as module
from edgecore.uplink.steps import Steps


def stepped(*ids):
    steps = Steps(0.0, 0.0)
    for n in ids:
        steps.appended(n)
    return steps


def test_a_clock_that_goes_on_shifts_nothing():
    steps = stepped(5, 6)
    steps.look(1000.0, 1000.5)
    assert steps.shift(5) == 0.0


def test_a_step_counts_for_what_was_appended_before_it_in_this_run():
    steps = stepped(5, 6)
    steps.look(1e6, 0.0)
    steps.appended(7)
    assert (steps.shift(4), steps.shift(5), steps.shift(6), steps.shift(7)) == (0.0, 1e6, 1e6, 0.0)


def test_steps_add_up():
    steps = stepped(1)
    steps.look(100.0, 0.0)
    steps.appended(2)
    steps.look(40.0, 0.0)
    assert (steps.shift(1), steps.shift(2)) == (40.0, -60.0)


def test_a_step_before_the_first_record_is_nobody_s():
    steps = Steps(0.0, 0.0)
    steps.look(1e6, 0.0)
    steps.appended(1)
    assert steps.shift(1) == 0.0


def test_they_are_bounded_and_the_first_records_still_know_the_sum(monkeypatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    steps = stepped(1)
    for n in range(1, 10):
        steps.look(n * 100.0, 0.0)
        steps.appended(n + 1)
    assert len(steps._steps) <= 3
    assert (steps.shift(1), steps.shift(9), steps.shift(10)) == (900.0, 100.0, 0.0)
