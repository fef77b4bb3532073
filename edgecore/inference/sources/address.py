"""The text that names a source: `kind:rest?option=value&…`. Pure; opens nothing."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import parse_qsl

from edgecore.base.errors import FrameSourceError


@dataclass(frozen=True, slots=True)
class Address:
    """A parsed source text. `rest` is what stands between the kind and the options."""

    text: str
    scheme: str
    rest: str
    options: dict[str, str] = field(default_factory=dict)

    def only(self, known: Collection[str]) -> None:
        """Raise FrameSourceError for an option that is not known, with the nearest one that is."""
        for name in self.options:
            if name not in known:
                near = get_close_matches(name, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                expected = f"expected {', '.join(sorted(known))}" if known else "expected none"
                raise FrameSourceError(f"source {self.text!r}: found option {name!r}, {expected}{hint}")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """The option as a number from low to high. Raises FrameSourceError when it is none."""
        found = self.options.get(name)
        if found is None:
            return default
        try:
            value = float(found)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise FrameSourceError(
                f"source {self.text!r}: {name} is {found!r}, expected a number from {low:g} to {high:g}"
            )
        return value

    def period(self, every: float) -> float:
        """Seconds between frames: the option `fps`, else `every`."""
        return 1 / self.number("fps", 1 / every, 0.01, 1000)

    def path(self, root: Path) -> Path:
        """`rest` as a path; a relative one starts from root."""
        if not self.rest:
            raise FrameSourceError(f"source {self.text!r}: expected a path after {self.scheme}:")
        return root / self.rest


def parse_address(text: str) -> Address:
    """Split a source text. Raises FrameSourceError when an option is empty or given twice."""
    scheme, _, tail = text.partition(":")
    rest, _, query = tail.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if len(options) < len(pairs) or (query and not pairs):
        raise FrameSourceError(f"source {text!r}: an option is given twice or has no value")
    return Address(text, scheme, rest, options)
