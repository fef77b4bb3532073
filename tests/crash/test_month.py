"""The simulated month, a thousandth of it; all of it: `python -m tests.crash month`."""

from tests.crash import month


async def test_a_month_offline_ends_exact_with_its_drops_explained(tmp_path):
    found = await month.play(tmp_path, scale=1000)
    assert (found["unexplained"], found["disordered"]) == (0, 0)
    assert (found["messages"], found["arrived"], found["dropped"]) == (7592, 1000, 6592)


def test_the_kinds_are_as_many_as_they_should_be():
    assert [month.kind_of(number) for number in (0, 1, 89, 90, 99, 100)] == [
        "alarm",
        "plain",
        "plain",
        "bulk",
        "bulk",
        "alarm",
    ]
