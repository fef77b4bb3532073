"""What a shadow update does to a shadow document: merge, metadata, difference, limits. Pure.

Written from AWS's documentation and from captured traffic, and on purpose not from the core's own
shadow room. Numbers and texts are AWS's (Device Shadow service documents, error messages, quotas).
"""

from __future__ import annotations

import json
from typing import Any, Final

SECTIONS: Final = ("desired", "reported")
# Service quotas: "maximum depth of JSON device state documents" and "maximum size of a JSON state document".
MAX_DEPTH: Final = 8
MAX_DOCUMENT_BYTES: Final = 8 * 1024

Json = Any  # JSON has no narrower type that a checker could hold
Document = dict[str, Json]


def merge(current: Document, patch: Document) -> Document:
    """`current` with `patch` applied: objects recursively, null removes, anything else replaces."""
    merged = dict(current)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def stamp(value: Json, now: int) -> Json:
    """The metadata of a value: `{"timestamp": now}` for each leaf and each element of an array."""
    if isinstance(value, dict):
        return {key: stamp(below, now) for key, below in value.items()}
    if isinstance(value, list):
        return [stamp(below, now) for below in value]
    return {"timestamp": now}


def merge_metadata(metadata: Document, current: Document, patch: Document, now: int) -> Document:
    """The metadata after `patch` was applied to `current`: what it touches is stamped anew."""
    merged = dict(metadata)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = current.get(key)
            # Metadata of a scalar is an object too, {"timestamp"}, and must not be merged into.
            known = merged.get(key, {}) if isinstance(below, dict) else {}
            merged[key] = merge_metadata(known, below if isinstance(below, dict) else {}, value, now)
        else:
            merged[key] = stamp(value, now)
    return merged


def same(first: Json, second: Json) -> bool:
    """Whether two JSON values are equal; true is not 1, though Python thinks so."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def difference(desired: Document, reported: Document, metadata: Document) -> tuple[Document, Document]:
    """What `desired` has that `reported` has not or has otherwise, and the metadata of that."""
    delta: Document = {}
    delta_metadata: Document = {}
    for key, want in desired.items():
        have = reported.get(key)
        if isinstance(want, dict) and isinstance(have, dict):
            below, below_metadata = difference(want, have, metadata.get(key, {}))
            if below:
                delta[key], delta_metadata[key] = below, below_metadata
        elif key not in reported or not same(want, have):
            delta[key] = want
            if key in metadata:
                delta_metadata[key] = metadata[key]
    return delta, delta_metadata


def depth(value: Json) -> int:
    """Levels of objects below a section; its scalars are no level of their own."""
    below = 0
    if isinstance(value, dict):
        below = 1 + max((depth(one) for one in value.values()), default=0)
    elif isinstance(value, list):
        below = max((depth(one) for one in value), default=0)
    return below


def holds_null(value: Json) -> bool:
    """Whether some array inside `value` holds null, which cannot be merged and is refused."""
    if isinstance(value, dict):
        return any(holds_null(one) for one in value.values())
    if isinstance(value, list):
        return any(one is None or holds_null(one) for one in value)
    return False


def size(state: Document) -> int:
    """What counts against the size limit: desired and reported as compact JSON, without metadata."""
    return sum(len(encode(state[section])) for section in SECTIONS if section in state)


def encode(value: Json) -> bytes:
    """Compact JSON as AWS writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
