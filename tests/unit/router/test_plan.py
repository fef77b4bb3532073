import pytest

from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.router import Router

NAMES = ("one", "two", "three")
ONE, TWO, THREE = (identity.device(name) for name in NAMES)
DEVICES = {name: DeviceSpec(name, name) for name in NAMES}


class Receiver:
    """A client that writes down what it is handed and how."""

    def __init__(self, principal, connected=True):
        self.principal = principal
        self.connected = connected
        self.refuses = False
        self.commit = None
        self.got = []

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        if self.refuses:
            raise RefusedError(f"{self.principal} is full")
        self.got.append((message, qos, retain, identifiers, share))
        return self.commit


class Old:
    """A port, which takes nothing but a message, its QoS and its flag."""

    principal = identity.CLOUD

    def __init__(self):
        self.got = []

    def deliver(self, message, qos, retain):
        self.got.append((message.topic, qos, retain))


def bus_of(*rows):
    bus = Router(ManualClock())
    bus.set_rows(rows or [Row(("device:*",), ("#",), ("device:*", "cloud"))], DEVICES)
    bus.attach("cloud", Old())
    return bus


def message(topic="a/b", qos=1, sender=ONE, **more):
    return Message(topic, b"x", qos, sender, **more)


def texts(receiver):
    return [each.payload for each, *_ in receiver.got]


# Subscription identifiers ---------------------------------------------------------------------------


def test_one_copy_carries_all_identifiers_of_one_receiver():
    bus, two = bus_of(), Receiver(TWO)
    bus.subscribe(two, "a/#", 0, identifier=7)
    bus.subscribe(two, "a/+", 2, identifier=9)
    bus.subscribe(two, "#", 1)
    bus.subscribe(two, "b", 2, identifier=5)
    bus.publish(message(qos=2))
    ((_, qos, _, identifiers, share),) = two.got
    assert (qos, sorted(identifiers), share) == (2, [7, 9], "")


def test_equal_identifiers_are_carried_each_and_two_ways_of_one_subscription_once():
    rows = [Row(("device:*",), ("a/b",), ("device:*",), qos=qos) for qos in (1, 2)]
    bus, two = bus_of(*rows, Row(("device:*",), ("a/b",), ("device:two",))), Receiver(TWO)
    bus.subscribe(two, "a/b", 2, identifier=7)
    bus.subscribe(two, "a/+", 0, identifier=7)
    bus.publish(message(qos=2))
    assert [(qos, identifiers) for _, qos, _, identifiers, _ in two.got] == [(2, (7, 7))]


def test_subscribing_again_replaces_the_identifier():
    bus, two = bus_of(), Receiver(TWO)
    bus.subscribe(two, "a/b", 0, identifier=7)
    bus.subscribe(two, "a/b", 0)
    bus.publish(message())
    assert [identifiers for *_, identifiers, _ in two.got] == [()]


def test_a_delivery_with_identifiers_is_not_plain():
    bus, two = bus_of(Row(("device:*",), ("#",), ("device:*",))), Receiver(TWO)
    bus.subscribe(two, "a/b", 0)
    assert bus.plan_for(ONE, "a/b").plain
    bus.subscribe(two, "a/+", 0, identifier=1)
    plan = bus.plan_for(ONE, "a/b")
    assert not plan.plain
    assert plan.deliveries[0].identifiers == (1,)


def test_a_changed_message_carries_identifiers_too():
    bus, two = bus_of(Row(("device:*",), ("a/b",), ("device:*",), as_topic="c", expiry=5.0)), Receiver(TWO)
    bus.subscribe(two, "c", 1, identifier=3)
    bus.publish(message())
    ((got, qos, _, identifiers, _),) = two.got
    assert (got.topic, got.origin, qos, identifiers) == ("c", "a/b", 1, (3,))


# Share groups ---------------------------------------------------------------------------------------


def test_a_share_group_gets_one_copy_and_its_members_take_turns():
    bus = bus_of()
    members = [Receiver(each) for each in (ONE, TWO, THREE)]
    for each in members:
        assert bus.subscribe(each, "$share/g/a/#", 1)
    receipts = [bus.publish(message()) for _ in range(6)]
    assert [len(each.got) for each in members] == [2, 2, 2]
    assert {share for each in members for *_, share in each.got} == {"$share/g/a/#"}
    assert {receipt.receivers for receipt in receipts} == {2}  # the group and the cloud


def test_turns_go_on_when_plans_are_made_anew():
    bus = bus_of()
    members = [Receiver(each) for each in (ONE, TWO)]
    for each in members:
        bus.subscribe(each, "$share/g/#", 1)
    for number in range(4):
        bus.publish(message(f"topic/{number}"))
        bus.invalidate()
    assert [len(each.got) for each in members] == [2, 2]


def test_each_name_and_each_filter_is_a_group_of_its_own_beside_what_is_not_shared():
    bus, two = bus_of(), Receiver(TWO)
    for topic_filter in ("$share/g/a/#", "$share/h/a/#", "$share/g/a/b", "a/#"):
        bus.subscribe(two, topic_filter, 1)
    assert (bus.status()["subscriptions"], bus.status()["shared_subscriptions"]) == (4, 3)
    bus.publish(message())
    assert sorted(share for *_, share in two.got) == ["", "$share/g/a/#", "$share/g/a/b", "$share/h/a/#"]
    assert bus.unsubscribe(two, "$share/h/a/#")
    assert not bus.unsubscribe(two, "$share/h/a/#")
    assert bus.unsubscribe(two, "a/#")
    bus.publish(message())
    assert sorted(share for *_, share in two.got[4:]) == ["$share/g/a/#", "$share/g/a/b"]
    bus.unsubscribe_all(two)
    bus.publish(message())
    assert len(two.got) == 6
    assert bus.status()["subscriptions"] == 0


def test_who_is_connected_comes_first_whatever_the_plan_knew():
    bus = bus_of()
    here, away = Receiver(TWO), Receiver(THREE, connected=False)
    for each in (away, here):
        bus.subscribe(each, "$share/g/#", 1)
    for _ in range(3):
        bus.publish(message())
    assert [len(each.got) for each in (here, away)] == [3, 0]
    here.connected, away.connected = False, True  # and nobody told the router
    bus.publish(message())
    assert [len(each.got) for each in (here, away)] == [3, 1]
    away.connected = False
    for _ in range(2):
        bus.publish(message())
    assert len(here.got) + len(away.got) == 6


def test_of_those_who_are_away_one_that_queues_comes_first():
    bus = bus_of()
    drops, queues = Receiver(TWO, connected=False), Receiver(THREE, connected=False)
    bus.subscribe(drops, "$share/g/#", 0)
    bus.subscribe(queues, "$share/g/#", 1)
    for _ in range(2):
        bus.publish(message())
    assert (len(drops.got), len(queues.got)) == (0, 2)


def test_a_member_that_refuses_is_passed_over():
    bus = bus_of()
    members = [Receiver(each) for each in (ONE, TWO)]
    for each in members:
        bus.subscribe(each, "$share/g/#", 1)
    members[0].refuses = True
    assert [bus.publish(message()).refused for _ in range(2)] == ["", ""]
    assert [len(each.got) for each in members] == [0, 2]
    members[1].refuses = True
    assert "is full" in bus.publish(message()).refused


def test_a_member_gets_what_its_own_subscription_and_row_give():
    rows = [
        Row(("device:*",), ("a/b",), ("device:two",), qos=1, expiry=5.0),
        Row(("device:*",), ("a/b",), ("device:three",)),
    ]
    bus, two, three = bus_of(*rows), Receiver(TWO), Receiver(THREE)
    assert not bus.subscribe(Receiver(ONE), "$share/g/a/b", 2)
    bus.subscribe(two, "$share/g/a/b", 2, identifier=4, retain_as_published=True)
    bus.subscribe(three, "$share/g/a/b", 2)
    for _ in range(2):
        bus.publish(message(qos=2, retain=True))
    ((first, *how),) = two.got
    assert (first.expires_at, how) == (ManualClock().now() + 5.0, [1, True, (4,), "$share/g/a/b"])
    ((second, *how),) = three.got
    assert (second.expires_at, how) == (None, [2, False, (), "$share/g/a/b"])
    assert not bus.plan_for(ONE, "a/b").plain
    (group,) = bus.plan_for(ONE, "a/b").shared
    assert {each.subscriber for each in group.members} == {two, three}


# A member that departs --------------------------------------------------------------------------------


@pytest.fixture
def group():
    """A bus with rows that rename, members two and three, and what two was handed."""
    bus = bus_of(Row(("device:*",), ("a/b",), ("device:*",), as_topic="c", expiry=5.0))
    two, three = Receiver(TWO), Receiver(THREE)
    bus.subscribe(two, "$share/g/c", 2)
    bus.publish(message(qos=2))
    bus.subscribe(three, "$share/g/c", 1, identifier=6)
    ((handed, qos, *_),) = two.got
    return bus, two, three, handed, qos


def test_what_a_departed_member_did_not_acknowledge_goes_to_another(group):
    bus, two, three, handed, qos = group
    three.commit = Commit()
    bus.unsubscribe_all(two)
    receipt = bus.reassign("$share/g/c", handed, qos)
    assert (receipt.receivers, receipt.commits, receipt.refused) == (1, (three.commit,), "")
    assert three.got == [(handed, 1, False, (6,), "$share/g/c")]  # its life is not made longer


def test_nobody_is_left(group):
    bus, two, three, handed, qos = group
    bus.unsubscribe_all(two)
    bus.unsubscribe_all(three)
    assert bus.reassign("$share/g/c", handed, qos).receivers == 0


def test_whoever_is_left_refuses(group):
    bus, two, three, handed, qos = group
    bus.unsubscribe_all(two)
    three.refuses = True
    assert bus.reassign("$share/g/c", handed, qos).refused == "device:three is full"


@pytest.mark.parametrize(
    "row",
    [
        Row(("device:*",), ("a/b",), ("device:*",), as_topic="d"),
        Row(("device:*",), ("c",), ("device:*",)),
        Row(("device:*",), ("a/b",), ("device:two",), as_topic="c"),
    ],
)
def test_another_member_gets_nothing_that_the_rows_of_now_would_not_give_it(group, row):
    bus, two, three, handed, qos = group
    bus.unsubscribe_all(two)
    bus.set_rows([row], DEVICES)
    assert bus.reassign("$share/g/c", handed, qos).receivers == 0
    assert three.got == []


# No-local -------------------------------------------------------------------------------------------


def test_no_local_keeps_a_message_from_the_session_that_published_it_only():
    bus = bus_of(Row(("device:*",), ("#",), ("device:*",)))
    first, second = Receiver(ONE), Receiver(ONE)
    for each in (first, second):
        bus.subscribe(each, "a/b", 1, no_local=True)
    assert bus.publish(message()).receivers == 0  # nobody says which session it was
    assert bus.publish(message(), first).receivers == 1
    assert bus.plan_for(ONE, "a/b", first) is bus.plan_for(ONE, "a/b", first)
    assert (len(first.got), len(second.got)) == (0, 1)
    bus.publish(message(), second)
    assert (len(first.got), len(second.got)) == (1, 1)
    bus.subscribe(first, "#", 0)  # and this one has no such option
    bus.publish(message(), first)
    assert (len(first.got), len(second.got)) == (2, 2)
    bus.publish(message(sender=TWO), Receiver(TWO))
    assert (len(first.got), len(second.got)) == (3, 3)
    assert bus.plan_for(TWO, "a/b", Receiver(TWO)) is bus.plan_for(TWO, "a/b")
