from functools import partial

from edgecore.listener.turn import QUIET, Turn


class Once:
    def __init__(self, turn=None):
        self.flushed = 0
        self.turn = turn

    def flush(self):
        self.flushed += 1
        if self.turn is not None and self.flushed == 1:
            self.turn.add(self)


def test_all_senders_of_a_turn_are_flushed_by_one_callback():
    due = []
    turn = Turn(due.append)
    first, second = Once(), Once()
    turn.add(first)
    turn.add(second)
    assert len(due) == 1
    due.pop()()
    assert (first.flushed, second.flushed) == (1, 1)


def test_what_comes_while_flushing_waits_for_the_next_turn():
    due = []
    turn = Turn(due.append)
    again = Once(turn)
    turn.add(again)
    due.pop()()
    assert again.flushed == 1
    due.pop()()
    assert again.flushed == 2


def test_those_in_line_go_on_one_in_each_turn():
    due, done = [], []
    turn = Turn(due.append)

    def work(number):
        done.append(number)
        if number < 10:
            turn.in_line(partial(work, number + 10))

    for number in (1, 2, 3):
        turn.in_line(partial(work, number))
    turns = []
    while due:
        assert len(due) == 1
        due.pop()()
        turns.append(len(done))
    assert done == [1, 2, 3, 11, 12, 13]
    assert turns == [1, 2, 3, 4, 5, 6]


def test_what_is_put_off_comes_in_a_turn_of_its_own():
    due, done = [], []
    turn = Turn(due.append)
    turn.later(partial(done.append, 1))
    assert done == []
    due.pop()()
    assert done == [1]


def test_a_read_after_a_quiet_time_is_a_turn_of_its_own():
    due, now = [], [10.0]
    turn = Turn(due.append, lambda: now[0])
    first = Once(turn)
    assert turn.begin()
    turn.add(first)
    assert (first.flushed, due) == (0, [])
    turn.end()
    assert first.flushed == 1
    assert len(due) == 1  # what came while flushing waits for the loop
    due.pop()()
    assert first.flushed == 2

    now[0] += QUIET
    assert turn.begin()
    turn.end()
    assert due == []


def test_reads_that_come_thick_are_gathered():
    due, now = [], [10.0]
    turn = Turn(due.append, lambda: now[0])
    assert turn.begin()
    turn.end()
    receiver = Once()
    for _ in range(5):
        now[0] += QUIET / 2
        assert not turn.begin()
        turn.add(receiver)
    assert len(due) == 1
    now[0] += 1
    assert not turn.begin()  # for somebody waits already
    due.pop()()
    assert receiver.flushed == 5
    assert turn.begin() is False
    now[0] += 1
    assert turn.begin()
    turn.end()


def test_without_a_clock_every_read_is_gathered():
    turn = Turn([].append)
    assert not turn.begin()
