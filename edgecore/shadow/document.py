"""The algebra of shadow documents, as AWS IoT defines it: merge, metadata, delta, versions. Pure.

A state is {"desired"?: object, "reported"?: object} without empty sections. Nothing here is mutated:
every function gives new values that may share parts with the old ones. Where AWS's behaviour is not
known: an object whose last key was set to null stays, empty, as it does in a JSON merge patch (RFC 7396).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

JsonObject = dict[str, Any]
Patch = Mapping[str, Any]
Stamp = dict[str, int]

SECTIONS: Final = ("desired", "reported")

# AWS quota: "8 levels in desired or reported"; a scalar leaf is no level.
MAX_DEPTH: Final = 8
_ENCODE: Final = msgspec.json.Encoder().encode
# What is walked into. A tuple: `dict | list` in a call makes a union each time.
NESTED: Final = (dict, list)


class Text(msgspec.Struct, frozen=True, gc=False):
    """A document's parts as compact JSON. `size`: bytes of desired and reported, as AWS's limit counts."""

    state: msgspec.Raw
    metadata: msgspec.Raw
    size: int


class Document(msgspec.Struct, frozen=True, gc=False, eq=False):
    """A shadow at a version. `version` 0: it never existed; `deleted`: it does not exist now.

    The version outlives a deletion, so that it strictly grows. AWS forgets it after 48 hours; here it
    is kept for good.
    """

    state: JsonObject = {}
    metadata: JsonObject = {}
    version: int = 0
    deleted: bool = True
    _text: Text | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self._values() == other._values()

    def __hash__(self) -> int:
        return self.version

    def _values(self) -> tuple[JsonObject, JsonObject, int, bool]:
        return self.state, self.metadata, self.version, self.deleted

    def updated(self, patch: Patch | None, now: int) -> Document:
        """The next version, after a request's `state`; None clears both sections. `now`: epoch seconds."""
        if patch is None:
            patch = dict.fromkeys(SECTIONS)
        return Document(
            without_empty(merge(self.state, patch)),
            without_empty(merge_metadata(self.state, self.metadata, patch, now)),
            self.version + 1,
            deleted=False,
        )

    def removed(self) -> Document:
        """The tombstone. A deletion consumes a version, as in AWS: what is created next is two above."""
        return Document(version=self.version + 1)

    def delta(self) -> JsonObject:
        """What desired has and reported lacks or has otherwise."""
        return delta(self.state.get("desired", {}), self.state.get("reported", {}))

    def size(self) -> int:
        """Bytes of desired and reported as compact JSON: what AWS's limit speaks of."""
        return sum(len(_ENCODE(section)) for section in self.state.values())

    def text(self) -> Text:
        """Its parts as JSON, encoded once: each update speaks of two documents and stores one of them.

        A third, at most, of what the document itself takes in memory.
        """
        text = self._text
        if text is None:
            sections = {name: msgspec.Raw(_ENCODE(section)) for name, section in self.state.items()}
            size = sum(map(len, sections.values()))
            text = Text(msgspec.Raw(_ENCODE(sections)), msgspec.Raw(_ENCODE(self.metadata)), size)
            msgspec.structs.force_setattr(self, "_text", text)
        return text


NOTHING: Final = Document()


def merge(old: object, patch: Patch) -> JsonObject:
    """`old` with the patch laid over it: objects recurse, null removes, all else replaces."""
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def merge_metadata(old: object, metadata: object, patch: Patch, now: int) -> JsonObject:
    """The metadata of `merge(old, patch)`: what the patch touches is stamped, also if it is equal."""
    return _merge_stamps(old, metadata, patch, {"timestamp": now})


def _merge_stamps(old: object, metadata: object, patch: Patch, stamp: Stamp) -> JsonObject:
    before = old if isinstance(old, dict) else {}
    merged = dict(metadata) if isinstance(old, dict) and isinstance(metadata, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge_stamps(before.get(key), merged.get(key), value, stamp)
        else:
            merged[key] = _stamps(value, stamp) if isinstance(value, list) else stamp
    return merged


def stamps(value: object, now: int) -> Any:  # noqa: ANN401  as deep as the value
    """A timestamp for each scalar and each element of an array, nested like the value."""
    return _stamps(value, {"timestamp": now})


def _stamps(value: object, stamp: Stamp) -> Any:  # noqa: ANN401  as deep as the value
    """The stamp is the same object everywhere: nothing is mutated, and a document has hundreds."""
    if isinstance(value, dict):
        return {
            key: _stamps(item, stamp) if isinstance(item, NESTED) else stamp for key, item in value.items()
        }
    if isinstance(value, list):
        return [_stamps(item, stamp) for item in value]
    return stamp


def without_empty(sections: JsonObject) -> JsonObject:
    """A section left empty disappears from the document."""
    return {name: sections[name] for name in SECTIONS if sections.get(name)}


def delta(desired: JsonObject, reported: JsonObject) -> JsonObject:
    """The part of desired that reported lacks or has otherwise; empty when it is covered."""
    difference: JsonObject = {}
    for key, wanted in desired.items():
        if key not in reported:
            difference[key] = wanted
            continue
        found = reported[key]
        if isinstance(wanted, dict) and isinstance(found, dict):
            inner = delta(wanted, found)
            if inner:
                difference[key] = inner
        elif not same(wanted, found):
            difference[key] = wanted
    return difference


def pick(metadata: JsonObject, shape: JsonObject) -> JsonObject:
    """The metadata of the keys that `shape` (a delta) holds."""
    return {
        key: pick(metadata[key], value) if isinstance(value, dict) else metadata[key]
        for key, value in shape.items()
    }


def same(one: object, other: object) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, true is never 1."""
    if one is other:
        return True
    # Python's own equality is quick and wrong only where it takes true for 1.
    if one != other:
        return False
    if not isinstance(one, NESTED):
        return isinstance(one, bool) is isinstance(other, bool)
    # Alike to the byte, as most are; the rest may differ in the order of keys, or in what true is.
    if _ENCODE(one) == _ENCODE(other):
        return True
    if isinstance(one, dict):
        assert isinstance(other, dict)  # equal to one
        return all(same(one[key], other[key]) for key in one)
    assert isinstance(other, list)
    return all(map(same, one, other))


def deeper_than(value: object, levels: int) -> bool:
    """Whether `value` nests more than `levels` objects; a scalar leaf is no level.

    An array counts only inside an array.

    Recurses no deeper than `levels` allows: a peer may send a thousand brackets.
    """
    if isinstance(value, dict):
        if levels < 1:
            return True
        for item in value.values():  # noqa: SIM110  a generator costs as much as the rest of a small request
            if isinstance(item, NESTED) and deeper_than(item, levels - 1):
                return True
        return False
    if isinstance(value, list):
        return levels < 0 or any(deeper_than(item, levels - isinstance(item, list)) for item in value)
    return False


def null_in_array(value: object) -> bool:
    """Whether an array in `value` holds a null, at any depth: AWS refuses it."""
    if isinstance(value, dict):
        for item in value.values():  # noqa: SIM110  see deeper_than
            if isinstance(item, NESTED) and null_in_array(item):
                return True
        return False
    if isinstance(value, list):
        return any(item is None or _holds_null(item) for item in value)
    return False


def _holds_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(item is None or _holds_null(item) for item in value.values())
    return null_in_array(value)
