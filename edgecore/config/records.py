"""Turns one section of edgecore.toml into one room's Settings, whatever its fields are. Pure.

reference.toml is the schema: it holds every key with its default, and the form of the default (a count,
a size, a duration) is the form that the key takes. A test holds it against the code.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeVar

from edgecore.base.errors import ConfigError
from edgecore.deployments.quantities import DURATION_FORM, SIZE_FORM, parse_duration, parse_size
from edgecore.deployments.reading import Table, did_you_mean, is_whole, show, suggest

T = TypeVar("T")

# Beyond this a count is a slip; SQLite and struct take 64-bit numbers.
_MOST: Final = 2**53
# A bound of 0 lets nothing through and is a slip; here 0 means "none of it", and is meant.
_ZERO_TOO: Final = frozenset({"max_session_expiry", "retries", "sys_interval", "topic_aliases"})


def read_record(
    cls: type[T], table: Table | None, reference: Mapping[str, Any], fixed: Mapping[str, object] | None = None
) -> T:
    """The record with what the table says, and the defaults for the rest; faults are noted in the table.

    `reference`: the section of reference.toml. Its keys are the ones that may be set. `fixed`: fields
    whose values come from elsewhere.
    """
    fixed = fixed or {}
    if table is None:
        return cls(**fixed)
    hints = typing.get_type_hints(cls)
    given: dict[str, object] = dict(fixed)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # every Settings is a dataclass
        if field.name not in reference or not table.has(field.name):
            continue
        example = reference[field.name]
        inner = table.table(field.name) if isinstance(example, dict) else None
        if inner is not None:
            # A part of the record that is a record: what its table leaves out is as in this room's default.
            given[field.name] = read_record(hints[field.name], inner, example, _values(field.default))
        elif not isinstance(example, dict):
            value = _read(hints[field.name], table, field.name, example)
            given.update({} if value is None else {field.name: value})
    for name in reference:
        table.has(name)  # also the keys that are not set are known, for the suggestions
    table.finish()
    try:
        return cls(**given)
    except ConfigError as error:  # a record may check its own bounds; it does not know the file
        table.faults.add(error.key, error.found, error.expected, error.hint)
        return cls(**fixed)


def form_of(value: object) -> str:
    """What a reference value is an example of: "size", "duration" or "plain"."""
    for form, parse in (("size", parse_size), ("duration", parse_duration)):
        try:
            parse(value if isinstance(value, str) else "")
        except ValueError:
            continue
        return form
    return "plain"


def _values(record: Any) -> dict[str, object]:  # noqa: ANN401  any room's record
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _read(hint: Any, table: Table, key: str, example: object) -> object | None:  # noqa: ANN401  any field's type
    """The value of a key, or None when a fault was noted."""
    form = form_of(example)
    if form != "plain":
        return _quantity(table, key, form, whole=hint is int)
    found = table.raw(key)
    value, expected, suggestion = _plain(hint, found, key, example)
    if value is None:
        table.faults.add(table.at(key), show(found), expected, suggestion)
    return value


def _quantity(table: Table, key: str, form: str, *, whole: bool) -> float | int | None:
    """A size in bytes or a duration in seconds, above zero but for some; `whole`: in whole seconds."""
    found = table.raw(key)
    text = found if isinstance(found, str) else ""
    try:
        value: float | int = parse_size(text) if form == "size" else parse_duration(text)
    except ValueError:
        value = -1
    if (value > 0 or (value == 0 and key in _ZERO_TOO)) and (not whole or value == int(value)):
        return int(value) if whole else value
    expected = SIZE_FORM if form == "size" else DURATION_FORM
    table.faults.add(table.at(key), show(found), f"{expected}, in whole seconds" if value > 0 else expected)
    return None


def _plain(hint: Any, found: object, key: str, example: object) -> tuple[object | None, str, str]:  # noqa: ANN401  any field's type
    """(value or None, what was expected, a hint)."""
    choices = _choices(hint)
    if choices:
        good = isinstance(found, str) and found in choices
        near = suggest(found, choices) if isinstance(found, str) else ""
        return found if good else None, f"one of {', '.join(choices)}", did_you_mean(near)
    if isinstance(example, list):
        return _texts(found), "a list of texts", ""
    if isinstance(example, bool):
        return found if isinstance(found, bool) else None, "true or false", ""
    if isinstance(example, int):
        least, most = _range(key)
        good = is_whole(found) and least <= found <= most
        return found if good else None, f"a whole number from {least} to {most}", ""
    return found if isinstance(found, str) else None, "a text", ""


def _texts(found: object) -> tuple[str, ...] | None:
    """The texts of a list that holds nothing else."""
    if not isinstance(found, list):
        return None
    texts = tuple(each for each in found if isinstance(each, str))
    return texts if len(texts) == len(found) else None


def _range(key: str) -> tuple[int, int]:
    if key == "port" or key.endswith("_port"):
        return 0, 65_535
    return 0 if key in _ZERO_TOO else 1, _MOST


def _choices(hint: Any) -> tuple[str, ...]:  # noqa: ANN401  any field's type
    """The words of a Literal, also of an optional one."""
    if typing.get_origin(hint) is Literal:
        return tuple(str(choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return tuple(choice for part in typing.get_args(hint) for choice in _choices(part))
    return ()
