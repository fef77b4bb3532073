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
    BYE,
    CONNACK,
    END,
    LOST,
    PING,
    PONG,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    WILL,
    WILL_QOS_1,
    WILL_RETAIN,
    House,
    answer,
    arrive,
    both,
    connect,
    disconnect,
    hears,
    packet,
    props,
    publish,
    row,
    suback,
    subscribe,
    take,
    text,
    unsuback,
    unsubscribe,
)

# What is said ---------------------------------------------------------------------------------------


def a_takeover(v):
    end = [END] if v == 3 else [disconnect(0x8E, "the client connected anew"), END]
    return [*arrive(v, "a"), ("a2", connect(v), hears(a2=CONNACK[v], a=end)), ("a2", PING, hears(a2=PONG))]


def a_will(flags, sent, *, then=LOST):
    def steps(v):
        will = publish(v, "t/w", b"gone", *((1, 1) if flags & WILL_QOS_1 else ()))
        return [
            *arrive(v, "b"),
            take(v, "b", "t/#", 1),
            ("a", connect(v, flags=2 | flags, will=("t/w", "gone")), hears(a=CONNACK[v])),
            ("a", then, hears(**({"b": will} if sent else {}), **({"a": [END]} if then == BYE else {}))),
        ]

    return steps


def a_will_on_a_fault(v):
    said = [END] if v == 3 else [disconnect(0x82, "a second CONNECT came (5, 3.1.0-2)"), END]
    steps = a_will(WILL, sent=True)(v)[:-1]
    return [*steps, ("a", connect(v), hears(b=publish(v, "t/w", b"gone"), a=said))]


def a_retained_will(retained):
    def steps(v):
        owed = [suback(v, 1, 0), *([publish(v, "t/w", b"gone", retain=1)] if retained else [])]
        flags = 2 | WILL | (WILL_RETAIN if retained else 0)
        return [
            ("a", connect(v, flags=flags, will=("t/w", "gone")), hears(a=CONNACK[v])),
            ("a", LOST, {}),
            *arrive(v, "b"),
            ("b", subscribe(v, 1, ("t/#", 0)), hears(b=owed)),
        ]

    return steps


def silence(v):
    said = [END] if v == 3 else [disconnect(0x8D, "keep alive"), END]
    return [("a", connect(v, keep=10), hears(a=CONNACK[v])), ("a", 14.9, {}), ("a", 0.2, hears(a=said))]


def speech_keeps_alive(v):
    return [
        ("a", connect(v, keep=10), hears(a=CONNACK[v])),
        *[step for _ in range(3) for step in (("a", 14.0, {}), ("a", PING, hears(a=PONG)))],
    ]


def retained(stored, *more, sent=True, options=0, replace=b"kept"):
    """`stored` packets come from a; then b subscribes and gets (or not) the last one."""

    def steps(v):
        owed = [suback(v, 1, options & 3), *([publish(v, "t/k", replace, retain=1)] if sent else [])]
        return [
            *arrive(v, "a"),
            *(("a", publish(v, "t/k", payload, retain=flag), {}) for payload, flag in stored),
            *arrive(v, "b"),
            ("b", subscribe(v, 1, ("t/k", options)), hears(b=owed)),
            *more,
        ]

    return steps


def retain_flag(published, expected, options=0):
    def steps(v):
        return [
            *arrive(v, "a", "b"),
            take(v, "b", "t/#", options),
            (
                "a",
                publish(v, "t/k", b"x", retain=published),
                hears(b=publish(v, "t/k", b"x", retain=expected)),
            ),
        ]

    return steps


def resubscribed(v):
    again = publish(v, "t/k", b"kept", retain=1)
    return [
        *retained([(b"kept", 1)])(v),
        ("b", subscribe(v, 2, ("t/k", 0)), hears(b=[suback(v, 2, 0), again])),
        ("a", publish(v, "t/k", b"once"), hears(b=publish(v, "t/k", b"once"))),
    ]


def kept_after_the_session(v):
    return [
        *arrive(v, "a"),
        ("a", publish(v, "t/k", b"kept", retain=1), {}),
        ("a", BYE, hears(a=[END])),
        *arrive(v, "b"),
        ("b", subscribe(v, 1, ("t/k", 0)), hears(b=[suback(v, 1, 0), publish(v, "t/k", b"kept", retain=1)])),
    ]


def handling(value, first, again):
    def steps(v):
        kept = publish(v, "t/k", b"kept", retain=1)
        options = value << 4
        return [
            *arrive(v, "a", "b"),
            ("a", publish(v, "t/k", b"kept", retain=1), {}),
            ("b", subscribe(v, 1, ("t/k", options)), hears(b=[suback(v, 1, 0), *([kept] if first else [])])),
            ("b", subscribe(v, 2, ("t/k", options)), hears(b=[suback(v, 2, 0), *([kept] if again else [])])),
        ]

    return steps


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


def a_failed_pubrec(v):
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("210001")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 2),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 2, 1))),
        ("a", publish(v, "t/a", b"2", 1, 8), hears(a=answer(PUBACK, 8))),
        ("b", answer(PUBREC, 1, 0x80), hears(b=publish(v, "t/a", b"2", 1, 2))),
    ]


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


def in_order(v):
    many = b"".join(publish(v, "t/a", b"%d" % n, 1, n) for n in range(1, 6))
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#", 1),
        ("a", many, hears(a=b"".join(answer(PUBACK, n) for n in range(1, 6)), b=many)),
    ]


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


PROPERTIES = (
    bytes.fromhex("0101")
    + b"\x03" + text("text/plain") + b"\x08" + text("t/reply") + b"\x09" + text(b"\0\xff")
    + b"\x26" + text("k") + text("2") + b"\x26" + text("a") + text("0") + b"\x26" + text("k") + text("1")
)  # fmt: skip


def properties_travel(v):
    given = publish(v, "t/a", b"x", given=PROPERTIES)
    return [*arrive(v, "a", "b"), take(v, "b", "t/#"), ("a", given, hears(b=given))]


def a_will_with_properties(v):
    told = publish(v, "t/w", b"gone", given=PROPERTIES)
    will = connect(v, flags=2 | WILL, will=("t/w", "gone"), will_given=PROPERTIES)
    return [
        *arrive(v, "b"),
        take(v, "b", "t/#"),
        ("a", will, hears(a=CONNACK[v])),
        ("a", LOST, hears(b=told)),
    ]


def expiry(v):
    sent = publish(v, "t/k", b"x", retain=1, given=bytes.fromhex("020000000a"))
    left = publish(v, "t/k", b"x", retain=1, given=bytes.fromhex("0200000006"))
    return [
        *arrive(v, "a", "b"),
        ("a", sent, {}),
        ("a", 4.0, {}),
        ("b", subscribe(v, 1, ("t/k", 0)), hears(b=[suback(v, 1, 0), left])),
        ("a", 6.5, {}),
        ("b", subscribe(v, 2, ("t/k", 0)), hears(b=suback(v, 2, 0))),
    ]


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


def too_large(v):
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("2700000020")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 1),
        ("a", publish(v, "t/a", b"x" * 40, 1, 1), hears(a=answer(PUBACK, 1))),
        ("a", publish(v, "t/a", b"x", 1, 2), hears(a=answer(PUBACK, 2), b=publish(v, "t/a", b"x", 1, 1))),
    ]


def small_goodbye(v):
    small = connect(v, given=bytes.fromhex("2700000014"))
    return [("a", small, hears(a=CONNACK[v])), ("a", b"\xc1\0", hears(a=[b"\xe0\x01\x81", END]))]


def no_local(v):
    return [*arrive(v, "a"), take(v, "a", "t/#", 4), ("a", publish(v, "t/a", b"1"), {})]


def assigned(v):
    def connack(name):
        properties = CONNACK[5][5:] + b"\x12" + text(name)
        return packet(0x20, b"\0\0", props(5, properties))

    return [
        ("a", connect(v, ""), hears(a=connack("edgecore-1"))),
        ("b", connect(v, ""), hears(b=connack("edgecore-2"))),
    ]


def no_method(v):
    refused = packet(
        0x20, b"\0\x8c", props(5, b"\x1f" + text("no authentication method is served beside certificates"))
    )
    return [("a", connect(v, given=b"\x15" + text("x")) + PING, hears(a=[refused, END]))]


def no_problem_information(v):
    taken = packet(0xE0, bytes((0x8E,)))
    return [
        ("a", connect(v, given=bytes.fromhex("1700")), hears(a=CONNACK[5])),
        ("a", publish(v, "x", b"1", 1, 1), hears(a=answer(PUBACK, 1, 0x87))),
        ("a2", connect(v), hears(a2=CONNACK[5], a=[taken, END])),
    ]


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


DIALOGUES = [
    *both(("3.1.4-2 3.1.3-2", "a takeover"), ("3.1.4-3 3.1.3-2 3.14.4-1 3.14.4-2", "a takeover"), a_takeover),
    *both(("3.1.2-8", "a will at QoS 0"), ("3.1.2-7 3.1.2-8", "a will at QoS 0"), a_will(WILL, sent=True)),
    *both(
        ("3.1.2-9", "a will at QoS 1"), ("3.1.2-9", "a will at QoS 1"), a_will(WILL | WILL_QOS_1, sent=True)
    ),
    *both(("3.1.2-8", "a will after a fault"), ("3.1.2-8", "a will after a fault"), a_will_on_a_fault),
    *both(
        ("3.1.2-10 3.14.4-3", "no will after DISCONNECT"),
        ("3.1.2-10 3.14.4-3", "no will after DISCONNECT"),
        a_will(WILL, sent=False, then=BYE),
    ),
    *row(
        5,
        "3.1.2-8",
        "a will after DISCONNECT 0x04",
        [
            *a_will(WILL, sent=True)(5)[:-1],
            ("a", bytes.fromhex("e00104"), hears(a=[END], b=publish(5, "t/w", b"gone"))),
        ],
    ),
    *row(
        3,
        "3.1.2-12",
        "no will, nothing published",
        [
            *arrive(3, "a", "b"),
            take(3, "b", "t/#"),
            ("a", LOST, {}),
        ],
    ),
    *both(
        ("3.1.2-16", "a will is not retained"), ("3.1.2-14", "a will is not retained"), a_retained_will(False)
    ),
    *both(("3.1.2-17", "a will is retained"), ("3.1.2-15", "a will is retained"), a_retained_will(True)),
    *both(("3.1.2-24", "silence"), ("3.1.2-22 3.2.2-22 4.13.2-1", "silence"), silence),
    *both(("3.1.2-24", "a PINGREQ in time"), ("3.1.2-22 3.12.4-1", "a PINGREQ in time"), speech_keeps_alive),
    *both(("3.3.1-5 3.3.1-6 3.3.1-8", "retained"), ("3.3.1-5 3.3.1-9", "retained"), retained([(b"kept", 1)])),
    *both(("3.3.1-7", "the last one"), ("3.3.1-5", "the last one"), retained([(b"old", 1), (b"kept", 1)])),
    *both(
        ("3.3.1-10 3.3.1-11", "an empty one removes"),
        ("3.3.1-6 3.3.1-7", "an empty one removes"),
        retained([(b"kept", 1), (b"", 1)], sent=False),
    ),
    *both(("3.3.1-12", "unflagged"), ("3.3.1-8", "unflagged"), retained([(b"kept", 1), (b"other", 0)])),
    *both(("3.3.1-9", "live, so no flag"), ("3.3.1-12", "live, so no flag"), retain_flag(1, 0)),
    *both(("3.8.4-3", "retained ones come again"), ("3.8.4-4", "retained ones come again"), resubscribed),
    *row(3, "3.1.2-7", "retained messages outlive the session", kept_after_the_session(3)),
    *row(5, "3.3.1-13", "retain as published, 1", retain_flag(1, 1, 8)(5)),
    *row(5, "3.3.1-13", "retain as published, 0", retain_flag(0, 0, 8)(5)),
    *row(5, "3.3.1-9", "retain handling 0", handling(0, True, True)(5)),
    *row(5, "3.3.1-10", "retain handling 1", handling(1, True, False)(5)),
    *row(5, "3.3.1-11", "retain handling 2", handling(2, False, False)(5)),
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
    *row(5, "4.4.0-2", "a failed PUBREC is an end", a_failed_pubrec(5)),
    *row(5, "3.3.4-9 3.3.4-10 4.9.0-1 4.9.0-2 4.9.0-3 4.3.2-3", "receive maximum 1", the_window(5)),
    *both(("4.6.0-5 4.6.0-6", "in order"), ("4.6.0-5 4.6.0-6", "in order"), in_order),
    *both(
        ("3.10.4-1 3.10.4-2 3.10.4-3 3.10.4-4", "UNSUBSCRIBE"),
        ("3.10.4-1 3.10.4-2 3.10.4-3 3.10.4-4", "UNSUBSCRIBE"),
        after_unsubscribe,
    ),
    *both(("3.8.4-6", "the lower QoS"), ("3.8.4-8 3.8.4-7", "the lower QoS"), lowest_qos),
    *both(("3.3.5-1 4.3.1-1", "overlapping"), ("3.3.4-2", "overlapping"), overlapping),
    *both(("3.8.4-3", "replaced"), ("3.8.4-3", "replaced"), replaced),
    *both(("4.7.2-1", "$ topics"), ("4.7.2-1 4.3.1-1", "$ topics"), dollar),
    *both(("4.7.3-4", "no normalisation"), ("4.7.3-4 3.3.2-3", "no normalisation"), as_written),
    *both(("3.3.5-2", "not authorised"), ("3.4.2-1", "not authorised"), unauthorised),
    *both(("7.1.1-1", "packets in any split"), ("4.2.0-1", "packets in any split"), split),
    *row(
        5, "3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20", "properties travel", properties_travel(5)
    ),
    *row(5, "3.1.3-10", "a will's properties", a_will_with_properties(5)),
    *row(5, "3.3.2-5 3.3.2-6", "expiry of what is retained", expiry(5)),
    *row(5, "3.3.2-5", "expiry in the queue", expiry_behind_the_window(5)),
    *row(5, "3.1.2-24 3.1.2-25", "too large for the client", too_large(5)),
    *row(5, "3.14.2-3", "no reason string that is too large", small_goodbye(5)),
    *row(5, "3.8.3-3", "no local", no_local(5)),
    *row(5, "3.1.3-6 3.1.3-7 3.2.2-16", "an assigned client id", assigned(5)),
    *row(5, "4.12.0-1 3.1.4-2 3.1.4-6 3.2.2-6 3.2.2-7 3.2.2-8 3.14.0-1", "AUTH refused", no_method(5)),
    *row(5, "3.1.2-29", "no problem information", no_problem_information(5)),
    *row(5, "3.3.4-7", "more than receive maximum", flooded(5)),
    *row(
        5,
        "3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-1 3.2.2-2 3.1.2-4 4.12.0-6 3.1.2-27 3.1.3-5 3.1.2-28",
        "CONNACK",
        [
            *arrive(5, "a", client="abcXYZ01234567890123456"),
            ("a", PING, hears(a=PONG)),
        ],
    ),
    *row(5, "3.1.2-6 3.2.2-3 3.1.4-4", "no session to come back to", arrive(5, "a", flags=0)),
    *row(3, "3.2.2-3 3.1.4-3", "no session to come back to", arrive(3, "a", flags=0)),
]


@pytest.mark.parametrize("steps", [pytest.param(steps, id=name) for name, steps in DIALOGUES])
def test_dialogue(steps):
    house = House()
    for number, (who, what, expected) in enumerate(steps, 1):
        house.step(who, what)
        found = house.heard()
        if what == LOST:
            found.pop(who, None)
        expected = {name: [each for each in said if each] for name, said in expected.items()}
        assert found == expected, f"step {number}"
