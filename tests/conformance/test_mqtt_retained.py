"""MQTT's normative statements about retained messages: which are kept, and which subscription is sent them.

Dialogues as in test_mqtt_dialogues.py.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    BYE,
    END,
    PUBACK,
    answer,
    arrive,
    both,
    hears,
    play,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
)

# What is said ---------------------------------------------------------------------------------------


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


def retained_at_qos_1(v):
    return [
        *arrive(v, "a", "b"),
        ("a", publish(v, "t/k", b"kept", 1, 7, retain=1), hears(a=answer(PUBACK, 7))),
        (
            "b",
            subscribe(v, 1, ("t/k", 2)),
            hears(b=[suback(v, 1, 2), publish(v, "t/k", b"kept", 1, 1, retain=1)]),
        ),
    ]


def empty_to_those_there(v):
    empty = publish(v, "t/k", b"", retain=1)
    return [
        *arrive(v, "a", "b"),
        take(v, "b", "t/#"),
        ("a", empty, hears(b=publish(v, "t/k", b""))),
    ]


def twice_in_one_packet(v):
    kept = publish(v, "t/k", b"kept", retain=1)
    return [
        *arrive(v, "a"),
        ("a", kept, {}),
        ("a", subscribe(v, 1, ("t/k", 16), ("t/k", 16)), hears(a=[suback(v, 1, 0, 0), kept])),
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


DIALOGUES = [
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
    *both(("3.3.1-5", "its QoS is kept"), ("3.3.1-5 3.8.4-8", "its QoS is kept"), retained_at_qos_1),
    *both(("3.3.1-10", "an empty one is sent"), ("3.3.1-6", "an empty one is sent"), empty_to_those_there),
    *row(5, "3.3.2-5 3.3.2-6", "expiry of what is retained", expiry(5)),
    *row(5, "3.8.4-5", "retain handling 1, twice in one packet", twice_in_one_packet(5)),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_retained(steps):
    play(steps)
