"""Reading a TOML table key by key, so that every fault is found and named. Pure.

A fault names the file, the dotted key path, what was found, what was expected and, where a name was
meant, which one. A key that nobody asked for is a fault. Knows nothing of groups: config reads
edgecore.toml with it too.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeGuard, TypeVar

from edgecore.base.errors import ConfigError
from edgecore.deployments.quantities import DURATION_FORM, SIZE_FORM, parse_duration, parse_size

T = TypeVar("T")

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
# What is shown of a value in an error: enough to find it, never a screenful.
_SHOWN: Final = 60
NOT_YET: Final = "is not available yet in this version of edgecore: leave it out"
# The place of a value whose fault was reported already; no reader complains about it again.
MISSING: Final = object()


class FaultyFileError(ConfigError):
    """Several faults of one file. `faults` holds each; the attributes are those of the first."""

    def __init__(self, file: str, faults: tuple[ConfigError, ...]) -> None:
        first = faults[0]
        super().__init__(file, first.key, first.found, first.expected, first.hint)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class Faults:
    """What is wrong in one file, collected while it is read."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[ConfigError] = []

    def add(self, key: str, found: str, expected: str, hint: str = "") -> None:
        """Note one fault."""
        self.found.append(ConfigError(self.file, key, found, expected, hint))

    def not_yet(self, key: str, what: str = "") -> None:
        """Note that something is written which will exist, and does not yet."""
        self.add(key, what or "this", "nothing here", f"{what or key.rpartition('.')[2]} {NOT_YET}")

    def raise_any(self) -> None:
        """Raise what was noted: the ConfigError when it is one, FaultyFileError when there are more."""
        if len(self.found) == 1:
            raise self.found[0]
        if self.found:
            raise FaultyFileError(self.file, tuple(self.found))


class Table:
    """One TOML table. Ask for its keys, then `finish()`: what was not asked for is a fault."""

    def __init__(self, values: dict[str, object], path: str, faults: Faults) -> None:
        self._values = values
        self.path = path
        self.faults = faults
        self._asked: set[str] = set()
        self._missing: list[tuple[str, str]] = []

    def at(self, key: str) -> str:
        """The dotted path of a key of this table."""
        return join(self.path, key)

    def has(self, key: str) -> bool:
        """Whether the key stands here; asking for it makes it a known one."""
        self._asked.add(key)
        return key in self._values

    def raw(self, key: str) -> object:
        """The value as TOML gave it, or MISSING."""
        return self._values[key] if self.has(key) else MISSING

    def need(self, key: str, expected: str) -> bool:
        """Whether the key stands here; noted as a fault at `finish` when it does not."""
        if self.has(key):
            return True
        self._missing.append((key, expected))
        return False

    def text(self, key: str, default: str = "") -> str:
        """A text that is not empty, or the default when the key is absent."""
        return self._value(
            key, default, lambda found: found if isinstance(found, str) and found else None, "a text"
        )

    def flag(self, key: str, *, default: bool) -> bool:
        """A true or false."""
        return self._value(
            key, default, lambda found: found if isinstance(found, bool) else None, "true or false"
        )

    def whole(self, key: str, default: int, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        return self._value(
            key,
            default,
            lambda found: found if is_whole(found) and least <= found <= most else None,
            f"a whole number from {least} to {most}",
        )

    def fraction(self, key: str) -> float | None:
        """A number from 0 to 1, or None when the key is absent."""
        if not self.has(key):
            return None
        return self._value(key, 0.0, as_fraction, "a number from 0 to 1")

    def duration(self, key: str, default: float) -> float:
        """Seconds, above zero."""
        return self._value(key, default, lambda found: _quantity(found, parse_duration), DURATION_FORM)

    def size(self, key: str, default: int) -> int:
        """Bytes, above zero."""
        return self._value(key, default, lambda found: _quantity(found, parse_size), SIZE_FORM)

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts; () when the key is absent."""
        return self._value(key, (), _texts, "a text, or a list of texts that are not empty")

    def items(self, key: str) -> list[object]:
        """A list, whatever is in it; [] when the key is absent."""
        return self._value(key, [], lambda found: found if isinstance(found, list) else None, "a list")

    def pairs(self, key: str) -> dict[str, str]:
        """A table of texts; {} when the key is absent."""
        table = self.table(key)
        if table is None:
            return {}
        pairs = {name: table.text(name) if table.raw(name) != "" else "" for name in table.names()}
        table.finish()
        return pairs

    def names(self) -> tuple[str, ...]:
        """The keys that stand here, in the file's order."""
        return tuple(self._values)

    def table(self, key: str) -> Table | None:
        """The table under the key, or None."""
        values = self._value(key, None, lambda found: found if isinstance(found, dict) else None, "a table")
        return None if values is None else Table(values, self.at(key), self.faults)

    def each_table(self, key: str) -> Iterator[tuple[str, Table]]:
        """The named tables under `[key.NAME]`."""
        outer = self.table(key)
        for name in outer.names() if outer else ():
            inner = outer.table(name) if outer else None
            if inner is not None:
                yield name, inner

    def list_of_tables(self, key: str) -> Iterator[Table]:
        """The tables of `[[key]]`."""
        for index, value in enumerate(self.items(key)):
            path = f"{self.at(key)}[{index}]"
            if isinstance(value, dict):
                yield Table(value, path, self.faults)
            else:
                self.faults.add(path, show(value), "a table")

    def not_yet(self, *keys: str) -> None:
        """Refuse keys that the design knows and this version cannot keep."""
        for key in keys:
            if self.has(key):
                self.faults.not_yet(self.at(key), key)

    def finish(self) -> None:
        """Note the keys that nobody asked for, and the needed ones that are absent."""
        meant = set[str]()
        for key in self._values.keys() - self._asked:
            near = suggest(key, self._asked - self._values.keys()) or suggest(key, self._asked)
            meant.add(near)
            known = ", ".join(sorted(self._asked)) or "no key"
            self.faults.add(self.at(key), "a key that is not known", f"one of {known}", did_you_mean(near))
        for key, expected in self._missing:
            if key not in meant:
                self.faults.add(self.at(key), "nothing", expected)

    def _value(self, key: str, default: T, read: Callable[[object], T | None], expected: str) -> T:
        found = self.raw(key)
        if found is MISSING:
            return default
        value = read(found)
        if value is None:
            self.faults.add(self.at(key), show(found), expected)
            return default
        return value


def parse(text: str, faults: Faults) -> Table:
    """The file's top table. Raises ConfigError when the text is not TOML."""
    try:
        return Table(tomllib.loads(text), "", faults)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(faults.file, "", f"text that is not TOML ({error})", "TOML 1.0") from error


def join(path: str, key: str) -> str:
    """The dotted path of `key` under `path`, quoted where TOML wants it."""
    part = key if _BARE_KEY.fullmatch(key) else f'"{key}"'
    return f"{path}.{part}" if path else part


def show(value: object) -> str:
    """A value as it stands in the file, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "a table" if isinstance(value, dict) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def suggest(word: str, known: Iterable[str]) -> str:
    """The known word that `word` probably was meant to be, or ""."""
    return next(iter(difflib.get_close_matches(word, sorted(known), 1, 0.6)), "")


def did_you_mean(name: str) -> str:
    """The hint for a suggestion, or "" when there is none."""
    return f"Did you mean {name!r}?" if name else ""


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a TOML value is an integer; true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_fraction(value: object) -> float | None:
    """A TOML number from 0 to 1, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0.0 <= value <= 1.0 else None


def _quantity(value: object, parse_text: Callable[[str], T]) -> T | None:
    if not isinstance(value, str):
        return None
    try:
        return parse_text(value) or None
    except ValueError:
        return None


def _texts(value: object) -> tuple[str, ...] | None:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
        return None
    return tuple(items)
