"""Unbroken runs of numbers, so that many rows are one statement. Pure.

sqlite3 gives the interpreter's lock away for each statement, and may wait for it until the loop sleeps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """(first, last) of each unbroken run, by rising numbers; one that is there twice counts once."""
    ordered = sorted(numbers)
    if not ordered:
        return
    first = last = ordered[0]
    for number in ordered:
        if number > last + 1:
            yield first, last
            first = number
        last = number
    yield first, last


def spans(rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """(queue, first id, last id) of each unbroken run of the ids of a queue, from (queue, id)."""
    for queue, group in groupby(sorted(rows), itemgetter(0)):
        for first, last in runs(identifier for _, identifier in group):
            yield queue, first, last
