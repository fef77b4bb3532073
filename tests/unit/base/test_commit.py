from edgecore.base.commit import Commit, when_all_done


def test_callbacks_run_once_when_resolved_and_at_once_afterwards():
    commit = Commit()
    seen = []
    commit.when_done(seen.append)
    assert seen == []
    commit.resolve()
    commit.resolve(ValueError("late"))
    commit.when_done(seen.append)
    assert seen == [None, None]
    assert commit.error is None


def test_all_done_waits_for_every_one_and_keeps_the_first_error():
    first, second = Commit(), Commit()
    seen = []
    when_all_done([first, second], seen.append)
    error = ValueError("disk full")
    second.resolve(error)
    assert seen == []
    first.resolve()
    assert seen == [error]


def test_nothing_to_wait_for_is_done_at_once():
    seen = []
    when_all_done([], seen.append)
    assert seen == [None]
