"""Cases of the three-way merge; its laws are in tests/properties/test_shadow_reconcile.py."""

import pytest

from edgecore.shadow.reconcile import Merged, blend, difference, overlay, reconcile

D = "desired"
R = "reported"


@pytest.mark.parametrize(
    ("name", "base", "ours", "theirs", "merged", "conflicts"),
    [
        ("both new", None, {R: {"a": 1}}, {D: {"b": 2}}, {R: {"a": 1}, D: {"b": 2}}, 0),
        ("only ours changed", {R: {"a": 1}}, {R: {"a": 2}}, {R: {"a": 1}}, {R: {"a": 2}}, 0),
        ("only theirs changed", {D: {"a": 1}}, {D: {"a": 1}}, {D: {"a": 2}}, {D: {"a": 2}}, 0),
        ("both changed alike", {D: {"a": 1}}, {D: {"a": 2}}, {D: {"a": 2}}, {D: {"a": 2}}, 0),
        ("desired: the cloud wins", {D: {"a": 1}}, {D: {"a": 2}}, {D: {"a": 3}}, {D: {"a": 3}}, 1),
        ("reported: the device wins", {R: {"a": 1}}, {R: {"a": 2}}, {R: {"a": 3}}, {R: {"a": 2}}, 1),
        ("different keys of one object", {D: {"o": {"x": 1}}}, {D: {"o": {"x": 1, "y": 2}}}, {D: {"o": {"x": 5}}}, {D: {"o": {"x": 5, "y": 2}}}, 0),
        ("removed here", {D: {"a": 1, "b": 1}}, {D: {"b": 1}}, {D: {"a": 1, "b": 1}}, {D: {"b": 1}}, 0),
        ("removed there", {D: {"a": 1, "b": 1}}, {D: {"a": 1, "b": 1}}, {D: {"b": 1}}, {D: {"b": 1}}, 0),
        ("desired removed here, changed there", {D: {"a": 1}}, {}, {D: {"a": 2}}, {D: {"a": 2}}, 1),
        ("desired removed there, changed here", {D: {"a": 1}}, {D: {"a": 2}}, {}, {}, 1),
        ("reported removed there, changed here", {R: {"a": 1}}, {R: {"a": 2}}, {}, {R: {"a": 2}}, 1),
        ("a section emptied here", {D: {"a": 1}}, {}, {D: {"a": 1}}, {}, 0),
        ("an array is one value", {R: {"l": [1]}}, {R: {"l": [1, 2]}}, {R: {"l": [1, 3]}}, {R: {"l": [1, 2]}}, 1),
        ("types", {D: {"a": 1}}, {D: {"a": {"b": 1}}}, {D: {"a": [1]}}, {D: {"a": [1]}}, 1),
        ("gone on both sides", {D: {"a": 1}}, None, None, None, 0),
        ("new here", None, {D: {"a": 1}}, None, {D: {"a": 1}}, 0),
        ("new there", None, None, {D: {"a": 1}}, {D: {"a": 1}}, 0),
        ("deleted here", {D: {"a": 1}}, None, {D: {"a": 1}}, None, 0),
        ("deleted there", {D: {"a": 1}}, {D: {"a": 1}}, None, None, 0),
        ("deleted here, changed there", {D: {"a": 1}}, None, {D: {"a": 2}}, {D: {"a": 2}}, 1),
        ("deleted there, changed here", {D: {"a": 1}}, {D: {"a": 2}}, None, {D: {"a": 2}}, 1),
        ("deleted and made again there", {D: {"a": 1}}, {D: {"a": 1}}, {D: {"b": 1}}, {D: {"b": 1}}, 0),
    ],
)  # fmt: skip
def test_case(name, base, ours, theirs, merged, conflicts):
    assert reconcile(base, ours, theirs) == Merged(merged, conflicts), name


def test_difference():
    old = {"a": 1, "b": {"x": 1, "y": 1}, "c": [1], "d": 1}
    new = {"b": {"y": 2}, "c": [1], "d": {"e": 1}, "f": {}}
    assert difference(old, new) == {"a": None, "b": {"x": None, "y": 2}, "d": {"e": 1}, "f": {}}


@pytest.mark.parametrize(
    ("name", "base", "leader", "follower", "laid"),
    [
        ("the leader never was", None, None, {D: {"a": 1}}, {D: {"a": 1}}),
        ("the leader went", {D: {"a": 1}}, None, {D: {"a": 2}}, None),
        ("made from the leader", None, {D: {"a": 1}}, None, {D: {"a": 1}}),
        ("made again", {D: {"a": 1}}, {D: {"a": 1}}, None, {D: {"a": 1}}),
        ("the leader's values stand", None, {D: {"a": 1}}, {D: {"a": 2, "b": 2}, R: {"c": 1}}, {D: {"a": 1, "b": 2}, R: {"c": 1}}),
        ("what it removed goes", {D: {"a": 1, "o": {"x": 1, "y": 1}}}, {D: {"o": {"y": 1}}}, {D: {"a": 2, "o": {"x": 2, "z": 2}}}, {D: {"o": {"y": 1, "z": 2}}}),
        ("a section that it removed", {D: {"a": 1}}, {}, {D: {"a": 2}, R: {"c": 1}}, {R: {"c": 1}}),
        ("types", None, {D: {"a": {"x": 1}, "b": 1}}, {D: {"a": 1, "b": {"x": 1}}}, {D: {"a": {"x": 1}, "b": 1}}),
    ],
)  # fmt: skip
def test_overlay(name, base, leader, follower, laid):
    assert overlay(base, leader, follower) == laid, name


def test_blend_takes_for_ours_what_we_would_have_brought():
    base, landed = {R: {"a": 1, "b": 1, "gone": 1}}, {R: {"a": 2, "b": 2, "new": {"x": 1, "y": 1}}}
    theirs = {R: {"a": 2, "b": 9, "new": {"x": 1, "y": 9}}, D: {"c": 1}}
    assert blend(base, landed, theirs) == {R: {"a": 2, "b": 1, "new": {"x": 1}}}
    assert blend(None, landed, landed) == landed
