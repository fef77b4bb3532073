"""Unbroken runs of numbers."""

import pytest

from edgecore.store.spans import runs, spans


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ((), []),
        ((7,), [(7, 7)]),
        ((3, 1, 2), [(1, 3)]),
        ((9, 1, 2, 4, 5, 7), [(1, 2), (4, 5), (7, 7), (9, 9)]),
    ],
)
def test_runs_of_numbers(numbers, found):
    assert list(runs(numbers)) == found


def test_unbroken_runs_of_ids_are_one_deletion():
    rows = [(2, 5), (1, 9), (1, 7), (2, 6), (1, 8), (1, 11), (1, 8), (2, 8)]
    assert list(spans(rows)) == [(1, 7, 9), (1, 11, 11), (2, 5, 6), (2, 8, 8)]
    assert list(spans([])) == []
    assert list(spans([(1, 0)])) == [(1, 0, 0)]
