import pytest

from edgecore.base.backoff import Backoff
from edgecore.daemon.lifecycle import NEVER, TRANSITIONS, Event, RestartPolicy, State, after, judge

POLICY = RestartPolicy(crashes=3, window=60.0, backoff=Backoff(initial=1.0, maximum=4.0, floor=1.0))


def no_jitter():
    return 0.0


def test_every_state_has_a_row():
    assert set(TRANSITIONS) == set(State)


def test_every_state_can_be_stopped():
    assert all(after(state, Event.STOP) is State.STOPPED for state in State)


def test_every_state_is_reached_from_the_first():
    reached = {State.WAITING}
    while True:
        more = reached | {to for state in reached for to in TRANSITIONS[state].values()}
        if more == reached:
            break
        reached = more
    assert reached == set(State)


@pytest.mark.parametrize(
    ("state", "event", "then"),
    [
        (State.WAITING, Event.START, State.STARTING),
        (State.STARTING, Event.READY, State.RUNNING),
        (State.STARTING, Event.CRASH, State.BACKING_OFF),
        (State.RUNNING, Event.CRASH, State.BACKING_OFF),
        (State.RUNNING, Event.GIVE_UP, State.BROKEN),
        (State.BACKING_OFF, Event.START, State.STARTING),
        (State.BROKEN, Event.START, State.STARTING),
        (State.STOPPED, Event.START, State.STARTING),
        (State.STOPPED, Event.GIVE_UP, State.BROKEN),
    ],
)
def test_a_row_of_the_table(state, event, then):
    assert after(state, event) is then


@pytest.mark.parametrize(
    ("state", "event"),
    [(State.WAITING, Event.READY), (State.RUNNING, Event.START), (State.BROKEN, Event.READY)],
)
def test_what_can_never_happen_is_a_bug(state, event):
    with pytest.raises(KeyError):
        after(state, event)


def test_delays_grow_with_each_crash_in_the_window():
    crashes = ()
    delays = []
    for now in (0.0, 1.0, 2.0):
        verdict = judge(POLICY, crashes, now, no_jitter)
        crashes = verdict.crashes
        delays.append(verdict.delay)
    assert delays == [1.0, 2.0, 4.0]


def test_one_crash_too_many_breaks_the_unit():
    assert judge(POLICY, (0.0, 1.0, 2.0), 3.0, no_jitter).delay is None


def test_old_crashes_are_forgotten():
    verdict = judge(POLICY, (0.0, 1.0, 2.0), 61.5, no_jitter)
    assert verdict.crashes == (2.0, 61.5)
    assert verdict.delay == 2.0


def test_a_crash_exactly_a_window_ago_no_longer_counts():
    assert judge(POLICY, (0.0,), 60.0, no_jitter).crashes == (60.0,)


def test_jitter_shortens_the_delay():
    policy = RestartPolicy(crashes=3, window=60.0, backoff=Backoff(initial=2.0, floor=0.5))
    assert judge(policy, (), 0.0, lambda: 0.5).delay == 1.5


def test_never_breaks_at_the_first_crash():
    assert judge(NEVER, (), 0.0, no_jitter).delay is None
