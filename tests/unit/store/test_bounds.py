import pytest

from edgecore.base.errors import RefusedError
from edgecore.store.bounds import QueueBounds, evict, make_room
from edgecore.store.ledger import Ledger


def ledger_of(*sizes):
    ledger = Ledger()
    for identifier, size in enumerate(sizes):
        ledger.add(identifier, size)
    return ledger


def test_room_is_left():
    dropped = {}
    assert make_room(ledger_of(1, 1), QueueBounds(3, 10), "q", 8, dropped) == []
    assert dropped == {}


@pytest.mark.parametrize(
    ("bounds", "size", "gone"), [(QueueBounds(2, 100), 1, [0]), (QueueBounds(9, 25), 20, [0, 1])]
)
def test_the_oldest_give_way(bounds, size, gone):
    dropped = {}
    assert make_room(ledger_of(10, 10), bounds, "q", size, dropped) == gone
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
    assert evict(ledger_of(1, 1), QueueBounds(0, 0), 5, dropped) == [0, 1]
