"""MQTT 5's normative statements about subscription identifiers. Dialogues as in test_mqtt_dialogues.py.

To a client whose subscriptions overlap this server sends one copy, with all their identifiers.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    LOST,
    PUBACK,
    PUBREC,
    OneOf,
    answer,
    arrive,
    come,
    hears,
    packet,
    play,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
    variable,
)


def ids(*numbers):
    return b"".join(b"\x0b" + variable(number) for number in numbers)


def ask(who, pid, number, *filters, then=()):
    codes = (options & 3 for _, options in filters)
    packet_sent = subscribe(5, pid, *filters, given=ids(number))
    return (who, packet_sent, hears(**{who: [suback(5, pid, *codes), *then]}))


def said(qos, *numbers, payload=b"1", pid=1, retain=0):
    return publish(5, "t/a", payload, qos, pid, retain=retain, given=ids(*numbers))


def published(qos, *, pid=1, payload=b"1", **heard):
    own = {"a": answer(PUBACK if qos == 1 else PUBREC, pid)} if qos else {}
    return ("a", publish(5, "t/a", payload, qos, pid), hears(**own, **heard))


HERE = [step for who in "abc" for step in arrive(5, who, client=who)]

DIALOGUES = [
    *row(5, "3.3.4-3", "at QoS 0", [*HERE, ask("b", 1, 7, ("t/#", 0)), published(0, b=said(0, 7))]),
    *row(5, "3.3.4-3", "at QoS 1", [*HERE, ask("b", 1, 7, ("t/#", 1)), published(1, b=said(1, 7))]),
    *row(5, "3.3.4-3", "at QoS 2", [*HERE, ask("b", 1, 7, ("t/#", 2)), published(2, b=said(2, 7))]),
    *row(
        5,
        "3.3.4-3",
        "the smallest and the largest",
        [
            *HERE,
            ask("b", 1, 1, ("t/#", 0)),
            ask("c", 1, 268_435_455, ("t/#", 0)),
            published(0, b=said(0, 1), c=said(0, 268_435_455)),
        ],
    ),
    *row(
        5,
        "3.3.4-3",
        "for all filters of a SUBSCRIBE",
        [
            *HERE,
            ask("b", 1, 7, ("t/a", 0), ("t/b", 0)),
            published(0, b=said(0, 7)),
            ("a", publish(5, "t/b", b"1"), hears(b=publish(5, "t/b", b"1", given=ids(7)))),
        ],
    ),
    *row(
        5,
        "3.3.4-3 3.3.4-4 3.3.4-5",
        "overlapping subscriptions",
        [
            *HERE,
            ask("b", 1, 7, ("t/#", 1)),
            ask("b", 2, 8, ("t/+", 0)),
            published(1, b=OneOf(said(1, 7, 8), said(1, 8, 7))),
        ],
    ),
    *row(
        5,
        "3.3.4-4",
        "overlapping, one without",
        [*HERE, ask("b", 1, 7, ("t/#", 0)), take(5, "b", "t/+", 1, 2), published(1, b=said(1, 7))],
    ),
    *row(
        5,
        "3.8.4-3",
        "replaced by another",
        [*HERE, ask("b", 1, 7, ("t/#", 0)), ask("b", 2, 8, ("t/#", 0)), published(0, b=said(0, 8))],
    ),
    *row(
        5,
        "3.8.4-3",
        "replaced by none",
        [*HERE, ask("b", 1, 7, ("t/#", 0)), take(5, "b", "t/#", 0, 2), published(0, b=said(0))],
    ),
    *row(
        5,
        "3.3.4-3 3.3.1-9",
        "with what is retained",
        [
            *HERE,
            ("a", said(0, retain=1), {}),
            ask("b", 1, 7, ("t/#", 0), then=[said(0, 7, retain=1)]),
        ],
    ),
    *row(
        5,
        "3.3.4-3",
        "none where none was given",
        [*HERE, ask("b", 1, 7, ("t/#", 0)), take(5, "c", "t/#"), published(0, b=said(0, 7), c=said(0))],
    ),
    *row(
        5,
        "3.3.4-3 3.1.2-5",
        "kept with the session",
        [
            *arrive(5, "a", client="p"),
            come(5, "b", 0),
            ask("b", 1, 7, ("t/#", 1)),
            published(1, b=said(1, 7)),
            ("b", LOST, {}),
            published(1, pid=2, payload=b"2"),
            come(
                5,
                "b",
                1,
                packet(0x3A, said(1, 7)[2:]),
                said(1, 7, payload=b"2", pid=2),
            ),
        ],
    ),
    *row(
        5,
        "3.3.4-3",
        "of a shared subscription",
        [*HERE, ask("b", 1, 7, ("$share/g/t/#", 0)), published(0, b=said(0, 7))],
    ),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_subscription_identifier(steps):
    play(steps)
