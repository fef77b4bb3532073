"""Topic mapping between routes and the cloud, and what AWS would never take."""

import pytest

from edgecore.base.group import Row
from edgecore.base.identity import device
from edgecore.base.message import Message, Properties
from edgecore.uplink.mapping import (
    ANY,
    AWS,
    MAX_PAYLOAD_BYTES,
    CloudSubscription,
    covers,
    is_shadow_topic,
    limits_of,
    map_rows,
    refuse_filter,
    refuse_message,
)
from edgecore.uplink.settings import UplinkSettings


def row(*topics, sources=("cloud",), qos=2):
    return Row(tuple(sources), tuple(topics), ("device:*",), qos=qos)


def subscriptions(*rows):
    return map_rows(rows).subscriptions


def message(topic="dt/a", payload=b"{}", properties=None):
    return Message(topic, payload, 1, device("a"), properties=properties)


class TestRows:
    def test_thing_becomes_a_wildcard(self):
        assert subscriptions(row("cmd/${thing}/#")) == (CloudSubscription("cmd/+/#", 1),)

    def test_only_rows_from_the_cloud_count(self):
        assert subscriptions(row("a", sources=("device:*",)), row("b", sources=("core", "cloud"))) == (
            CloudSubscription("b", 1),
        )

    def test_the_same_filter_is_subscribed_once_at_the_highest_qos(self):
        assert subscriptions(row("a", qos=0), row("a", qos=1)) == (CloudSubscription("a", 1),)

    def test_a_covered_filter_is_left_out_and_its_qos_kept(self):
        assert subscriptions(row("cmd/x/go", qos=1), row("cmd/#", qos=0)) == (CloudSubscription("cmd/#", 1),)

    def test_shadow_topics_are_refused(self):
        mapping = map_rows([row("$aws/things/a/shadow/#")])
        assert mapping.subscriptions == ()
        assert "shadow sync" in mapping.refused["$aws/things/a/shadow/#"]

    def test_what_aws_does_not_take_is_refused_with_its_reason(self):
        mapping = map_rows([row("a/b/c/d/e/f/g/h/#"), row("x" * 257), row("fine")])
        assert mapping.subscriptions == (CloudSubscription("fine", 1),)
        assert "slashes" in mapping.refused["a/b/c/d/e/f/g/h/#"]
        assert "256" in mapping.refused["x" * 257]


@pytest.mark.parametrize(
    ("wide", "narrow", "expected"),
    [
        ("a/#", "a/b", True),
        ("a/#", "a/b/#", True),
        ("a/#", "a", False),  # AWS: the parent is not matched
        ("#", "a", True),
        ("#", "$aws/rules/x", False),
        ("+/b", "$aws/b", False),
        ("+/b", "a/b", True),
        ("+/b", "+/b", True),
        ("a/b", "+/b", False),
        ("a/+", "a/#", False),
        ("a/+", "a/b/c", False),
        ("a/b/c", "a/b", False),
    ],
)
def test_covers(wide, narrow, expected):
    assert covers(wide, narrow) is expected


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("$aws/things/a/shadow/update/delta", True),
        ("$aws/things/a/shadow/name/b/get", True),
        ("$aws/things/a/shadow", True),
        ("$aws/things/a/shadows", False),
        ("aws/things/a/shadow/get", False),
    ],
)
def test_shadow_topics(topic, expected):
    assert is_shadow_topic(topic) is expected


class TestPoison:
    def test_an_ordinary_message_passes(self):
        assert refuse_message(message()) == ""

    def test_limits_are_inclusive(self):
        assert refuse_message(message("x" * 256)) == ""
        assert refuse_message(message("a/b/c/d/e/f/g/h")) == ""
        assert refuse_message(message(payload=bytes(131_072))) == ""

    @pytest.mark.parametrize(
        ("bad", "word"),
        [
            (message("x" * 257), "256 bytes"),
            (message("é" * 129), "256 bytes"),
            (message("a/b/c/d/e/f/g/h/i"), "7 slashes"),
            (message(payload=bytes(131_073)), "131072"),
            (message("$aws/things/a/shadow/update"), "reserved"),
            (message("$SYS/x"), "reserved"),
            (message("$aws/rules/only"), "reserved"),
            (message(properties=Properties(content_type="x" * 257)), "content type"),
            (message(properties=Properties(correlation_data=bytes(8193))), "correlation"),
            (message(properties=Properties(user_properties=(("k", "v" * 8192),))), "user properties"),
            (message(properties=Properties(response_topic="x" * 257)), "256 bytes"),
        ],
    )
    def test_what_aws_would_never_take_has_a_reason(self, bad, word):
        assert word in refuse_message(bad)

    def test_the_prefix_of_basic_ingest_does_not_count(self):
        assert refuse_message(message("$aws/rules/r/" + "a/b/c/d/e/f/g/h")) == ""
        assert refuse_message(message("$aws/rules/r/" + "x" * 256)) == ""
        assert "slashes" in refuse_message(message("$aws/rules/r/" + "a/b/c/d/e/f/g/h/i"))

    def test_filters_have_the_same_limits(self):
        assert refuse_filter("a/+/#") == ""
        assert "slashes" in refuse_filter("a/b/c/d/e/f/g/h/+")


def test_another_broker_takes_what_this_core_takes_from_a_device():
    deep = Message("/".join("a" * 20), b"x" * 200_000, 1, device("d"))
    assert refuse_message(deep) == f"payload above {MAX_PAYLOAD_BYTES} bytes"
    assert refuse_message(deep, ANY) == ""
    assert refuse_message(Message("$aws/rules/r/a", b"", 1, device("d")), ANY) == "reserved topic"
    assert refuse_message(Message("a", b"x" * 300_000, 1, device("d")), ANY).startswith("payload above")
    rows = [Row(("cloud",), ("/".join("a" * 20),), ("device:*",))]
    assert map_rows(rows).refused
    assert not map_rows(rows, ANY).refused
    assert (limits_of(settings("aws")), limits_of(settings("mqtt"))) == (AWS, ANY)


def settings(broker):
    return UplinkSettings("h", None, None, "core", broker=broker)
