"""Sets of sequence numbers."""

from edgecore.sim.sequences import SequenceSet


def filled(*numbers):
    result = SequenceSet()
    for number in numbers:
        result.add(number)
    return result


def test_an_empty_set_holds_nothing():
    empty = SequenceSet()
    assert len(empty) == 0
    assert 0 not in empty
    assert 1 not in empty


def test_numbers_in_order_leave_no_gap_to_remember():
    numbers = filled(*range(1, 10_001))
    assert (numbers.complete, numbers.beyond, len(numbers)) == (10_000, set(), 10_000)


def test_a_gap_that_closes_is_forgotten():
    numbers = filled(1, 3, 4)
    assert (numbers.complete, numbers.beyond) == (1, {3, 4})
    assert numbers.add(2)
    assert (numbers.complete, numbers.beyond) == (4, set())


def test_a_number_that_comes_twice_is_told():
    numbers = filled(1, 2, 5)
    assert not numbers.add(2)
    assert not numbers.add(5)
    assert len(numbers) == 3


def test_what_another_set_lacks_is_named_in_order():
    assert list(filled(1, 2, 3, 5, 9).missing_from(filled(2, 9))) == [1, 3, 5]
    assert list(filled(1, 2).missing_from(filled(1, 2, 3))) == []
    assert list(filled(7).missing_from(SequenceSet())) == [7]
