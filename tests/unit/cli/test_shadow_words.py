import pytest

from edgecore.cli.shadow_words import change_lines, differences
from edgecore.shadow.topics import ShadowId


def test_each_value_that_differs_has_a_line():
    before = {"desired": {"lamp": {"on": True, "hue": 7}, "old": 1}, "reported": {"list": [1]}}
    after = {"desired": {"lamp": {"on": False, "hue": 7}}, "reported": {"list": [1, 2], "new": "é"}}
    assert list(differences(before, after)) == [
        "  ~ desired.lamp.on true -> false",
        "  - desired.old 1",
        "  ~ reported.list [1] -> [1,2]",
        '  + reported.new "é"',
    ]


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({"desired": {"a": 1}}, {"desired": {"a": True}}, ["  ~ desired.a 1 -> true"]),
        ({"desired": {"a": {}}}, {"desired": {"a": {"b": 1}}}, ["  - desired.a {}", "  + desired.a.b 1"]),
        ({}, {"reported": {"a.b": {"": 0}}}, ['  + reported."a.b"."" 0']),
        ({"desired": {"a": 1}}, {"desired": {"a": 1}}, []),
        ({}, {}, []),
    ],
)
def test_differences(before, after, lines):
    assert list(differences(before, after)) == lines


def test_a_change_says_which_shadow_which_version_and_what_is_left_to_do():
    documents = {
        "previous": None,
        "current": {"state": {"desired": {"on": True}, "reported": {"on": False}}, "version": 4},
        "timestamp": 1_700_000_000,
    }
    assert list(change_lines(ShadowId("gate", "config"), documents)) == [
        "gate~config version 4, 2023-11-14 22:13:20 UTC",
        "  + desired.on true",
        "  + reported.on false",
        '  delta {"on":true}',
    ]


def test_a_deletion():
    assert list(change_lines(ShadowId("gate"), None)) == ["gate deleted"]
