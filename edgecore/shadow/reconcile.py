"""Three-way merge of a shadow against the state that both sides last had in common. Pure.

A state is {"desired"?, "reported"?}, or None where the shadow does not exist. Conflict: the cloud wins
desired, the device wins reported; a deletion loses against a change of the other side. Laws, held by
tests/properties/test_shadow_reconcile.py:

    reconcile(b, x, x) = x        reconcile(b, b, t) = t        reconcile(b, o, b) = o
    merge(a, difference(a, b)) = b        difference(a, a) = {}

so that once each side has taken the result, another round changes nothing. One way, the leading side is
laid over the other: what only the other has stays, what the leader has removed since goes.

    overlay(b, l, overlay(b, l, f)) = overlay(b, l, f)        difference(overlay(b, l, f), l) removes only
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from edgecore.shadow.document import SECTIONS, JsonObject, merge, same, without_empty

State = JsonObject | None
Winner = Literal["ours", "theirs"]

WINNERS: Final[dict[str, Winner]] = {"desired": "theirs", "reported": "ours"}
MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Merged:
    """What both sides shall have, and how many values were in conflict."""

    state: State
    conflicts: int = 0


def reconcile(base: State, ours: State, theirs: State) -> Merged:
    """Merge our state and the cloud's, given the last one in common (None: never any, or deleted)."""
    if ours is None or theirs is None:
        return _with_one_missing(base, ours, theirs)
    tally = _Tally()
    merged = {
        name: _merge(
            (base or {}).get(name, {}), ours.get(name, {}), theirs.get(name, {}), WINNERS[name], tally
        )
        for name in SECTIONS
    }
    return Merged(without_empty(merged), tally.conflicts)


def _with_one_missing(base: State, ours: State, theirs: State) -> Merged:
    survivor = ours if theirs is None else theirs
    if survivor is None or base is None:
        return Merged(survivor)  # gone on both sides, or new on one
    if same(survivor, base):
        return Merged(None)  # unchanged since: the other side's deletion stands
    return Merged(survivor, conflicts=1)


def overlay(base: State, leader: State, follower: State) -> State:
    """The follower's state after the leader's was laid over it. `base`: the leader's, when last in step.

    The leader's deletion deletes whatever the follower has; a leader that never existed changes nothing.
    """
    if leader is None:
        return follower if base is None else None
    return without_empty(merge(merge(follower, _removed(base or {}, leader)), leader))


def _removed(base: JsonObject, leader: JsonObject) -> JsonObject:
    """The patch that removes what the leader had and has no more."""
    patch: JsonObject = {}
    for key, value in base.items():
        if key not in leader:
            patch[key] = None
        elif isinstance(value, dict) and isinstance(leader[key], dict):
            inner = _removed(value, leader[key])
            if inner:
                patch[key] = inner
    return patch


def blend(base: State, landed: JsonObject, theirs: JsonObject) -> JsonObject:
    """The ancestor of `theirs`, when it is not known whether it is `base` or, after our update, `landed`.

    Where they have what our update would have brought, it is taken to be ours and not a change of theirs.
    """
    return _blend_objects(base or {}, landed, theirs)


def _blend_objects(base: JsonObject, landed: JsonObject, theirs: JsonObject) -> JsonObject:
    blended: JsonObject = {}
    for key in [*base, *(key for key in landed if key not in base)]:
        value = _blend(base.get(key, MISSING), landed.get(key, MISSING), theirs.get(key, MISSING))
        if value is not MISSING:
            blended[key] = value
    return blended


def _blend(base: Any, landed: Any, theirs: Any) -> Any:  # noqa: ANN401  any JSON
    if _equal(landed, theirs):
        return landed
    if isinstance(landed, dict) and isinstance(theirs, dict):
        return _blend_objects(base if isinstance(base, dict) else {}, landed, theirs)
    return base


class _Tally:
    """Counts what had two winners."""

    __slots__ = ("conflicts",)

    def __init__(self) -> None:
        self.conflicts = 0


def _merge(base: Any, ours: Any, theirs: Any, winner: Winner, tally: _Tally) -> Any:  # noqa: ANN401  any JSON
    # Python is asked first, as that costs no call: what it takes for different is.
    if (base == theirs and same(base, theirs)) or (ours == theirs and same(ours, theirs)):
        return ours
    if base == ours and same(base, ours):
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return _merge_objects(base if isinstance(base, dict) else {}, ours, theirs, winner, tally)
    tally.conflicts += 1
    return ours if winner == "ours" else theirs


def _merge_objects(
    base: JsonObject, ours: JsonObject, theirs: JsonObject, winner: Winner, tally: _Tally
) -> JsonObject:
    merged: JsonObject = {}
    for key in theirs | ours:
        old, one, other = base.get(key, MISSING), ours.get(key, MISSING), theirs.get(key, MISSING)
        kind = type(one)
        # Most leaves are texts and whole numbers, which need no care to be compared.
        if (kind is int or kind is str) and type(other) is kind and type(old) is kind:
            value = one
            if one == old:
                value = other
            elif old != other != one:
                tally.conflicts += 1
                value = one if winner == "ours" else other
        else:
            value = _merge(old, one, other, winner, tally)
        if value is not MISSING:
            merged[key] = value
    return merged


def _equal(one: object, other: object) -> bool:
    return one is other or (one is not MISSING and other is not MISSING and same(one, other))


def difference(old: JsonObject, new: JsonObject) -> JsonObject:
    """The smallest patch that makes `old` into `new` when it is merged; {} when they are the same."""
    patch: JsonObject = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key, MISSING)
        if _equal(before, value):
            continue
        both = isinstance(before, dict) and isinstance(value, dict)
        patch[key] = difference(before, value) if both else value
    return patch
