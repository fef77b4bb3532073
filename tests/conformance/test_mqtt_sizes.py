"""MQTT 5's normative statements about the client's Maximum Packet Size, reason strings and user properties.

Dialogues as in test_mqtt_dialogues.py. No answer but CONNACK and DISCONNECT ever has a reason string here, and
none has user properties.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    CONNACK,
    END,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    House,
    answer,
    arrive,
    connect,
    hears,
    packet,
    packets,
    play,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
    text,
    unsuback,
    unsubscribe,
)

# Room for CONNACK, and for no sentence.
SMALL = bytes.fromhex("2700000014")


def small(*steps):
    return [("a", connect(5, given=SMALL), hears(a=CONNACK[5])), *steps]


def too_large(v):
    return [
        *arrive(v, "a"),
        ("b", connect(v, given=bytes.fromhex("2700000020")), hears(b=CONNACK[v])),
        take(v, "b", "t/#", 1),
        ("a", publish(v, "t/a", b"x" * 40, 1, 1), hears(a=answer(PUBACK, 1))),
        ("a", publish(v, "t/a", b"x", 1, 2), hears(a=answer(PUBACK, 2), b=publish(v, "t/a", b"x", 1, 1))),
    ]


REFUSED = [
    *row(5, "3.1.2-24 3.1.2-25", "too large for the client", too_large(5)),
    *row(
        5,
        "3.4.2-2 3.4.2-3",
        "PUBACK of a PUBLISH that is refused",
        small(("a", publish(5, "x", b"1", 1, 1), hears(a=answer(PUBACK, 1, 0x87)))),
    ),
    *row(
        5,
        "3.5.2-2 3.5.2-3",
        "PUBREC of a PUBLISH that is refused",
        small(("a", publish(5, "x", b"1", 2, 1), hears(a=answer(PUBREC, 1, 0x87)))),
    ),
    *row(
        5,
        "3.6.2-2 3.6.2-3",
        "PUBREL for what is not known",
        small(("a", answer(PUBREC, 9), hears(a=answer(PUBREL, 9, 0x92)))),
    ),
    *row(
        5,
        "3.7.2-2 3.7.2-3",
        "PUBCOMP for what is not known",
        small(("a", answer(PUBREL, 9), hears(a=answer(PUBCOMP, 9, 0x92)))),
    ),
    *row(
        5,
        "3.9.2-1 3.9.2-2",
        "SUBACK of a filter that is refused",
        small(("a", subscribe(5, 1, ("x", 0)), hears(a=suback(5, 1, 0x87)))),
    ),
    *row(
        5,
        "3.11.2-1 3.11.2-2",
        "UNSUBACK of a filter that is not known",
        small(("a", unsubscribe(5, 1, "t/a"), hears(a=unsuback(5, 1, 0x11)))),
    ),
    *row(
        5,
        "3.14.2-2 3.14.2-3 3.14.2-4",
        "DISCONNECT without its sentence",
        small(("a", b"\xc1\0", hears(a=[b"\xe0\x01\x81", END]))),
    ),
    *row(
        5,
        "3.2.2-19",
        "CONNACK without its sentence",
        [("a", connect(5, given=SMALL + b"\x15" + text("x")), hears(a=[packet(0x20, b"\0\x8c\0"), END]))],
    ),
]


@pytest.mark.parametrize("steps", rows(REFUSED))
def test_size(steps):
    play(steps)


MANY = [(f"t/{number}", 0) for number in range(20)]
TOO_SMALL = [
    ("5: MQTT-3.1.2-24 CONNACK", 5, b""),
    ("5: MQTT-3.1.2-24 SUBACK", 20, subscribe(5, 1, *MANY)),
    ("5: MQTT-3.1.2-24 UNSUBACK", 20, unsubscribe(5, 1, *(name for name, _ in MANY))),
]


@pytest.mark.parametrize(("maximum", "asks"), rows(TOO_SMALL))
def test_a_client_too_small_for_its_answer_is_sent_none_and_closed(maximum, asks):
    house = House()
    house.step("a", connect(5, given=b"\x27" + maximum.to_bytes(4, "big")) + asks)
    heard = house.heard()["a"]
    assert heard.pop() == END
    assert all(len(each) <= maximum for each in packets(b"".join(heard)))
