"""Classes of vulnerability that concern routes, subscriptions and what is stored, at the router itself.

Numbers and classes as in test_classes.py, which drives them through the listener.
"""

from __future__ import annotations

import sys
from collections import Counter

import pytest

from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.base.topic import MAX_TOPIC_LEVELS
from edgecore.router import Router

A, B = identity.device("a"), identity.device("b")
BOTH = {name: DeviceSpec(name, name) for name in "ab"}
OPEN = Row(("device:*",), ("#",), ("device:*",))


class Session:
    def __init__(self, principal, connected=True):
        self.principal, self.connected, self.got = principal, connected, []

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        self.got.append(message)


def bus_of(*rows, devices=BOTH):
    bus = Router(ManualClock())
    bus.set_rows(rows, devices)
    return bus


@pytest.mark.parametrize("levels", [MAX_TOPIC_LEVELS, 60_000])
def test_class_04_depth_of_topics_needs_no_stack(levels):
    """The edge refuses what is deeper than MAX_TOPIC_LEVELS; the tables would bear it all the same."""
    bus, session, old = bus_of(OPEN), Session(B), sys.getrecursionlimit()
    deep = "/".join("a" * levels)
    sys.setrecursionlimit(old // 2)
    try:
        for topic_filter in (deep, "+/" * (levels - 1) + "+", deep + "/#", f"$share/g/{deep}"):
            assert bus.subscribe(session, topic_filter, 1)
        assert bus.publish(Message(deep, b"x", 0, A, retain=True)).receivers == 2
        assert len(bus.retained_for(session, "+/#")) == 1
        bus.unsubscribe_all(session)
        assert len(bus.forget(A)) == 0
    finally:
        sys.setrecursionlimit(old)
    assert (bus.status()["subscriptions"], bus.status()["retained"]) == (0, 0)


def test_class_07_one_member_of_a_share_group_cannot_starve_the_others():
    bus = bus_of(OPEN)
    greedy, honest = Session(A), Session(B)
    for session in (greedy, honest):
        bus.subscribe(session, "$share/g/t", 1)
    for number in range(100):
        bus.unsubscribe(greedy, "$share/g/t")  # to be the first of a new turn, it may hope
        bus.subscribe(greedy, "$share/g/t", 1)
        bus.publish(Message("t", b"%d" % number, 1, A))
    assert len(honest.got) == len(greedy.got) == 50


def test_class_09_wildcards_in_the_name_of_a_share_group():
    """A group's name is compared, never matched: two that differ share nothing."""
    bus, first, second = bus_of(OPEN), Session(A), Session(B)
    bus.subscribe(first, "$share/*/t", 1)
    bus.subscribe(second, "$share/${thing}/t", 1)
    bus.publish(Message("t", b"", 1, A))
    assert (len(first.got), len(second.got)) == (1, 1)


def test_class_09_a_shared_subscription_is_judged_by_what_follows_its_name():
    bus = bus_of(Row(("device:a",), ("secret/#",), ("device:a",)))
    for topic_filter in (
        "$share/secret/secret/#",
        "$share/g/#",
        "$share/g/secret/x",
        "$share/$share/secret/x",
    ):
        assert not bus.subscribe(Session(B), topic_filter, 1)


@pytest.mark.parametrize("devices", [{}, {"b": BOTH["b"]}, {"a": DeviceSpec("a", "other"), "b": BOTH["b"]}])
def test_class_11_a_retained_message_outlives_no_device(devices):
    """CVE-2018-12546, and its cousin: the writer left, or came back as another thing; the rows are as they were."""
    bus = bus_of(OPEN)
    bus.publish(Message("t", b"kept", 1, A, retain=True))
    assert len(bus.retained_for(Session(B), "t")) == 1
    bus.set_rows([OPEN], devices)
    assert bus.retained_for(Session(B), "t") == []


def test_class_11_what_a_revoked_device_retained_is_gone_for_operators_too():
    bus = bus_of(OPEN)
    for sender in (A, B):
        bus.publish(Message(f"t/{sender.name}", b"kept", 1, sender, retain=True))
    bus.forget(A)
    watching = Session(identity.operator("root"))
    assert [message.topic for message, _ in bus.retained_for(watching, "#")] == ["t/b"]


@pytest.mark.parametrize(
    ("rows", "devices"),
    [
        ([], BOTH),
        ([Row(("device:b",), ("#",), ("device:*",))], BOTH),
        ([Row(("device:*",), ("#",), ("device:a",))], BOTH),
        ([Row(("device:*",), ("#",), ("device:*",), as_topic="u")], BOTH),
        ([OPEN], {"b": BOTH["b"]}),
        ([OPEN], {"a": BOTH["a"]}),
    ],
)
def test_class_12_a_queued_message_outlives_no_right(rows, devices):
    """CVE-2021-34434: neither the subscription nor what it has gathered says that it may be delivered now."""
    bus, session = bus_of(OPEN), Session(B, connected=False)
    bus.subscribe(session, "#", 2)
    bus.publish(Message("t", b"", 2, A))
    (queued,) = session.got
    assert bus.permits(queued, B)
    bus.set_rows(rows, devices)
    assert not bus.permits(queued, B)
    bus.publish(Message("t", b"", 2, A))
    assert [message.topic for message in session.got[1:]] == (["u"] if rows and rows[0].as_topic else [])


def test_class_12_a_member_that_lost_its_right_is_no_member():
    bus = bus_of(OPEN)
    lost, kept = Session(A), Session(B)
    for session in (lost, kept):
        bus.subscribe(session, "$share/g/t", 1)
    bus.set_rows([Row(("device:*",), ("#",), ("device:b",))], BOTH)
    for _ in range(4):
        bus.publish(Message("t", b"", 1, A))
    assert (len(lost.got), len(kept.got)) == (0, 4)
    bus.unsubscribe_all(kept)
    assert bus.reassign("$share/g/t", kept.got[0], 1).receivers == 0


def test_class_13_no_rows_and_no_devices_are_no_rights():
    bus = Router(ManualClock())
    assert not bus.subscribe(Session(A), "#", 0)
    assert not bus.publish(Message("t", b"", 1, A)).allowed
    assert not bus.permits(Message("t", b"", 1, A), B)
    assert bus.denied == Counter({"device:a": 2})
