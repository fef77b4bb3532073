from __future__ import annotations

import pytest

from edgecore.deployments.quantities import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("100ms", 0.1),
        ("3s", 3),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("3 s", 3),
        ("0s", 0),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MB", 64_000_000), ("64KB", 64_000), ("1GiB", 2**30), ("64MiB", 2**26), ("1.5KB", 1500), ("7B", 7)],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "3", "s", "-3s", "+3s", "3 sec", "1h30m", "3S", "1e3s", "٣s", "3s\n", "9" * 13 + "s"]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "64", "64mb", "64 megabytes", "-1KB", "1TB", "3s"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


def test_half_a_byte_is_no_size():
    with pytest.raises(ValueError, match="whole number of bytes"):
        parse_size("1.5B")
