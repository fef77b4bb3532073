"""MQTT 5's normative statements about a will's delay. Dialogues as in test_mqtt_dialogues.py, in virtual time."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    BYE,
    END,
    LOST,
    PROPERTIES,
    WILL,
    WILL_RETAIN,
    arrive,
    come,
    connack,
    connect,
    disconnect,
    hears,
    kept,
    play,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
)

DELAYED = b"\x18" + (5).to_bytes(4, "big")
SAID = publish(5, "t/w", b"gone")
BYE_WITH_WILL = bytes.fromhex("e00104")
TAKEN_OVER = [disconnect(0x8E, "the client connected anew"), END]


def with_will(expiry=60, present=0, words="gone", given=DELAYED, flags=WILL):
    will = kept(5, expiry=expiry, flags=flags, will=("t/w", words), will_given=given)
    return ("a", will, hears(a=connack(5, present)))


def begin(**more):
    """b listens; a comes with a will that is delayed by 5 seconds, in a session that is kept for 60."""
    return [*arrive(5, "b", client="p"), take(5, "b", "t/#"), with_will(**more)]


def said_after(seconds):
    """The will comes then, and not before; its delay is not told."""
    return [("b", seconds - 0.1, {}), ("b", 0.2, hears(b=SAID)), ("b", 30.0, {})]


DIALOGUES = [
    *row(5, "3.1.2-8", "the delay", [*begin(), ("a", LOST, {}), *said_after(5.0)]),
    *row(
        5,
        "3.1.3-10 3.1.2-8",
        "its properties, and not its delay",
        [
            *begin(given=PROPERTIES + DELAYED),
            ("a", LOST, {}),
            ("b", 5.1, hears(b=publish(5, "t/w", b"gone", given=PROPERTIES))),
        ],
    ),
    *row(
        5,
        "3.1.2-8",
        "the session ends first",
        [*begin(expiry=3), ("a", LOST, {}), *said_after(3.0)],
    ),
    *row(
        5,
        "3.1.2-8",
        "the session ends at once",
        [*begin(expiry=0), ("a", LOST, hears(b=SAID)), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.3-9 3.1.2-8",
        "back in time",
        [*begin(), ("a", LOST, {}), ("b", 4.9, {}), come(5, "a", 1), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.3-9",
        "back in time with another will",
        [
            *begin(words="old"),
            ("a", LOST, {}),
            ("b", 4.9, {}),
            with_will(present=1),
            ("b", 30.0, {}),
            ("a", LOST, {}),
            *said_after(5.0),
        ],
    ),
    *row(
        5,
        "3.1.2-8",
        "back too late",
        [*begin(), ("a", LOST, {}), ("b", 5.1, hears(b=SAID)), come(5, "a", 1), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.2-8",
        "a clean start ends the session",
        [*begin(), ("a", LOST, {}), ("a", connect(5), hears(a=connack(5), b=SAID)), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.2-10 3.14.4-3",
        "DISCONNECT 0 discards it",
        [*begin(), ("a", BYE, hears(a=[END])), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.2-8",
        "DISCONNECT 0x04 lets it wait",
        [*begin(), ("a", BYE_WITH_WILL, hears(a=[END])), *said_after(5.0)],
    ),
    *row(
        5,
        "3.1.2-8",
        "DISCONNECT 0x04 ends the session too",
        [
            *begin(),
            ("a", bytes.fromhex("e007 04 05 11 00000000"), hears(a=[END], b=SAID)),
            ("b", 30.0, {}),
        ],
    ),
    *row(
        5,
        "3.1.3-9 3.1.4-3",
        "taken over by its own session",
        [*begin(), ("a2", kept(5), hears(a2=connack(5, 1), a=TAKEN_OVER)), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.2-8 3.1.4-3",
        "taken over by a clean start",
        [*begin(), ("a2", connect(5), hears(a2=connack(5), a=TAKEN_OVER, b=SAID)), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.2-8 3.1.4-3",
        "no delay, taken over by its own session",
        [*begin(given=b""), ("a2", kept(5), hears(a2=connack(5, 1), a=TAKEN_OVER, b=SAID)), ("b", 30.0, {})],
    ),
    *row(
        5,
        "3.1.2-15 3.1.2-8",
        "retained when it is due",
        [
            with_will(flags=WILL | WILL_RETAIN),
            ("a", LOST, {}),
            *arrive(5, "b", client="p"),
            take(5, "b", "t/w"),
            ("b", 5.1, hears(b=SAID)),
            (
                "b",
                subscribe(5, 2, ("t/w", 0)),
                hears(b=[suback(5, 2, 0), publish(5, "t/w", b"gone", retain=1)]),
            ),
        ],
    ),
]


@pytest.mark.parametrize("steps", rows(DIALOGUES))
def test_will_delay(steps):
    play(steps)
