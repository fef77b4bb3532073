import pytest

from edgecore.base.errors import RefusedError
from edgecore.store.bounds import Lanes, QueueBounds, evict, make_room


def ledger_of(*sizes):
    lanes = Lanes(1)
    for identifier, size in enumerate(sizes):
        lanes.add(0, identifier, size)
    return lanes


def lanes_of(*lanes):
    """Records of one byte, by the lane of each, with the lane for a tag."""
    made = Lanes(10)
    for identifier, lane in enumerate(lanes):
        made.add(lane, identifier, 1, tag=lane)
    return made


def test_room_is_left():
    dropped = {}
    assert make_room(ledger_of(1, 1), QueueBounds(3, 10), "q", 8, dropped) == ([], True)
    assert dropped == {}


@pytest.mark.parametrize(
    ("bounds", "size", "gone"), [(QueueBounds(2, 100), 1, [0]), (QueueBounds(9, 25), 20, [0, 1])]
)
def test_the_oldest_give_way(bounds, size, gone):
    dropped = {}
    assert make_room(ledger_of(10, 10), bounds, "q", size, dropped) == ([(0, one) for one in gone], True)
    assert dropped == {"overflow": len(gone)}


def test_refuse():
    dropped = {}
    with pytest.raises(RefusedError, match="queue q is full: 2 records, 20 bytes"):
        make_room(ledger_of(10, 10), QueueBounds(2, 100, "refuse"), "q", 1, dropped)
    assert dropped == {"refused": 1}


def test_too_large():
    dropped = {}
    with pytest.raises(RefusedError, match="above its bound"):
        make_room(ledger_of(), QueueBounds(2, 100), "q", 101, dropped)
    assert dropped == {"too-large": 1}


def test_a_bound_of_none_evicts_all_and_ends():
    dropped = {}
    assert evict(ledger_of(1, 1), QueueBounds(0, 0), 5, dropped) == [(0, 0), (0, 1)]


def test_the_oldest_of_the_lowest_lane_gives_way():
    lanes, dropped = lanes_of(7, 2, 2, 7), {}
    assert make_room(lanes, QueueBounds(4, 99), "q", 1, dropped, lane=2) == ([(2, 1)], True)
    assert (lanes.count, lanes.bytes, lanes.held(2), lanes.held(7)) == (3, 3, 1, 2)


def test_what_is_worth_less_than_all_that_is_there_gives_way_itself():
    lanes, dropped = lanes_of(7, 7), {}
    assert make_room(lanes, QueueBounds(2, 99), "q", 1, dropped, lane=6) == ([], False)
    assert (lanes.count, dropped) == (2, {"overflow": 1})


def test_what_is_kept_is_spared_while_another_can_go():
    lanes, dropped = lanes_of(2, 2, 7), {}
    bounds = QueueBounds(3, 99)
    assert make_room(lanes, bounds, "q", 1, dropped, 9, kept=lambda one: one == 0) == ([(2, 1)], True)
    lanes.add(9, 9, 1)
    assert make_room(lanes, bounds, "q", 1, dropped, 9, kept=lambda one: one != 2) == ([(7, 2)], True)
    lanes.add(9, 10, 1)
    assert make_room(lanes, bounds, "q", 1, dropped, 9, kept=lambda _one: True) == ([(2, 0)], True)


def test_a_queue_of_one_lane_tells_by_its_count_what_it_may_hold():
    assert (ledger_of(1, 1).held(5), ledger_of().held(5)) == (2, 0)


def test_what_is_in_no_lane():
    lanes = lanes_of(1)
    assert 0 in lanes
    assert 5 not in lanes
    assert lanes.remove(5) is None
    assert evict(lanes_of(), QueueBounds(0, 0), 5, {}) == []


def test_nothing_above_the_new_record_gives_way_to_it():
    lanes, dropped = lanes_of(1, 7), {}
    assert make_room(lanes, QueueBounds(9, 2), "q", 2, dropped, lane=4) == ([(1, 0)], False)
    assert (lanes.count, dropped) == (1, {"overflow": 2})
