"""What an update does to a shadow document."""

import pytest

from edgecore.sim.cloud.documents import (
    depth,
    difference,
    encode,
    holds_null,
    merge,
    merge_metadata,
    same,
    size,
    stamp,
)


@pytest.mark.parametrize(
    ("current", "patch", "expected"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": 1}, {"a": 1}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 3}, {"a": {}}, {"a": {}}),
        ({}, {"a": {"b": None}}, {"a": {}}),
        ({"a": 1}, {"a": None, "z": None}, {}),
    ],
)
def test_merge(current, patch, expected):
    assert merge(current, patch) == expected


def test_merge_changes_neither_side():
    current, patch = {"a": {"b": 1}}, {"a": {"c": 2}}
    merge(current, patch)
    assert (current, patch) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_stamp_reaches_every_leaf_and_element():
    at = {"timestamp": 5}
    assert stamp({"a": 1, "b": {"c": [1, {"d": 2}]}, "e": {}, "f": None}, 5) == {
        "a": at,
        "b": {"c": [at, {"d": at}]},
        "e": {},
        "f": at,
    }


def test_metadata_of_what_is_touched_is_new_and_of_the_rest_old():
    old, new = {"timestamp": 1}, {"timestamp": 2}
    current = {"a": 1, "b": {"c": 1, "d": 1}, "e": 1, "f": {"g": 1}}
    metadata = stamp(current, 1)
    patch = {"a": 1, "b": {"c": 2, "d": None}, "e": {"x": 1}, "f": 2}
    assert merge_metadata(metadata, current, patch, 2) == {
        "a": new,
        "b": {"c": new},
        "e": {"x": new},
        "f": new,
    }
    assert metadata["b"] == {"c": old, "d": old}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (True, True, True),
        ([1, [2]], [1, [2.0]], True),
        ([1], [1, 2], False),
        ({"a": [True]}, {"a": [1]}, False),
        ({"a": 1}, {"b": 1}, False),
        ("1", 1, False),
    ],
)
def test_same(first, second, expected):
    assert same(first, second) is expected


def test_the_difference_is_what_reported_lacks():
    desired = {"a": 1, "b": {"c": 1, "d": 2}, "e": {}, "f": [1], "same": {"x": {"y": 1}}}
    reported = {"b": {"c": 1, "d": 3}, "f": [2], "same": {"x": {"y": 1}}, "only": 1}
    delta, metadata = difference(desired, reported, stamp(desired, 7))
    assert delta == {"a": 1, "b": {"d": 2}, "e": {}, "f": [1]}
    assert metadata == stamp(delta, 7)


def test_depth_counts_objects_and_not_leaves():
    assert depth(1) == 0
    assert depth({"1": {"2": 3}}) == 2
    assert depth({"1": [{"2": 1}]}) == 2
    assert depth({}) == 1


def test_null_is_found_only_inside_arrays():
    assert not holds_null({"a": None, "b": {"c": None}})
    assert holds_null({"a": {"b": [1, None]}})
    assert holds_null([[None]])


def test_size_counts_compact_sections():
    assert size({"desired": {"é": 1}, "reported": {}}) == len('{"é":1}'.encode()) + 2
    assert encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
