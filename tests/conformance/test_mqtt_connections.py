"""MQTT's normative statements about how a connection begins and ends: CONNECT, wills, keep alive, AUTH.

Dialogues as in test_mqtt_dialogues.py.
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
    PROPERTIES,
    PUBACK,
    PUBREC,
    PUBREL,
    WILL,
    WILL_QOS_1,
    WILL_QOS_2,
    WILL_RETAIN,
    answer,
    arrive,
    both,
    connack,
    connect,
    disconnect,
    hears,
    packet,
    play,
    props,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
    text,
)

# What is said ---------------------------------------------------------------------------------------


def a_takeover(v):
    end = [END] if v == 3 else [disconnect(0x8E, "the client connected anew"), END]
    return [*arrive(v, "a"), ("a2", connect(v), hears(a2=CONNACK[v], a=end)), ("a2", PING, hears(a2=PONG))]


def a_will(flags, sent, *, then=LOST):
    qos = flags >> 3 & 3

    def steps(v):
        will = publish(v, "t/w", b"gone", qos, 1)
        return [
            *arrive(v, "b"),
            take(v, "b", "t/#", 2),
            ("a", connect(v, flags=2 | flags, will=("t/w", "gone")), hears(a=CONNACK[v])),
            ("a", then, hears(**({"b": will} if sent else {}), **({} if then == LOST else {"a": [END]}))),
        ]

    return steps


def a_will_on_a_fault(v):
    said = [END] if v == 3 else [disconnect(0x82, "a second CONNECT came (5, 3.1.0-2)"), END]
    steps = a_will(WILL, sent=True)(v)[:-1]
    return [*steps, ("a", connect(v), hears(b=publish(v, "t/w", b"gone"), a=said))]


def a_will_on_a_takeover(v):
    said = [END] if v == 3 else [disconnect(0x8E, "the client connected anew"), END]
    steps = a_will(WILL, sent=True)(v)[:-1]
    return [*steps, ("a2", connect(v), hears(b=publish(v, "t/w", b"gone"), a=said, a2=CONNACK[v]))]


def a_will_on_silence(v):
    said = [END] if v == 3 else [disconnect(0x8D, "keep alive"), END]
    will = connect(v, flags=2 | WILL, keep=10, will=("t/w", "gone"))
    return [
        *arrive(v, "b"),
        take(v, "b", "t/#"),
        ("a", will, hears(a=CONNACK[v])),
        ("a", 15.1, hears(b=publish(v, "t/w", b"gone"), a=said)),
    ]


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


def a_will_with_properties(v):
    told = publish(v, "t/w", b"gone", given=PROPERTIES)
    will = connect(v, flags=2 | WILL, will=("t/w", "gone"), will_given=PROPERTIES)
    return [
        *arrive(v, "b"),
        take(v, "b", "t/#"),
        ("a", will, hears(a=CONNACK[v])),
        ("a", LOST, hears(b=told)),
    ]


def silence(v):
    said = [END] if v == 3 else [disconnect(0x8D, "keep alive"), END]
    return [("a", connect(v, keep=10), hears(a=CONNACK[v])), ("a", 14.9, {}), ("a", 0.2, hears(a=said))]


def half_a_packet(v):
    said = [END] if v == 3 else [disconnect(0x8D, "keep alive"), END]
    return [
        ("a", connect(v, keep=10), hears(a=CONNACK[v])),
        ("a", 14.0, {}),
        ("a", PING[:1], {}),
        ("a", 1.1, hears(a=said)),
    ]


def speech_keeps_alive(v):
    return [
        ("a", connect(v, keep=10), hears(a=CONNACK[v])),
        *[step for _ in range(3) for step in (("a", 14.0, {}), ("a", PING, hears(a=PONG)))],
    ]


def the_servers_keep_alive(v):
    told = connack(v, given=bytes.fromhex("1304b0"))
    end = [disconnect(0x8D, "keep alive"), END]
    return [("a", connect(v, keep=0), hears(a=told)), ("a", 1799.9, {}), ("a", 0.2, hears(a=end))]


def a_long_connection(v):
    """What is known of both clients stays known through five hours of nothing but PINGREQ."""
    an_hour = [
        step
        for _ in range(4)
        for step in (("a", 900.0, {}), ("a", PING, hears(a=PONG)), ("b", PING, hears(b=PONG)))
    ]
    return [
        *arrive(v, "a", "b", keep=1200),
        take(v, "b", "t/#", 2),
        ("a", publish(v, "t/a", b"1", 2, 7), hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1", 2, 1))),
        *an_hour * 5,
        ("a", publish(v, "t/a", b"1", 2, 7, dup=1), hears(a=answer(PUBREC, 7))),
        ("b", answer(PUBREC, 1), hears(b=answer(PUBREL, 1))),
        ("a", publish(v, "t/a", b"2", 1, 8), hears(a=answer(PUBACK, 8), b=publish(v, "t/a", b"2", 1, 2))),
    ]


def an_assigned_connack(name):
    return connack(5, given=b"\x12" + text(name))


def assigned(v):
    return [
        ("a", connect(v, ""), hears(a=an_assigned_connack("edgecore-1"))),
        ("b", connect(v, ""), hears(b=an_assigned_connack("edgecore-2"))),
    ]


def two_without_a_name(v):
    first, second = (CONNACK[v],) * 2 if v == 3 else map(an_assigned_connack, ("edgecore-1", "edgecore-2"))
    return [
        ("a", connect(v, ""), hears(a=first)),
        ("a2", connect(v, ""), hears(a2=second)),
        ("a", PING, hears(a=PONG)),
    ]


def a_name_that_is_taken(v):
    second = CONNACK[v] if v == 3 else an_assigned_connack("edgecore-2")
    return [
        *arrive(v, "a", client="edgecore-1"),
        ("a2", connect(v, ""), hears(a2=second)),
        ("a", PING, hears(a=PONG)),
    ]


def too_long_a_name(v):
    why = b"\x1f" + text("a client id has at most 1024 bytes")
    refused = packet(0x20, b"\0\2") if v == 3 else packet(0x20, b"\0\x85", props(v, why))
    return [("a", connect(v, "c" * 1025), hears(a=[refused, END]))]


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


def every_qos(v):
    return [
        *arrive(v, "a"),
        ("a", subscribe(v, 1, ("t/0", 0), ("t/1", 1), ("t/2", 2)), hears(a=suback(v, 1, 0, 1, 2))),
        ("a", publish(v, "t/a", b"", 2, 1), hears(a=answer(PUBREC, 1))),
    ]


DIALOGUES = [
    *both(
        ("3.1.4-2 3.1.3-2", "a takeover"),
        ("3.1.4-3 3.1.3-2 3.14.2-2 3.14.4-1 3.14.4-2", "a takeover"),
        a_takeover,
    ),
    *both(("3.1.2-8", "a will at QoS 0"), ("3.1.2-7 3.1.2-8", "a will at QoS 0"), a_will(WILL, sent=True)),
    *both(
        ("3.1.2-9", "a will at QoS 1"), ("3.1.2-9", "a will at QoS 1"), a_will(WILL | WILL_QOS_1, sent=True)
    ),
    *both(
        ("3.1.2-9", "a will at QoS 2"),
        ("3.1.2-9 3.1.2-12 3.2.2-12", "a will at QoS 2"),
        a_will(WILL | WILL_QOS_2, sent=True),
    ),
    *both(("3.1.2-8", "a will after a fault"), ("3.1.2-8", "a will after a fault"), a_will_on_a_fault),
    *both(("3.1.2-8", "a will on a takeover"), ("3.1.2-8", "a will on a takeover"), a_will_on_a_takeover),
    *both(
        ("3.1.2-8 3.1.2-24", "a will after silence"),
        ("3.1.2-8 3.1.2-22", "a will after silence"),
        a_will_on_silence,
    ),
    *both(
        ("3.1.2-10 3.14.4-3", "no will after DISCONNECT"),
        ("3.1.2-10 3.14.4-3", "no will after DISCONNECT"),
        a_will(WILL, sent=False, then=BYE),
    ),
    *row(
        5, "3.1.2-8", "a will after DISCONNECT 0x04", a_will(WILL, sent=True, then=bytes.fromhex("e00104"))(5)
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
    *both(
        ("3.1.2-17", "a will is retained"), ("3.1.2-15 3.2.2-13", "a will is retained"), a_retained_will(True)
    ),
    *row(5, "3.1.3-10", "a will's properties", a_will_with_properties(5)),
    *both(("3.1.2-24", "silence"), ("3.1.2-22 3.2.2-22 4.13.2-1", "silence"), silence),
    *both(("3.1.2-24", "a PINGREQ in time"), ("3.1.2-22 3.12.4-1", "a PINGREQ in time"), speech_keeps_alive),
    *row(
        3,
        "3.1.2-24",
        "keep alive 0 has no end",
        [
            ("a", connect(3, keep=0), hears(a=CONNACK[3])),
            ("a", 1e6, {}),
            ("a", PING, hears(a=PONG)),
        ],
    ),
    *row(5, "3.1.2-22", "the server's keep alive", the_servers_keep_alive(5)),
    *both(("4.1.0-1 4.1.0-2", "a long connection"), ("4.1.0-1", "a long connection"), a_long_connection),
    *row(5, "3.1.3-6 3.1.3-7 3.2.2-16", "an assigned client id", assigned(5)),
    *both(
        ("3.1.3-6", "two without a client id"), ("3.1.3-6 3.2.2-16", "two without one"), two_without_a_name
    ),
    *both(("3.1.3-9", "too long a client id"), ("3.1.3-8 3.2.2-8", "too long a client id"), too_long_a_name),
    *row(
        5,
        "4.12.0-1 4.12.0-2 4.12.0-4 4.12.0-5 3.15.2-2 3.15.2-3 3.1.4-2 3.1.4-6 3.2.2-6 3.2.2-7 3.2.2-8 3.14.0-1",
        "AUTH refused",
        no_method(5),
    ),
    *row(5, "3.1.2-29", "no problem information", no_problem_information(5)),
    *row(5, "3.2.2-9 3.2.2-10", "every QoS is served", every_qos(5)),
    *row(
        5,
        "3.1.4-5 3.2.0-1 3.2.2-1 3.2.2-2 3.1.2-4 4.12.0-6 3.1.2-27 3.1.3-5 3.1.2-28 3.2.2-20",
        "CONNACK",
        [
            *arrive(5, "a", client="abcXYZ01234567890123456"),
            ("a", PING, hears(a=PONG)),
        ],
    ),
    *row(5, "3.1.2-6 3.2.2-3 3.1.4-4", "no session to come back to", arrive(5, "a", flags=0)),
    *row(3, "3.2.2-3 3.1.4-3", "no session to come back to", arrive(3, "a", flags=0)),
    *both(("3.1.3-6", "a taken name"), ("3.1.3-6 3.2.2-16", "a taken name"), a_name_that_is_taken),
    *both(("3.1.2-24", "half a packet"), ("3.1.2-22", "half a packet"), half_a_packet),
    *row(
        5, "3.1.2-8", "a will after DISCONNECT 0x82", a_will(WILL, sent=True, then=bytes.fromhex("e00182"))(5)
    ),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_connection(steps):
    play(steps)
