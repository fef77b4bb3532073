"""Shadows in words: what `edgecore shadow list` and `watch` print. Pure but for the printing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edgecore.base.shown import one_line
from edgecore.cli.output import console, emit, say
from edgecore.shadow.document import SECTIONS, delta
from edgecore.shadow.topics import ShadowId

Document = Mapping[str, Any]
Path = tuple[str, ...]

ABSENT: Final = object()


def print_list(shadows: Sequence[Document]) -> None:
    """A line for each shadow."""
    if not shadows:
        say("no shadows yet: a device's first update makes its own, or `edgecore shadow update`")
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("thing", "shadow", "version", "bytes", "cloud"):
        table.add_column(heading)
    for each in shadows:
        name = each["name"] or "(classic)"
        cells = (each["thing"], name, str(each["version"]), str(each["bytes"]), each["cloud"])
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    console().print(table)


def print_change(shadow: ShadowId, documents: Document | None) -> None:
    """What a change did, value by value, and what the device has still to do."""
    for line in change_lines(shadow, documents):
        emit(one_line(line))


def change_lines(shadow: ShadowId, documents: Document | None) -> Iterator[str]:
    """The lines of a change: `+` a value came, `-` one went, `~` one is another now."""
    if documents is None:
        yield f"{shadow} deleted"
        return
    before, after = documents["previous"], documents["current"]
    moment = datetime.fromtimestamp(documents["timestamp"], UTC)
    yield f"{shadow} version {after['version']}, {moment:%Y-%m-%d %H:%M:%S} UTC"
    yield from differences(before["state"] if before else {}, after["state"])
    left = delta(*(after["state"].get(name, {}) for name in SECTIONS))
    if left:
        yield f"  delta {_value(left)}"


def differences(before: Document, after: Document) -> Iterator[str]:
    """A line for each value that differs, in the order of the paths."""
    old, new = dict(_leaves((), before)), dict(_leaves((), after))
    for path in sorted(old.keys() | new.keys()):
        was, now = old.get(path, ABSENT), new.get(path, ABSENT)
        if was is ABSENT:
            yield f"  + {_name(path)} {_value(now)}"
        elif now is ABSENT:
            yield f"  - {_name(path)} {_value(was)}"
        elif _value(was) != _value(now):
            yield f"  ~ {_name(path)} {_value(was)} -> {_value(now)}"


def _leaves(path: Path, value: object) -> Iterator[tuple[Path, object]]:
    """Every value that is no object, and every empty object, by its path. An array is a value (AWS)."""
    if isinstance(value, dict) and (value or not path):
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    else:
        yield path, value


def _name(path: Path) -> str:
    """As `desired.lamp.colour`; a key that would be misread is quoted."""
    return ".".join(key if key and not set(key) & set('. "') else _value(key) for key in path)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
