"""MQTT's normative statements that take more than one packet: small dialogues of one, two or three clients.

Each row is named by the statements that it proves, "3:" of MQTT 3.1.1 and "5:" of MQTT 5, and is a list of
steps (who, what it sends, {who: what it is sent}). The packets are built here, byte by byte, and not by
the codec under test. Bytes that nobody is said to get may not come.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    CONNACK,
    END,
    PING,
    PONG,
    PROPERTIES,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    answer,
    arrive,
    both,
    connect,
    disconnect,
    hears,
    play,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
    unsuback,
    unsubscribe,
)

# What is said ---------------------------------------------------------------------------------------


def qos_1_out(v):
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 1),
        (
            "a",
            publish(v, "t/a", b"1", 1, 7, dup=1),
            hears(a=answer(PUBACK, 7), b=publish(v, "t/a", b"1", 1, 1)),
        ),
        ("a", publish(v, "t/a", b"2", 1, 7), hears(a=answer(PUBACK, 7), b=publish(v, "t/a", b"2", 1, 2))),
        ("b", answer(PUBACK, 1), {}),
        ("b", answer(PUBACK, 2), {}),
    ]


def qos_2_in(v):
    got = publish(v, "t/a", b"1")
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#"),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=got)),
        ("a", publish(v, "t/a", b"1", 2, 7, dup=1), hears(a=answer(PUBREC, 7))),
        ("a", answer(PUBREL, 7), hears(a=answer(PUBCOMP, 7))),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=got)),
    ]


def qos_2_out(v):
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 2),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 2, 1))),
        ("b", answer(PUBREC, 1), hears(b=answer(PUBREL, 1))),
        ("b", answer(PUBREC, 1), hears(b=answer(PUBREL, 1))),  # no PUBLISH again, the PUBREL instead
        ("b", answer(PUBCOMP, 1), {}),
    ]


def a_refused_qos_2_id(v):
    refused = answer(PUBREC, 7, 0x87)
    again = publish(v, "x", b"1", 2, 7)
    return [*arrive(v, "a"), ("a", again, hears(a=refused)), ("a", again, hears(a=refused))]


def a_failed_answer(qos, failed):
    def steps(v):
        return [
            *arrive(v, "a"),
            ("b", connect(v, given=bytes.fromhex("210001")), hears(b=CONNACK[v])),
            take(v, "b", "t/#", qos),
            (
                "a",
                publish(v, "t/a", b"1", 2, 7),
                hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", qos, 1)),
            ),
            ("a", publish(v, "t/a", b"2", 1, 8), hears(a=answer(PUBACK, 8))),
            ("b", answer(failed, 1, 0x80), hears(b=publish(v, "t/a", b"2", 1, 2))),
        ]

    return steps


def the_window(v):
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("210001")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 1),
        ("a", publish(v, "t/a", b"1", 1, 1), hears(a=answer(PUBACK, 1), b=publish(v, "t/a", b"1", 1, 1))),
        ("a", publish(v, "t/a", b"2", 1, 2), hears(a=answer(PUBACK, 2))),
        ("b", PING, hears(b=PONG)),
        ("a", publish(v, "t/a", b"0"), hears(b=publish(v, "t/a", b"0"))),
        ("b", answer(PUBACK, 1), hears(b=publish(v, "t/a", b"2", 1, 2))),
    ]


def in_order(qos):
    def steps(v):
        many = b"".join(publish(v, "t/a", b"%d" % n, qos, n) for n in range(1, 6))
        said = {0: b"", 1: PUBACK, 2: PUBREC}[qos]
        return [
            *arrive(v, "a", "b"),
            take(v, "b", "t/#", 2),
            (
                "a",
                many,
                hears(b=many, **({"a": b"".join(answer(said, n) for n in range(1, 6))} if qos else {})),
            ),
        ]

    return steps


def after_unsubscribe(v):
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/+", 2),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 2, 1))),
        ("b", unsubscribe(v, 2, "t/#"), hears(b=unsuback(v, 2, 0x11))),  # only the very same filter counts
        ("a", publish(v, "t/a", b"2"), hears(b=publish(v, "t/a", b"2"))),
        ("b", unsubscribe(v, 3, "t/+"), hears(b=unsuback(v, 3, 0))),
        ("a", publish(v, "t/a", b"3"), {}),
        ("b", answer(PUBREC, 1), hears(b=answer(PUBREL, 1))),
        ("b", answer(PUBCOMP, 1), {}),
    ]


def lowest_qos(v):
    steps = [*arrive(v, "a", "b", "c")]
    steps += [take(v, "b", "t/#", 1), take(v, "c", "t/#", 0)]
    out = hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 1, 1), c=publish(v, "t/a", b"1"))
    return [*steps, ("a", publish(v, "t/a", b"1", 2, 7), out)]


def overlapping(v):
    two = subscribe(v, 1, ("t/#", 0), ("t/+", 1))
    got = publish(v, "t/a", b"1", 1, 1)
    return [
        *arrive(v, "a", "b"),
        ("b", two, hears(b=suback(v, 1, 0, 1))),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=got)),
    ]


def replaced(v):
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 0),
        take(v, "b", "t/#", 1, 2),
        ("a", publish(v, "t/a", b"1", 1, 7), hears(a=answer(PUBACK, 7), b=publish(v, "t/a", b"1", 1, 1))),
    ]


def dollar(v):
    return [
        *arrive(v, "a", "b", "c"),
        ("b", subscribe(v, 1, ("#", 0), ("+/a", 0)), hears(b=suback(v, 1, 0, 0))),
        take(v, "c", "$x/#"),
        ("a", publish(v, "$x/a", b"1"), hears(c=publish(v, "$x/a", b"1"))),
    ]


def as_written(v):
    composed, decomposed = "t/\u00e9", "t/e\u0301"
    return [
        *arrive(v, "a", "b", "c"),
        take(v, "b", composed),
        take(v, "c", decomposed),
        ("a", publish(v, composed, b"1"), hears(b=publish(v, composed, b"1"))),
        ("a", publish(v, decomposed, b"1"), hears(c=publish(v, decomposed, b"1"))),
        ("a", publish(v, "t/\u00c9", b"1"), {}),
    ]


def properties_travel(v):
    given = publish(v, "t/a", b"x", given=PROPERTIES)
    return [*arrive(v, "a", "b"), take(v, "b", "t/#"), ("a", given, hears(b=given))]


def expiry_behind_the_window(v):
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("210001")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 1),
        ("a", publish(v, "t/a", b"1", 1, 1), hears(a=answer(PUBACK, 1), b=publish(v, "t/a", b"1", 1, 1))),
        ("a", publish(v, "t/a", b"2", 1, 2, given=bytes.fromhex("0200000001")), hears(a=answer(PUBACK, 2))),
        ("a", 2.0, {}),
        ("b", answer(PUBACK, 1), {}),
    ]


def no_local(v):
    return [*arrive(v, "a"), take(v, "a", "t/#", 4), ("a", publish(v, "t/a", b"1"), {})]


def unauthorised(v):
    said = answer(PUBACK, 1) if v == 3 else answer(PUBACK, 1, 0x87)
    return [*arrive(v, "a"), ("a", publish(v, "x", b"1", 1, 1), hears(a=said))]


def flooded(v):
    many = b"".join(publish(v, "t/a", b"", 2, n) for n in range(1, 1026))
    got = b"".join(answer(PUBREC, n) for n in range(1, 1025))
    why = "more than 1024 messages are unacknowledged"
    return [*arrive(v, "a"), ("a", many, hears(a=[got, disconnect(0x93, why), END]))]


def split(v):
    return [
        *arrive(v, "a"),
        ("a", PING[:1], {}),
        ("a", PING[1:] + PING[:1], hears(a=PONG)),
        ("a", PING[1:], hears(a=PONG)),
    ]


def every_packet(v):
    """Each packet that a server sends has the flags of the standard's table: 2 for PUBREL, else 0."""
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 2),
        ("a", publish(v, "t/a", b"1", 1, 1), hears(a=answer(0x40, 1), b=publish(v, "t/a", b"1", 1, 1))),
        ("a", publish(v, "t/a", b"2", 2, 2), hears(a=answer(0x50, 2), b=publish(v, "t/a", b"2", 2, 2))),
        ("a", answer(PUBREL, 2), hears(a=answer(0x70, 2))),
        ("b", answer(PUBREC, 2), hears(b=answer(0x62, 2))),
        ("b", unsubscribe(v, 2, "t/#"), hears(b=unsuback(v, 2, 0))),
        ("b", PING, hears(b=b"\xd0\0")),
    ]


def pubrels_in_order(v):
    two = publish(v, "t/a", b"1", 2, 1) + publish(v, "t/a", b"2", 2, 2)
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 2),
        ("a", two, hears(a=answer(PUBREC, 1) + answer(PUBREC, 2), b=two)),
        ("b", answer(PUBREC, 2) + answer(PUBREC, 1), hears(b=answer(PUBREL, 2) + answer(PUBREL, 1))),
    ]


def nothing_again(v):
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 2),
        ("a", publish(v, "t/a", b"1", 1, 1), hears(a=answer(PUBACK, 1), b=publish(v, "t/a", b"1", 1, 1))),
        ("a", publish(v, "t/a", b"2", 2, 2), hears(a=answer(PUBREC, 2), b=publish(v, "t/a", b"2", 2, 2))),
        ("b", answer(PUBREC, 2), hears(b=answer(PUBREL, 2))),
        *[
            step
            for _ in range(10)
            for step in (("b", 60.0, {}), ("b", PING, hears(b=PONG)), ("a", PING, hears(a=PONG)))
        ],
    ]


def the_window_at_qos_2(v):
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("210001")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 2),
        ("a", publish(v, "t/a", b"1", 2, 1), hears(a=answer(PUBREC, 1), b=publish(v, "t/a", b"1", 2, 1))),
        ("a", publish(v, "t/a", b"2", 2, 2), hears(a=answer(PUBREC, 2))),
        ("b", answer(PUBREC, 1), hears(b=answer(PUBREL, 1))),
        ("b", answer(PUBCOMP, 1), hears(b=publish(v, "t/a", b"2", 2, 2))),
    ]


def no_expiry_once_sent(v):
    brief = bytes.fromhex("020000000a")
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 2),
        (
            "a",
            publish(v, "t/a", b"1", 2, 7, given=brief),
            hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 2, 1, given=brief)),
        ),
        ("b", 20.0, {}),
        ("b", answer(PUBREC, 1), hears(b=answer(PUBREL, 1))),
        ("b", answer(PUBCOMP, 1), {}),
    ]


def qos_2_in_after_expiry(v):
    brief = publish(v, "t/a", b"2", 2, 8, given=bytes.fromhex("0200000001"))
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("210001")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 1),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 1, 1))),
        ("a", brief, hears(a=answer(PUBREC, 8))),
        ("a", 2.0, {}),
        ("b", answer(PUBACK, 1), {}),
        ("a", answer(PUBREL, 8), hears(a=answer(PUBCOMP, 8))),
    ]


def the_longest_topic(v):
    """A longer one cannot be said: the length in front of it has two bytes."""
    longest = "t/" + "x" * 65_533
    return [
        *arrive(v, "a", "b"),
        take(v, "b", longest),
        ("a", publish(v, longest, b"1"), hears(b=publish(v, longest, b"1"))),
    ]


def no_room(v):
    """A route leads to a function that is not running: the message cannot be taken now."""
    said = [END] if v == 3 else answer(PUBACK, 1, 0x97)
    return [*arrive(v, "a"), ("a", publish(v, "f/x", b"1", 1, 1), hears(a=said))]


def no_local_for_another_client(v):
    return [
        *arrive(v, "a", client="one"),
        *arrive(v, "a2", client="two"),
        take(v, "a2", "t/#", 4),
        ("a", publish(v, "t/a", b"1"), hears(a2=publish(v, "t/a", b"1"))),
        ("a2", publish(v, "t/a", b"2"), {}),
    ]


DIALOGUES = [
    *both(
        ("4.3.2-1 4.3.2-2 2.3.1-4 3.3.1-3", "QoS 1 through"),
        ("4.3.2-1 4.3.2-2 4.3.2-5 2.2.1-4 3.3.1-3", "QoS 1 through"),
        qos_1_out,
    ),
    *both(
        ("4.3.3-2", "a QoS 2 message once"),
        ("4.3.3-8 4.3.3-10 4.3.3-11 4.3.3-12", "a QoS 2 message once"),
        qos_2_in,
    ),
    *both(
        ("4.3.3-1 2.3.1-6", "QoS 2 out"),
        ("4.3.3-1 4.3.3-2 4.3.3-4 4.3.3-6 2.2.1-5", "QoS 2 out"),
        qos_2_out,
    ),
    *row(5, "4.3.3-9", "an id is free after a refused PUBREC", a_refused_qos_2_id(5)),
    *row(5, "4.4.0-2", "a failed PUBACK is an end", a_failed_answer(1, PUBACK)(5)),
    *row(5, "4.4.0-2", "a failed PUBREC is an end", a_failed_answer(2, PUBREC)(5)),
    *row(5, "3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3 4.3.2-3", "receive maximum 1", the_window(5)),
    *both(
        ("4.6.0-5 4.6.0-6 4.3.1-1", "in order, 0"), ("4.6.0-5 4.6.0-6 4.3.1-1", "in order, 0"), in_order(0)
    ),
    *both(("4.6.0-5 4.6.0-6", "in order, 1"), ("4.6.0-5 4.6.0-6", "in order, 1"), in_order(1)),
    *both(("4.6.0-5 4.6.0-6", "in order, 2"), ("4.6.0-5 4.6.0-6", "in order, 2"), in_order(2)),
    *both(
        ("3.10.4-1 3.10.4-2 3.10.4-3 3.10.4-4 2.3.1-7", "UNSUBSCRIBE"),
        ("3.10.4-1 3.10.4-2 3.10.4-3 3.10.4-4", "UNSUBSCRIBE"),
        after_unsubscribe,
    ),
    *both(("3.8.4-6", "the lower QoS"), ("3.8.4-8 3.8.4-7", "the lower QoS"), lowest_qos),
    *both(("3.3.5-1 3.8.3-2 4.3.1-1", "overlapping"), ("3.3.4-2", "overlapping"), overlapping),
    *both(("3.8.4-3", "replaced"), ("3.8.4-3", "replaced"), replaced),
    *both(("4.7.2-1", "$ topics"), ("4.7.2-1 4.3.1-1", "$ topics"), dollar),
    *both(("4.7.3-4 3.3.2-3", "no normalisation"), ("4.7.3-4 3.3.2-3", "no normalisation"), as_written),
    *both(("3.3.5-2", "not authorised"), ("3.4.2-1", "not authorised"), unauthorised),
    *both(("7.1.1-1", "packets in any split"), ("4.2.0-1", "packets in any split"), split),
    *row(
        5, "3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20", "properties travel", properties_travel(5)
    ),
    *row(5, "3.3.2-5", "expiry in the queue", expiry_behind_the_window(5)),
    *row(5, "3.8.3-3", "no local", no_local(5)),
    *row(5, "3.3.4-7", "more than receive maximum", flooded(5)),
    *both(("2.2.2-1", "flags as listed"), ("2.1.3-1", "flags as listed"), every_packet),
    *both(("4.6.0-6", "PUBRELs in order"), ("4.3.3-4", "PUBRELs in order"), pubrels_in_order),
    *both(("4.4.0-1", "nothing again unasked"), ("4.4.0-1", "nothing again unasked"), nothing_again),
    *row(5, "4.3.3-3 4.3.3-5 4.9.0-2", "receive maximum 1 at QoS 2", the_window_at_qos_2(5)),
    *row(5, "4.3.3-7", "no expiry of what was sent", no_expiry_once_sent(5)),
    *row(5, "4.3.3-13", "QoS 2 goes on after expiry", qos_2_in_after_expiry(5)),
    *both(("4.7.3-3", "the longest topic"), ("4.7.3-3", "the longest topic"), the_longest_topic),
    *both(("4.8.0-2", "a message that has no room"), ("3.4.2-1", "a message that has no room"), no_room),
    *row(5, "4.5.0-1", "no local, and another client of the device", no_local_for_another_client(5)),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_dialogue(steps):
    play(steps)
