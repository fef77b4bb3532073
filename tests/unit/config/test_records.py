from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from edgecore.base.errors import ConfigError
from edgecore.config.records import form_of, read_record
from edgecore.deployments.reading import Faults, parse


@dataclass(frozen=True)
class Inner:
    low: float = 1.0
    high: float = 9.0


@dataclass(frozen=True)
class Settings:
    hidden: str = "as it is"
    words: str = ""
    level: Literal["low", "high"] | None = "low"
    flag: bool = False
    count: int = 3
    retries: int = 2
    port: int = 80
    size: int = 1000
    wait: float = 2.0
    whole_wait: int = 60
    wave: Inner = Inner(2.0, 20.0)
    pages: tuple[str, ...] = ()

    def __post_init__(self):
        if self.count == 13:
            raise ConfigError("another.toml", "s.count", "13", "luck", "Try 12")


REFERENCE = {
    "words": "",
    "level": "low",
    "flag": False,
    "count": 3,
    "retries": 2,
    "port": 80,
    "size": "1KB",
    "wait": "2s",
    "whole_wait": "1m",
    "wave": {"low": "2s", "high": "20s"},
    "pages": [],
}


def read(text, fixed=None):
    top = parse(f"[s]\n{text}", Faults("f.toml"))
    record = read_record(Settings, top.table("s"), REFERENCE, fixed)
    return record, "\n".join(map(str, top.faults.found))


def test_nothing_said_is_the_default():
    assert read("") == (Settings(), "")
    assert read_record(Settings, None, REFERENCE) == Settings()
    assert read_record(Settings, None, REFERENCE, {"hidden": "h"}) == Settings(hidden="h")


def test_everything_said():
    text = (
        'words = ""\nlevel = "high"\nflag = true\ncount = 5\nretries = 0\nport = 0\nsize = "1KiB"\n'
        'wait = "100ms"\nwhole_wait = "2m"\npages = ["a", "b"]\n[s.wave]\nhigh = "30s"'
    )
    record, faults = read(text, {"hidden": "h"})
    assert faults == ""
    assert record == Settings(
        "h", "", "high", True, 5, 0, 0, 1024, pytest.approx(0.1), 120, Inner(2.0, 30.0), ("a", "b")
    )
    assert isinstance(record.whole_wait, int)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("words = 3", "f.toml: s.words: found 3, expected a text"),
        ('level = "hihg"', "s.level: found 'hihg', expected one of low, high. Did you mean 'high'?"),
        ("level = 3", "s.level: found 3"),
        ("flag = 1", "s.flag: found 1, expected true or false"),
        ("count = 0", "s.count: found 0, expected a whole number from 1"),
        ("count = true", "s.count: found true"),
        ('count = "5"', "s.count: found '5'"),
        ("retries = -1", "s.retries: found -1"),
        ("port = 65536", "s.port: found 65536, expected a whole number from 0 to 65535"),
        ("size = 1000", "s.size: found 1000, expected a size"),
        ('size = "0B"', "s.size: found '0B', expected a size"),
        ('size = "1s"', "s.size"),
        ("wait = 2", "s.wait: found 2, expected a duration"),
        ('wait = "0s"', "s.wait"),
        ('whole_wait = "1.5s"', "s.whole_wait: found '1.5s', expected a duration"),
        ('pages = "a"', "s.pages: found 'a', expected a list of texts"),
        ('pages = ["a", 3]', "expected a list of texts"),
        ("wave = 3", "s.wave: found 3, expected a table"),
        ('wave = { low = "x" }', "s.wave.low: found 'x', expected a duration"),
        ('wave = { lwo = "1s" }', "Did you mean 'low'?"),
        ("cuont = 3", "s.cuont: found a key that is not known"),
        ('hidden = "h"', "s.hidden: found a key that is not known"),
        ("count = 13", "f.toml: s.count: found 13, expected luck. Try 12"),
    ],
)
def test_what_is_wrong(text, says):
    record, faults = read(text)
    assert says in faults
    assert record.count == 3


def test_forms():
    assert [form_of(value) for value in ("1KB", "1s", "x", 3, True, [])] == [
        "size",
        "duration",
        *["plain"] * 4,
    ]
