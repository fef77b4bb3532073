from functools import partial

from edgecore.listener.turn import Turn


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
