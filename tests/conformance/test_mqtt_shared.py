"""MQTT 5's normative statements about shared subscriptions. Dialogues as in test_mqtt_dialogues.py.

Which member of a share is sent a message is the server's choice: where that matters, a test looks first.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    END,
    LOST,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    House,
    OneOf,
    answer,
    arrive,
    connack,
    connect,
    hears,
    kept,
    play,
    publish,
    row,
    rows,
    subscribe,
    take,
    unsuback,
    unsubscribe,
)

SHARE = "$share/g/t/#"


def said(payload=b"1", qos=0, pid=1, dup=0):
    return publish(5, "t/a", payload, qos, pid, dup=dup)


def granted(published, asked, arrives):
    own = {0: {}, 1: {"a": answer(PUBACK, 1)}, 2: {"a": answer(PUBREC, 1)}}[published]
    return [
        *arrive(5, "a", "b"),
        take(5, "b", SHARE, asked),
        ("a", said(qos=published), hears(**own, b=said(qos=arrives))),
    ]


DIALOGUES = [
    *[
        each
        for published, asked in ((2, 0), (2, 1), (1, 2), (2, 2), (0, 2))
        for each in row(
            5,
            "4.8.2-3",
            f"published at QoS {published}, granted {asked}",
            granted(published, asked, min(published, asked)),
        )
    ],
    *row(
        5,
        "4.8.2-1",
        "shares are apart, and from other subscriptions",
        [
            *arrive(5, "a", "b", "c"),
            take(5, "b", SHARE),
            take(5, "c", "$share/h/t/#"),
            take(5, "a", "t/#"),
            ("a", said(), hears(a=said(), b=said(), c=said())),
        ],
    ),
    *row(
        5,
        "4.8.2-1 4.8.2-2",
        "a name and a filter; what is retained is not sent",
        [
            *arrive(5, "a", "b"),
            ("a", publish(5, "t/a", b"kept", retain=1), {}),
            take(5, "b", SHARE),
        ],
    ),
    *row(
        5,
        "3.10.4-1 3.10.4-2",
        "UNSUBSCRIBE says the whole of it",
        [
            *arrive(5, "a", "b"),
            take(5, "b", SHARE),
            ("b", unsubscribe(5, 2, "t/#"), hears(b=unsuback(5, 2, 0x11))),
            ("b", unsubscribe(5, 3, "$share/h/t/#"), hears(b=unsuback(5, 3, 0x11))),
            ("a", said(), hears(b=said())),
            ("b", unsubscribe(5, 4, SHARE), hears(b=unsuback(5, 4, 0))),
            ("a", said(), {}),
        ],
    ),
    *row(
        5,
        "3.10.4-1",
        "asked for twice, left at once",
        [
            *arrive(5, "a", "b"),
            take(5, "b", SHARE, 0),
            take(5, "b", SHARE, 1, 2),
            ("a", said(qos=1), hears(a=answer(PUBACK, 1), b=said(qos=1))),
            ("b", unsubscribe(5, 3, SHARE), hears(b=unsuback(5, 3, 0))),
            ("a", said(qos=1), hears(a=answer(PUBACK, 1))),
        ],
    ),
    *row(
        5,
        "4.7.2-1",
        "a wildcard behind the name does not match $ topics",
        [*arrive(5, "a", "b"), take(5, "b", "$share/g/#"), ("a", publish(5, "$x/a", b"1"), {})],
    ),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_shared(steps):
    play(steps)


BAD = [
    ("5: MQTT-4.8.2-1 no name", "$share//t/#"),
    ("5: MQTT-4.8.2-2 no filter", "$share/g"),
    ("5: MQTT-4.8.2-2 an empty filter", "$share/g/"),
    ("5: MQTT-4.8.2-2 + in the name", "$share/g+/t/#"),
    ("5: MQTT-4.8.2-2 + as the name", "$share/+/t/#"),
    ("5: MQTT-4.8.2-2 # as the name", "$share/#"),
    ("5: MQTT-4.8.2-2 # in the name", "$share/g#/t/#"),
]


@pytest.mark.parametrize("topic_filter", rows(BAD))
def test_a_share_that_is_not_well_formed_is_refused(topic_filter):
    """In SUBACK, or with a DISCONNECT: 0x8F stands in both."""
    house = House()
    house.step("b", connect(5))
    house.heard()
    house.step("b", subscribe(5, 1, (topic_filter, 0)))
    heard = house.heard()["b"]
    reason = heard[0][2] if heard[0][0] == 0xE0 else heard[0][-1]
    assert reason == 0x8F
    assert (END in heard) == (heard[0][0] == 0xE0)


# Two members ----------------------------------------------------------------------------------------


def two_members(qos, expiry=3600):
    """A house where b and c share a subscription, in sessions that are kept unless `expiry` is 0, and a publishes."""
    house = House()
    house.step("a", connect(5, "p"))
    for who in "bc":
        house.step(who, kept(5, who, expiry))
        house.step(who, subscribe(5, 1, (SHARE, qos)))
    house.heard()
    return house


def chosen(house, qos, payload=b"1", pid=9):
    """(who was sent the message that a publishes, who was not)."""
    house.step("a", publish(5, "t/a", payload, qos, pid))
    heard = house.heard()
    heard.pop("a", None)
    assert list(heard) in (["b"], ["c"])
    (one,) = heard
    assert heard[one] == [OneOf(*(said(payload, qos, pid) for pid in range(1, 10)))]
    return one, "bc".replace(one, "")


@pytest.mark.parametrize(
    "qos", [pytest.param(qos, id=f"5: MQTT-4.8.2-1 QoS {qos}, each to one of two") for qos in (0, 1, 2)]
)
def test_each_message_is_sent_to_one_member(qos):
    house = two_members(qos)
    for number in range(1, 9):
        chosen(house, qos, b"%d" % number, number)


def test_who_leaves_a_share_is_sent_nothing_more():
    house = two_members(1)
    house.step("b", unsubscribe(5, 2, SHARE))
    house.heard()
    assert [chosen(house, 1, b"%d" % number)[0] for number in range(4)] == ["c"] * 4


@pytest.mark.parametrize(
    "released",
    [
        pytest.param(False, id="5: MQTT-4.8.2-4 before PUBREC"),
        pytest.param(True, id="5: MQTT-4.8.2-4 after PUBREC"),
    ],
)
def test_a_started_qos_2_delivery_waits_for_its_client(released):
    house = two_members(2)
    one, other = chosen(house, 2)
    if released:
        house.step(one, answer(PUBREC, 1))
        assert house.heard() == hears(**{one: answer(PUBREL, 1)})
    house.step(one, LOST)
    assert house.heard() == {}
    house.step(one, kept(5, one))
    owed = answer(PUBREL, 1) if released else said(qos=2, dup=1)
    assert house.heard() == hears(**{one: [connack(5, 1), owed]})
    if not released:
        house.step(one, answer(PUBREC, 1))
        assert house.heard() == hears(**{one: answer(PUBREL, 1)})
    house.step(one, answer(PUBCOMP, 1))
    assert house.heard() == {}
    house.step(other, unsubscribe(5, 2, SHARE))
    assert house.heard() == hears(**{other: unsuback(5, 2, 0)})


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("the session expires", id="5: MQTT-4.8.2-5 it expires"),
        pytest.param("a clean start", id="5: MQTT-4.8.2-5 a clean start"),
    ],
)
def test_a_started_qos_2_delivery_goes_to_nobody_else_when_its_session_ends(how):
    house = two_members(2, expiry=10)
    one, _ = chosen(house, 2)
    house.step(one, LOST)
    if how == "a clean start":
        house.step(one, connect(5, one))
        assert house.heard() == hears(**{one: connack(5)})
    house.step("a", 11.0)
    assert house.heard() == {}


@pytest.mark.parametrize(
    ("qos", "failed"),
    [
        pytest.param(1, PUBACK, id="5: MQTT-4.8.2-6 PUBACK"),
        pytest.param(2, PUBREC, id="5: MQTT-4.8.2-6 PUBREC"),
    ],
)
def test_what_a_member_fails_to_take_goes_to_nobody(qos, failed):
    house = two_members(qos)
    one, _ = chosen(house, qos)
    house.step(one, answer(failed, 1, 0x80))
    assert house.heard() == {}
    house.step(one, LOST)
    house.step(one, kept(5, one))
    assert house.heard() == hears(**{one: connack(5, 1)})


@pytest.mark.parametrize(
    "expiry",
    [
        pytest.param(0, id="5: 4.8.2 its connection and its session end"),
        pytest.param(10, id="5: 4.8.2 its session expires"),
    ],
)
def test_a_qos_1_message_that_was_not_acknowledged_goes_to_another_when_its_session_ends(expiry):
    """The standard says that a server should; it may do so as soon as the connection is lost."""
    house = two_members(1, expiry)
    one, other = chosen(house, 1)
    house.step(one, LOST)
    early = house.heard()
    house.step("a", 11.0)
    late = house.heard()
    assert {**early, **late} == hears(**{other: OneOf(said(qos=1), said(qos=1, dup=1))})
    assert not (early and late)
