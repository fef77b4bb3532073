import pytest

from edgecore.base import topic
from edgecore.base.errors import TopicError


@pytest.mark.parametrize("name", ["a", "/", "a//b", "$SYS/x", "ä/ö", " "])
def test_valid_topic_names(name):
    assert topic.check_topic(name) == name


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "empty"),
        ("a/+", "wildcard"),
        ("#", "wildcard"),
        ("a\0", "U\\+0000"),
        ("é" * 40_000, "longer"),
        ("x" * 65_536, "longer"),
        ("/" * 64, "levels"),
    ],
)
def test_invalid_topic_names(name, says):
    with pytest.raises(TopicError, match=says):
        topic.check_topic(name)


@pytest.mark.parametrize("given", ["#", "+", "a/#", "+/+/#", "/+", "$SYS/#"])
def test_valid_filters(given):
    assert topic.check_filter(given) == given


@pytest.mark.parametrize("given", ["a#", "#/a", "a+", "a/+b", "", "a/##"])
def test_invalid_filters(given):
    with pytest.raises(TopicError):
        topic.check_filter(given)


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("a/#", "a", True),
        ("a/+", "a", False),
        ("#", "$SYS", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("+", "", True),
        ("a/+/c", "a//c", True),
        ("a", "a/b", False),
    ],
)
def test_matching(pattern, name, expected):
    assert topic.matches(pattern, name) is expected


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a/#", "a", True),
        ("a/+", "+/b", True),
        ("a/b", "a/c", False),
        ("#", "$SYS/x", False),
        ("$SYS/#", "+/x", False),
        ("a/b/#", "a", False),
        ("a/b/c", "a", False),
        ("/#", "+", False),
        ("/#", "+/a", True),
    ],
)
def test_intersection(first, second, expected):
    assert topic.intersects(first, second) is expected


def test_binding_leaves_unknown_names_open():
    assert topic.bind("a/${thing}/${target}/x", thing="t") == "a/t/+/x"


def test_shared_subscriptions_are_split():
    assert topic.split_share("a/b") == ("", "a/b")
    assert topic.split_share("$share/g/a/b") == ("g", "a/b")
    for wrong in ("$share/g", "$share//a", "$share/+/a", "$share/g/"):
        with pytest.raises(TopicError, match="shared subscription"):
            topic.split_share(wrong)
