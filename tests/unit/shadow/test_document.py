"""What is not in the vectors; the laws are in tests/properties/test_shadow_document.py."""

import msgspec
import pytest

from edgecore.shadow.document import (
    NOTHING,
    Document,
    deeper_than,
    delta,
    merge,
    null_in_array,
    pick,
    same,
    stamps,
)


def test_versions_go_on_through_a_deletion():
    first = NOTHING.updated({"reported": {"a": 1}}, 1)
    gone = first.removed()
    again = gone.updated({"reported": {"a": 1}}, 2)
    assert [document.version for document in (first, gone, again)] == [1, 2, 3]
    assert (gone.deleted, again.deleted, gone.state) == (True, False, {})


def test_size_is_that_of_the_two_sections_as_compact_json():
    document = NOTHING.updated({"desired": {"a": "ä"}, "reported": {"b": [1, 2]}}, 1)
    assert document.size() == len('{"a":"ä"}'.encode()) + len('{"b":[1,2]}')
    assert NOTHING.size() == 0
    for each in (document, NOTHING):
        assert each.text().size == each.size()


def test_the_text_is_that_of_its_own_values_and_no_part_of_what_a_document_is():
    old = NOTHING.updated({"desired": {"a": "ä"}, "reported": {"b": [1, 2]}}, 1)
    encode = msgspec.json.encode
    for document in (NOTHING, old, old.updated({"desired": None, "reported": {"b": 3}}, 2), old.removed()):
        twin = Document(document.state, document.metadata, document.version, document.deleted)
        text = document.text()
        assert (bytes(text.state), bytes(text.metadata)) == (
            encode(document.state),
            encode(document.metadata),
        )
        assert document.text() is text
        assert document == twin
        assert len({document, twin}) == 1


def test_documents_differ_by_each_of_their_values():
    document = NOTHING.updated({"desired": {"a": 1}}, 1)
    others = [
        Document({}, document.metadata, 1, False),
        Document(document.state, {}, 1, False),
        Document(document.state, document.metadata, 2, False),
        Document(document.state, document.metadata, 1, True),
        (document.state, document.metadata, 1, False),
    ]
    assert document not in others


def test_old_values_are_not_touched():
    old = {"a": {"b": 1}}
    merge(old, {"a": {"b": 2, "c": None}})
    assert old == {"a": {"b": 1}}


def test_nulls_inside_a_new_object_are_not_stored():
    assert merge({}, {"a": {"b": None, "c": 1}}) == {"a": {"c": 1}}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0, False),
        ("1", 1, False),
        (None, 0, False),
        ([1], [1.0], True),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"b": 1}, False),
        (True, True, True),
    ],
)
def test_equality_of_json_values(one, other, equal):
    assert same(one, other) is equal
    assert same(other, one) is equal


def test_delta_drops_what_is_covered():
    assert delta({"a": {"b": {"c": 1}}, "d": 1}, {"a": {"b": {"c": 1, "x": 2}}, "d": 2}) == {"d": 1}


def test_stamps_and_pick():
    metadata = stamps({"a": {"b": 1, "c": [1]}, "d": None}, 7)
    assert metadata == {"a": {"b": {"timestamp": 7}, "c": [{"timestamp": 7}]}, "d": {"timestamp": 7}}
    assert pick(metadata, {"a": {"c": [1]}}) == {"a": {"c": [{"timestamp": 7}]}}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([None], True),
        ({"a": [[None]]}, True),
        ({"a": [{"b": None}]}, True),
        ({"a": [{"b": [{"c": None}]}]}, True),
        ({"a": None}, False),
        ({"a": [{"b": 1}, 2]}, False),
        (5, False),
    ],
)
def test_null_in_array(value, found):
    assert null_in_array(value) is found


def nested(levels, kind):
    value = 1
    for _ in range(levels):
        value = {"a": value} if kind == "object" else [value]
    return value


def test_depth():
    assert not deeper_than(nested(8, "object"), 8)
    assert deeper_than(nested(9, "object"), 8)
    assert not deeper_than({"a": [{"b": [1]}]}, 2)
    assert deeper_than({"a": [{"b": {"c": 1}}]}, 2)
    assert deeper_than(nested(500, "array"), 8)
    assert not deeper_than({"a": [[1]]}, 8)
