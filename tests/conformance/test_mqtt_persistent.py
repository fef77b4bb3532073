"""MQTT's normative statements about sessions that outlive their connection.

Dialogues as in test_mqtt_dialogues.py. A client's return is its next CONNECT after LOST or DISCONNECT; numbers
of seconds are virtual.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    BYE,
    END,
    LOST,
    PING,
    PONG,
    PROPERTIES,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    WILL,
    answer,
    arrive,
    both,
    come,
    connack,
    connect,
    disconnect,
    hears,
    kept,
    packet,
    play,
    publish,
    row,
    rows,
    take,
    unsuback,
    unsubscribe,
)


def begin(v, qos=1, **more):
    """b is there and publishes; a has subscribed in a session that is kept."""
    return [*arrive(v, "b", client="p"), come(v, "a", 0, **more), take(v, "a", "t/#", qos)]


def told(v, payload, qos, pid, *to_a):
    """b publishes under packet id `pid`; a, where it is there, gets `to_a`."""
    heard = {"a": list(to_a)} if to_a else {}
    said = answer(PUBACK if qos == 1 else PUBREC, pid)
    return ("b", publish(v, "t/a", payload, qos, pid), hears(b=said, **heard))


def gone(how):
    return ("a", how, hears(a=[END]) if how == BYE else {})


# What is said ---------------------------------------------------------------------------------------


def resumed(how):
    def steps(v):
        live = publish(v, "t/a", b"1", 1, 1)
        return [*begin(v), gone(how), come(v, "a", 1), told(v, b"1", 1, 1, live)]

    return steps


def resumed_after_silence(v):
    said = [END] if v == 3 else [disconnect(0x8D, "keep alive"), END]
    return [
        *begin(v, keep=10),
        ("b", 14.0, {}),
        ("b", PING, hears(b=PONG)),
        ("b", 1.1, hears(a=said)),
        told(v, b"1", 1, 1),
        come(v, "a", 1, publish(v, "t/a", b"1", 1, 1)),
    ]


def stored(v):
    """Four messages come while a is away: at its return they come in their order, each at its QoS."""
    return [
        *begin(v, 2),
        gone(LOST),
        *(told(v, b"%d" % n, 1 + n % 2, n) for n in range(1, 5)),
        come(v, "a", 1, *(publish(v, "t/a", b"%d" % n, 1 + n % 2, n) for n in range(1, 5))),
    ]


def stored_at_the_granted_qos(v):
    return [*begin(v), gone(LOST), told(v, b"1", 2, 1), come(v, "a", 1, publish(v, "t/a", b"1", 1, 1))]


def sent_again(v):
    return [
        *begin(v),
        told(v, b"1", 1, 1, publish(v, "t/a", b"1", 1, 1)),
        gone(LOST),
        come(v, "a", 1, publish(v, "t/a", b"1", 1, 1, dup=1)),
        gone(LOST),
        come(v, "a", 1, publish(v, "t/a", b"1", 1, 1, dup=1)),
        ("a", answer(PUBACK, 1), {}),
        gone(LOST),
        come(v, "a", 1),
    ]


def an_id_in_use(v):
    """A message that came later does not take the id of one that is sent again."""
    return [
        *begin(v),
        told(v, b"1", 1, 1, publish(v, "t/a", b"1", 1, 1)),
        gone(LOST),
        come(v, "a", 1, publish(v, "t/a", b"1", 1, 1, dup=1)),
        told(v, b"2", 1, 2, publish(v, "t/a", b"2", 1, 2)),
        ("a", answer(PUBACK, 2) + answer(PUBACK, 1), {}),
    ]


def sent_again_in_order(v):
    """Of three on their way the second is acknowledged; what came meanwhile follows what is sent again."""
    return [
        *begin(v),
        *(told(v, b"%d" % n, 1, n, publish(v, "t/a", b"%d" % n, 1, n)) for n in (1, 2, 3)),
        ("a", answer(PUBACK, 2), {}),
        gone(LOST),
        told(v, b"4", 1, 4),
        come(
            v,
            "a",
            1,
            publish(v, "t/a", b"1", 1, 1, dup=1),
            publish(v, "t/a", b"3", 1, 3, dup=1),
            publish(v, "t/a", b"4", 1, 4),
        ),
    ]


def qos_2_sent_again(v):
    return [
        *begin(v, 2),
        told(v, b"1", 2, 1, publish(v, "t/a", b"1", 2, 1)),
        gone(LOST),
        come(v, "a", 1, publish(v, "t/a", b"1", 2, 1, dup=1)),
        ("a", answer(PUBREC, 1), hears(a=answer(PUBREL, 1))),
        gone(LOST),
        come(v, "a", 1, answer(PUBREL, 1)),
        ("a", answer(PUBCOMP, 1), {}),
        gone(LOST),
        come(v, "a", 1),
    ]


def qos_2_taken_once(v):
    """The publisher comes back before PUBREL: its message is not handed on a second time."""
    got = publish(v, "t/a", b"1", 2, 7)
    return [
        *arrive(v, "b", client="p"),
        take(v, "b", "t/#"),
        come(v, "a", 0),
        ("a", got, hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1"))),
        gone(LOST),
        come(v, "a", 1),
        ("a", publish(v, "t/a", b"1", 2, 7, dup=1), hears(a=answer(PUBREC, 7))),
        gone(LOST),
        come(v, "a", 1),
        ("a", answer(PUBREL, 7), hears(a=answer(PUBCOMP, 7))),
        ("a", got, hears(a=answer(PUBREC, 7), b=publish(v, "t/a", b"1"))),
    ]


def discarded(v):
    """A clean start ends the session: no subscription, no message, and nothing to come back to."""
    fresh = connect(v, "c")
    return [
        *begin(v),
        gone(LOST),
        told(v, b"1", 1, 1),
        ("a", fresh, hears(a=connack(v))),
        told(v, b"2", 1, 2),
        gone(LOST),
        come(v, "a", 0),
        told(v, b"3", 1, 3),
    ]


def a_clean_start_that_is_kept(v):
    return [
        *begin(v),
        gone(LOST),
        come(v, "a", 0, flags=2),
        told(v, b"1", 1, 1),
        take(v, "a", "t/#", 1),
        gone(LOST),
        told(v, b"2", 1, 2),
        come(v, "a", 1, publish(v, "t/a", b"2", 1, 1)),
    ]


def taken_over(v):
    """The old connection ends; the new one has the session, with what is not acknowledged."""
    said = [END] if v == 3 else [disconnect(0x8E, "the client connected anew"), END]
    return [
        *begin(v),
        told(v, b"1", 1, 1, publish(v, "t/a", b"1", 1, 1)),
        ("a2", kept(v), hears(a2=[connack(v, 1), publish(v, "t/a", b"1", 1, 1, dup=1)], a=said)),
        ("b", publish(v, "t/a", b"2", 1, 2), hears(b=answer(PUBACK, 2), a2=publish(v, "t/a", b"2", 1, 2))),
    ]


def whose_it_is(v):
    """Neither another client id of the device nor another device with the id finds the session."""
    return [
        *begin(v),
        gone(LOST),
        come(v, "a", 0, client="other"),
        gone(LOST),
        come(v, "c", 0),
        told(v, b"1", 1, 1),
        come(v, "a", 1, publish(v, "t/a", b"1", 1, 1)),
    ]


def unsubscribed(v):
    return [
        *begin(v),
        ("a", unsubscribe(v, 2, "t/#"), hears(a=unsuback(v, 2, 0))),
        gone(LOST),
        told(v, b"1", 1, 1),
        come(v, "a", 1),
    ]


def a_will_once(v):
    """The session goes on and its will does not: a connection without one has none."""
    will = kept(v, flags=WILL, will=("t/w", "gone"))
    return [
        *arrive(v, "b", client="p"),
        take(v, "b", "t/#"),
        ("a", will, hears(a=connack(v))),
        ("a", LOST, hears(b=publish(v, "t/w", b"gone"))),
        come(v, "a", 1),
        gone(LOST),
    ]


# In 5 alone -------------------------------------------------------------------------------------------


def expired(wait, present):
    def steps(v):
        return [
            *begin(v, expiry=10),
            gone(LOST),
            told(v, b"1", 1, 1),
            ("b", wait, {}),
            come(v, "a", present, *([publish(v, "t/a", b"1", 1, 1)] if present else []), expiry=10),
        ]

    return steps


def counted_from_the_end(v):
    """What counts is the time without a connection, each time from its start."""
    return [
        *begin(v, expiry=10),
        ("b", 30.0, {}),
        gone(LOST),
        ("b", 9.0, {}),
        come(v, "a", 1, expiry=10),
        gone(LOST),
        ("b", 9.0, {}),
        come(v, "a", 1, expiry=10),
    ]


def goodbye(expiry):
    return packet(0xE0, b"\0", b"\5\x11", expiry.to_bytes(4, "big"))


def ended_by_disconnect(v):
    return [*begin(v), ("a", goodbye(0), hears(a=[END])), come(v, "a", 0)]


def prolonged_by_disconnect(v):
    return [
        *begin(v, expiry=10),
        ("a", goodbye(100), hears(a=[END])),
        ("b", 60.0, {}),
        ("b", PING, hears(b=PONG)),
        ("b", 39.0, {}),
        come(v, "a", 1),
    ]


def not_kept(given):
    """Without an interval, or with 0, the session ends with its connection whatever Clean Start says."""

    def steps(v):
        brief = connect(v, "c", flags=0, given=given)
        return [
            *arrive(v, "b", client="p"),
            ("a", brief, hears(a=connack(v))),
            take(v, "a", "t/#", 1),
            gone(LOST),
            told(v, b"1", 1, 1),
            ("a", brief, hears(a=connack(v))),
            told(v, b"2", 1, 2),
        ]

    return steps


def message_expiry_while_away(v):
    def brief(payload, pid, seconds):
        given = b"\x02" + seconds.to_bytes(4, "big")
        return ("b", publish(v, "t/a", payload, 1, pid, given=given), hears(b=answer(PUBACK, pid)))

    left = publish(v, "t/a", b"1", 1, 1, given=bytes.fromhex("0200000006"))
    return [
        *begin(v),
        gone(LOST),
        brief(b"1", 1, 10),
        brief(b"2", 2, 3),
        ("b", 4.0, {}),
        come(v, "a", 1, left),
    ]


def no_expiry_once_sent(v):
    def brief(seconds, dup, pid=1):
        return publish(v, "t/a", b"1", 2, pid, dup=dup, given=b"\x02" + seconds.to_bytes(4, "big"))

    return [
        *begin(v, 2),
        ("b", brief(10, 0, 7), hears(b=answer(PUBREC, 7), a=brief(10, 0))),
        gone(LOST),
        ("b", 20.0, {}),
        come(v, "a", 1, brief(0, 1)),
    ]


def a_smaller_window(v):
    """What is sent again keeps within the new connection's Receive Maximum."""
    one = bytes.fromhex("210001")
    return [
        *begin(v),
        *(told(v, b"%d" % n, 1, n, publish(v, "t/a", b"%d" % n, 1, n)) for n in (1, 2)),
        gone(LOST),
        come(v, "a", 1, publish(v, "t/a", b"1", 1, 1, dup=1), given=one),
        ("a", answer(PUBACK, 1), hears(a=publish(v, "t/a", b"2", 1, 2, dup=1))),
    ]


def too_large_by_now(sent_before):
    """The new connection takes no packets of the first message's size: it is passed over."""
    small = bytes.fromhex("2700000018")

    def steps(v):
        first = [publish(v, "t/a", b"x" * 40, 1, 1)] if sent_before else []
        return [
            *begin(v),
            *([] if sent_before else [gone(LOST)]),
            told(v, b"x" * 40, 1, 1, *first),
            *([gone(LOST)] if sent_before else []),
            told(v, b"2", 1, 2),
            come(v, "a", 1, publish(v, "t/a", b"2", 1, 2), given=small),
        ]

    return steps


def options_are_kept(v):
    """No local and retain as published, and the properties of what came meanwhile."""
    said = publish(v, "t/a", b"1", 1, 1, retain=1, given=PROPERTIES)
    return [
        *arrive(v, "b", client="p"),
        come(v, "a", 0),
        take(v, "a", "t/#", 1 | 4 | 8),
        gone(LOST),
        ("b", said, hears(b=answer(PUBACK, 1))),
        come(v, "a", 1, said),
        ("a", publish(v, "t/a", b"own", 1, 7), hears(a=answer(PUBACK, 7))),
    ]


def the_other_version(before):
    """The session is the client's, whatever it speaks: what was sent before, and what came meanwhile."""

    def steps(v):
        return [
            *arrive(5, "b", client="p"),
            come(before, "a", 0),
            take(before, "a", "t/#", 1),
            told(5, b"1", 1, 1, publish(before, "t/a", b"1", 1, 1)),
            gone(LOST),
            ("b", publish(5, "t/a", b"2", 1, 2, given=PROPERTIES), hears(b=answer(PUBACK, 2))),
            come(
                v,
                "a",
                1,
                publish(v, "t/a", b"1", 1, 1, dup=1),
                publish(v, "t/a", b"2", 1, 2, given=PROPERTIES),
            ),
            ("a", answer(PUBACK, 1) + answer(PUBACK, 2), {}),
        ]

    return steps


def failed_and_not_again(qos, failed):
    def steps(v):
        return [
            *begin(v, qos),
            told(v, b"1", 2, 1, publish(v, "t/a", b"1", qos, 1)),
            ("a", answer(failed, 1, 0x80), {}),
            gone(LOST),
            come(v, "a", 1),
        ]

    return steps


DIALOGUES = [
    *both(
        ("3.1.2-4 3.2.2-2 4.1.0-1", "back after a failure"),
        ("3.1.2-5 3.1.2-23 3.2.2-3", "back after a failure"),
        resumed(LOST),
    ),
    *both(
        ("3.1.2-4 3.2.2-2", "back after DISCONNECT"),
        ("3.1.2-5 3.1.2-23 3.2.2-3", "back after DISCONNECT"),
        resumed(BYE),
    ),
    *both(
        ("3.1.2-4 3.1.2-24", "back after silence"),
        ("3.1.2-5 3.1.2-22", "back after silence"),
        resumed_after_silence,
    ),
    *both(
        ("3.1.2-5 4.5.0-1 4.6.0-6", "messages while away"),
        ("4.5.0-1 4.6.0-5", "messages while away"),
        stored,
    ),
    *both(("3.8.4-6", "the granted QoS"), ("3.8.4-8", "the granted QoS"), stored_at_the_granted_qos),
    *both(
        ("3.3.1-1 4.4.0-1 4.3.2-1 2.3.1-4", "sent again until PUBACK"),
        ("3.3.1-1 4.4.0-1 4.3.2-3", "sent again until PUBACK"),
        sent_again,
    ),
    *both(("2.3.1-4 4.3.2-1", "an id in use"), ("2.2.1-4 4.3.2-1", "an id in use"), an_id_in_use),
    *both(
        ("4.6.0-6", "sent again in order"), ("4.4.0-1 4.6.0-5", "sent again in order"), sent_again_in_order
    ),
    *both(
        ("4.4.0-1 4.3.3-1", "QoS 2 sent again"),
        ("4.4.0-1 4.3.3-3 4.3.3-5 4.3.3-6", "QoS 2 sent again"),
        qos_2_sent_again,
    ),
    *both(
        ("4.3.3-2 4.1.0-1", "QoS 2 taken once"),
        ("4.3.3-10 4.3.3-12", "QoS 2 taken once"),
        qos_2_taken_once,
    ),
    *both(
        ("3.1.2-6 3.1.4-3 3.2.2-1 3.2.2-3", "a clean start"),
        ("3.1.2-4 3.1.4-4 3.2.2-2 3.2.2-3", "a clean start"),
        discarded,
    ),
    *row(5, "3.1.2-4 3.1.2-23 3.2.2-2", "a clean start that is kept", a_clean_start_that_is_kept(5)),
    *both(
        ("3.1.4-2 3.2.2-2 4.4.0-1", "a session taken over"),
        ("3.1.4-3 3.2.2-3 4.4.0-1", "a session taken over"),
        taken_over,
    ),
    *both(("3.1.3-2", "whose session it is"), ("3.1.3-2", "whose session it is"), whose_it_is),
    *both(("3.10.4-2", "unsubscribed"), ("3.10.4-2", "unsubscribed"), unsubscribed),
    *both(("3.1.2-8 3.1.2-10", "a will once"), ("3.1.2-8 3.1.2-10", "a will once"), a_will_once),
    *row(5, "3.1.2-23", "back before the session expires", expired(9.9, 1)(5)),
    *row(5, "4.1.0-2", "back after it has expired", expired(10.1, 0)(5)),
    *row(5, "3.1.2-23 4.1.0-1", "counted from the end of each connection", counted_from_the_end(5)),
    *row(5, "4.1.0-2", "DISCONNECT ends the session", ended_by_disconnect(5)),
    *row(5, "3.1.2-23", "DISCONNECT prolongs it", prolonged_by_disconnect(5)),
    *row(5, "4.1.0-2 3.1.2-6", "no session expiry interval", not_kept(b"")(5)),
    *row(5, "4.1.0-2 3.1.2-6", "session expiry interval 0", not_kept(bytes.fromhex("1100000000"))(5)),
    *row(5, "3.3.2-5 3.3.2-6", "messages that expire while away", message_expiry_while_away(5)),
    *row(5, "4.3.3-7", "no expiry of what was sent", no_expiry_once_sent(5)),
    *row(5, "3.3.4-9 4.9.0-1 4.9.0-2", "sent again within the window", a_smaller_window(5)),
    *row(3, "3.1.2-4 3.2.2-2", "a session begun in 5", the_other_version(5)(3)),
    *row(5, "3.1.2-5 3.2.2-3", "a session begun in 3.1.1", the_other_version(3)(5)),
    (
        "5: 3.2.2.3.2 no longer than 30 days, which is told",
        [("a", kept(5, expiry=0xFFFF_FFFF), hears(a=connack(5, given=bytes.fromhex("1100278d00"))))],
    ),
    *row(5, "3.1.2-24 3.1.2-25", "too large by now, not sent yet", too_large_by_now(sent_before=False)(5)),
    *row(5, "3.1.2-24 3.1.2-25", "too large by now, sent before", too_large_by_now(sent_before=True)(5)),
    *row(
        5,
        "3.1.2-5 3.8.3-3 3.3.1-13 3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20",
        "options and properties are kept",
        options_are_kept(5),
    ),
    *row(5, "4.4.0-2", "a failed PUBACK is an end", failed_and_not_again(1, PUBACK)(5)),
    *row(5, "4.4.0-2", "a failed PUBREC is an end", failed_and_not_again(2, PUBREC)(5)),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_persistent(steps):
    play(steps)
