"""Durations and sizes as people write them: "100ms", "3s", "64MB", "1GiB". Pure.

Used for the group's file and for edgecore.toml alike.
"""

from __future__ import annotations

import re
from typing import Final

DURATION_FORM: Final = 'a duration such as "100ms", "3s", "5m", "1h" or "2d"'
SIZE_FORM: Final = 'a size such as "64KB", "64MB" or "1GiB"'

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
# IEC 80000-13: KB, MB and GB count in thousands, KiB, MiB and GiB in 1024s.
_BYTES: Final = {
    "B": 1,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}
_QUANTITY: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]{1,3})")


def parse_duration(text: str) -> float:
    """Seconds of `text`. Raises ValueError when it is no duration."""
    return _parse(text, _SECONDS, DURATION_FORM)


def parse_size(text: str) -> int:
    """Bytes of `text`. Raises ValueError when it is no size, or not a whole number of bytes."""
    size = _parse(text, _BYTES, SIZE_FORM)
    if size != int(size):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return int(size)


def _parse(text: str, units: dict[str, float] | dict[str, int], form: str) -> float:
    found = _QUANTITY.fullmatch(text)
    if found is None or found.group(2) not in units:
        raise ValueError(f"{text!r} is not {form}")
    return float(found.group(1)) * units[found.group(2)]
