import pytest

from edgecore.lambdas.output import LINE_COST, MAX_LINE, Allowance, Output, level_of


def test_an_allowance_fills_up_with_time_but_not_above_its_burst():
    allowance = Allowance(10, 100, 0)
    assert allowance.take(100, 0)
    assert not allowance.take(1, 0)
    assert allowance.take(10, 1)
    assert not allowance.take(101, 1000)
    assert allowance.take(100, 1000)


def test_lines_are_put_together_from_pieces():
    output = Output(1e6, 1e6, 0)
    assert output.feed(b"one\r\ntw", 0) == ["one"]
    assert output.feed(b"o\n\n\xff\nrest", 0) == ["two", "\N{REPLACEMENT CHARACTER}"]
    assert output.rest() == "rest"
    assert output.rest() == ""


def test_a_long_line_is_cut_and_says_so():
    output = Output(1e6, 1e6, 0)
    assert output.feed(b"x" * (MAX_LINE - 1), 0) == []
    assert output.feed(b"y" * 11 + b"\nz\n", 0) == ["x" * (MAX_LINE - 1) + "y ... (10 bytes cut)", "z"]


@pytest.mark.parametrize("data", [b"x" * 1001, b"\n" * (1001 // LINE_COST + 1)])
def test_too_much_is_a_flood_and_ends_it(data):
    output = Output(10, 1000, 0)
    assert output.feed(data, 0) == []
    assert output.flooding
    assert output.feed(b"more\n", 1e9) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[WARNING]\t2026-01-01T00:00:00.000Z\tid\twatch\tout", ("WARNING", "id watch\tout")),
        ("[NOTICE]\tt\tid\tx", ("INFO", "[NOTICE]\tt\tid\tx")),
        ("plain", ("INFO", "plain")),
    ],
)
def test_the_level_is_in_the_line(line, expected):
    assert level_of(line) == expected
