import pytest

from edgecore.base import identity
from edgecore.base.errors import RefusedError
from edgecore.base.group import Row
from edgecore.base.message import Message
from edgecore.listener.records import SubscriptionRecord
from edgecore.listener.subscribing import MAX_FILTERS_BYTES, Subscribing
from edgecore.mqtt.packets import SubscriptionOptions

ONE = identity.device("one")


class Receiver:
    principal, connected = ONE, True

    def __init__(self):
        self.taken, self.full = [], False

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        if self.full:
            raise RefusedError("no room")
        self.taken.append((message.payload, qos, retain, identifiers))


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
def subscribing(house, receiver):
    return Subscribing(house.router, receiver, 3)


def options(topic_filter="t/#", qos=1, **more):
    return SubscriptionOptions(topic_filter, qos, **more)


def publish(house, topic="t/a", qos=2, retain=False):
    house.router.publish(Message(topic, topic.encode(), qos, identity.device("two"), retain))


def test_what_is_granted_is_delivered_and_remembered(house, subscribing, receiver):
    assert subscribing.subscribe(options(qos=1, no_local=True, retain_as_published=True), 7) == 1
    publish(house)
    assert receiver.taken == [(b"t/a", 1, False, (7,))]
    assert subscribing.records == {"t/#": SubscriptionRecord("t/#", 1, True, True, 7)}


def test_a_filter_that_is_asked_for_again_is_replaced(house, subscribing, receiver):
    subscribing.subscribe(options(qos=2), 7)
    assert subscribing.subscribe(options(qos=0), 0) == 0
    publish(house)
    assert receiver.taken == [(b"t/a", 0, False, ())]
    assert subscribing.records == {"t/#": SubscriptionRecord("t/#", 0)}


def test_what_no_route_can_deliver_is_refused_counted_and_not_remembered(house, subscribing):
    assert subscribing.subscribe(options("secret"), 0) == 0x87
    assert subscribing.records == {}
    assert house.router.denied == {"device:one": 1}


def test_a_share_that_is_none_is_named(subscribing):
    assert subscribing.subscribe(options("$share/g"), 0) == 0x8F


def test_the_number_of_filters_is_bounded_and_replacing_is_no_new_one(subscribing):
    codes = [subscribing.subscribe(options(f"t/{number}"), 0) for number in (1, 2, 3, 4, 3)]
    assert codes == [1, 1, 1, 0x97, 1]
    subscribing.unsubscribe("t/1")
    assert subscribing.subscribe(options("t/4"), 0) == 1


def test_the_bytes_of_all_filters_are_bounded(subscribing):
    """They are written with every change of the session: a hundred of 64 KB would be 6 MB for each."""
    half = MAX_FILTERS_BYTES // 2
    assert subscribing.subscribe(options("t/" + "x" * (half - 2)), 0) == 1
    assert subscribing.subscribe(options("t/" + "ü" * (half // 2 - 1)), 0) == 1
    assert subscribing.subscribe(options("t/a"), 0) == 0x97
    assert subscribing.subscribe(options("t/" + "x" * (half - 2)), 0) == 1
    subscribing.unsubscribe("t/" + "x" * (half - 2))
    assert subscribing.subscribe(options("t/a"), 0) == 1


def test_what_is_taken_back_comes_no_more(house, subscribing, receiver):
    subscribing.subscribe(options(), 0)
    assert subscribing.unsubscribe("t/#") == 0
    assert subscribing.unsubscribe("t/#") == 0x11
    publish(house)
    assert (receiver.taken, subscribing.records) == ([], {})


def test_what_an_earlier_run_had_is_asked_for_again(house, subscribing, receiver):
    kept = [SubscriptionRecord("t/a", 2, identifier=3), SubscriptionRecord("$share/g/t/b", 1)]
    assert subscribing.restore(kept) == []
    publish(house)
    publish(house, "t/b")
    assert receiver.taken == [(b"t/a", 2, False, (3,)), (b"t/b", 1, False, ())]
    assert list(subscribing.records.values()) == kept


def test_what_is_no_filter_is_given_back_and_left_out(subscribing):
    good = SubscriptionRecord("t/a", 1)
    bad = [
        SubscriptionRecord("t/#/a", 1),
        SubscriptionRecord("$share/g", 1),
        SubscriptionRecord("", 1),
        SubscriptionRecord("t/b", 3),
        SubscriptionRecord("t/b", -1),
    ]
    assert subscribing.restore([good, *bad]) == bad
    assert list(subscribing.records.values()) == [good]


def test_a_route_that_comes_back_brings_its_messages_back_and_nobody_is_denied_for_it(
    house, subscribing, receiver
):
    subscribing.restore([SubscriptionRecord("u/#", 1), SubscriptionRecord("t/#", 1)])
    assert len(house.router._subscriptions) == 1
    house.routes(Row(("device:*",), ("u/#",), ("device:*",)))
    subscribing.renew()
    assert len(house.router._subscriptions) == 1
    publish(house, "u/a")
    publish(house, "t/a")
    assert [each[0] for each in receiver.taken] == [b"u/a"]
    assert "device:one" not in house.router.denied
    assert set(subscribing.records) == {"u/#", "t/#"}


def test_who_leaves_gets_nothing_until_all_is_renewed(house, subscribing, receiver):
    subscribing.subscribe(options(), 0)
    subscribing.leave()
    publish(house)
    assert receiver.taken == []
    subscribing.renew()
    publish(house)
    assert len(receiver.taken) == 1


@pytest.mark.parametrize(
    ("handling", "is_new", "sent"),
    [(0, True, True), (0, False, True), (1, True, True), (1, False, False), (2, True, False)],
)
def test_retained_messages_come_by_retain_handling(house, subscribing, receiver, handling, is_new, sent):
    publish(house, retain=True)
    subscribing.send_retained(options(retain_handling=handling), 4, is_new=is_new)
    assert receiver.taken == [(b"t/a", 1, True, (4,))] * sent


def test_a_shared_subscription_is_owed_no_retained_messages(house, subscribing, receiver):
    publish(house, retain=True)
    subscribing.send_retained(options("$share/g/t/#"), 0, is_new=True)
    assert receiver.taken == []


def test_retained_messages_that_there_is_no_room_for_are_told_of(house, subscribing, receiver):
    publish(house, retain=True)
    receiver.full = True
    assert subscribing.send_retained(options(), 0, is_new=True) == "no room"
    receiver.full = False
    assert subscribing.send_retained(options(), 0, is_new=True) == ""
