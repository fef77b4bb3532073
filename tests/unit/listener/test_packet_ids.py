import pytest

from edgecore.listener.packet_ids import MAX_PACKET_ID, PacketIds


class Outstanding:
    """What is taken; counts how often somebody looked."""

    def __init__(self, *taken):
        self.taken, self.looks = set(taken), 0
        self.ids = PacketIds(self.look)

    def look(self):
        self.looks += 1
        return iter(self.taken)

    def next(self):
        packet_id = self.ids.next()
        assert packet_id not in self.taken
        assert 1 <= packet_id <= MAX_PACKET_ID
        self.taken.add(packet_id)
        return packet_id


def test_they_begin_at_one_and_go_up():
    ids = Outstanding()
    assert [ids.next() for _ in range(3)] == [1, 2, 3]


def test_after_the_last_one_comes_the_first():
    ids = Outstanding()
    ids.ids.start_after(MAX_PACKET_ID - 1)
    assert [ids.next() for _ in range(3)] == [MAX_PACKET_ID, 1, 2]


def test_they_go_on_behind_those_of_an_earlier_run():
    ids = Outstanding(500)
    ids.ids.start_after(500)
    assert ids.next() == 501


def test_taken_ones_are_stepped_over_one_by_one_and_in_rows_and_over_the_end():
    ids = Outstanding(2, 4, 5, MAX_PACKET_ID)
    ids.ids.start_after(MAX_PACKET_ID - 1)
    assert [ids.next() for _ in range(4)] == [1, 3, 6, 7]


def test_one_that_was_given_back_comes_again_only_when_all_others_were_given():
    ids = Outstanding()
    ids.next()
    ids.taken.clear()
    assert [ids.next() for _ in range(MAX_PACKET_ID)][-1] == 1


def test_the_last_free_one_is_found_wherever_it_is():
    ids = Outstanding(*range(1, MAX_PACKET_ID + 1))
    ids.taken.discard(777)
    ids.ids.start_after(777)
    assert ids.next() == 777
    with pytest.raises(AssertionError, match="too high"):
        ids.next()


def test_nobody_looks_at_what_is_outstanding_for_each_message():
    ids = Outstanding(1000, 30_000)
    for _ in range(29_998):
        ids.next()
    assert ids.looks == 2


def test_a_run_has_identifiers_in_a_row_and_does_not_go_round():
    taken = set()
    ids = PacketIds(lambda: taken)
    assert ids.next_run(10) == 1
    ids.start_after(MAX_PACKET_ID - 5)
    assert ids.next_run(10) == 1
    taken.update({20, 40})
    ids.start_after(15)
    assert ids.next_run(10) == 21
    assert ids.next() == 31


def test_where_no_row_is_long_enough_there_is_none():
    ids = PacketIds(lambda: set(range(1, MAX_PACKET_ID, 3)))
    assert ids.next_run(5) == 0
    assert ids.next() % 3 != 1
