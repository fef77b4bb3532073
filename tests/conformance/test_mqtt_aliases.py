"""MQTT 5's normative statements about topic aliases, in both directions. Dialogues as in test_mqtt_dialogues.py.

Which topics the server gives a number to, and when, is its own choice; that it keeps to the client's maximum
and that the client can always tell the topic is not.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from dialogue import (
    ALIASES,
    CONNACK,
    END,
    LOST,
    PUBACK,
    PUBREC,
    House,
    answer,
    arrive,
    come,
    connect,
    hears,
    kept,
    packets,
    play,
    publish,
    row,
    rows,
    suback,
    subscribe,
    take,
)


def alias(number):
    return b"\x23" + number.to_bytes(2, "big")


def short(topic, number, payload=b"1", qos=0, pid=1, **more):
    return publish(5, topic, payload, qos, pid, given=alias(number), **more)


def plain(topic, payload=b"1", qos=0, pid=1, **more):
    return publish(5, topic, payload, qos, pid, **more)


HERE = [*arrive(5, "a", "b"), take(5, "b", "t/#", 2)]


class Fault:
    """A DISCONNECT with that reason code, whatever it says beside it."""

    def __init__(self, reason):
        self.reason = reason

    def __eq__(self, other):
        return (other[0], other[2]) == (0xE0, self.reason)

    def __hash__(self):
        return hash(self.reason)

    def __repr__(self):
        return f"DISCONNECT {self.reason:#x}"


def refused(who, what, reason):
    return (who, what, {who: [Fault(reason), END]})


RECEIVED = [
    *row(
        5,
        "3.3.2-12",
        "given and used",
        [
            *HERE,
            ("a", short("t/a", 1, b"1"), hears(b=plain("t/a", b"1"))),
            ("a", short("", 1, b"2"), hears(b=plain("t/a", b"2"))),
            ("a", plain("t/b", b"3"), hears(b=plain("t/b", b"3"))),
            ("a", short("", 1, b"4"), hears(b=plain("t/a", b"4"))),
        ],
    ),
    *row(
        5,
        "3.3.2-12",
        "every one that was announced",
        [
            *HERE,
            *(("a", short(f"t/{n}", n), hears(b=plain(f"t/{n}"))) for n in range(1, ALIASES + 1)),
            *(("a", short("", n), hears(b=plain(f"t/{n}"))) for n in range(1, ALIASES + 1)),
        ],
    ),
    *row(
        5,
        "3.3.2-9 3.2.2-17 4.13.1-1",
        "one above the maximum",
        [*HERE, refused("a", short("t/a", ALIASES + 1), 0x94)],
    ),
    *row(
        5,
        "3.3.2-12",
        "given anew",
        [
            *HERE,
            ("a", short("t/a", 1), hears(b=plain("t/a"))),
            ("a", short("t/b", 1), hears(b=plain("t/b"))),
            ("a", short("", 1), hears(b=plain("t/b"))),
        ],
    ),
    *row(
        5,
        "3.3.2-12",
        "at every QoS, and retained",
        [
            *HERE,
            ("a", short("t/a", 1, qos=1, pid=7), hears(a=answer(PUBACK, 7), b=plain("t/a", qos=1))),
            (
                "a",
                short("", 1, qos=2, pid=8, retain=1),
                hears(a=answer(PUBREC, 8), b=plain("t/a", qos=2, pid=2)),
            ),
            (
                "b",
                subscribe(5, 2, ("t/a", 0)),
                hears(b=[suback(5, 2, 0), plain("t/a", retain=1)]),
            ),
        ],
    ),
    *row(5, "4.13.1-1", "one that was never given", [*HERE, refused("a", short("", 1), 0x82)]),
    *row(
        5,
        "4.13.1-1",
        "another client's",
        [
            *HERE,
            ("a", short("t/a", 1), hears(b=plain("t/a"))),
            refused("b", short("", 1), 0x82),
        ],
    ),
    *row(
        5,
        "3.3.2-7",
        "of an earlier connection",
        [
            *arrive(5, "b", client="p"),
            take(5, "b", "t/#"),
            come(5, "a", 0),
            ("a", short("t/a", 1), hears(b=plain("t/a"))),
            ("a", LOST, {}),
            come(5, "a", 1),
            refused("a", short("", 1), 0x82),
        ],
    ),
]


@pytest.mark.parametrize("steps", rows(RECEIVED))
def test_aliases_from_the_client(steps):
    play(steps)


# What the server sends ----------------------------------------------------------------------------


class Reader:
    """A client that keeps the aliases of one connection and tells what each PUBLISH is about."""

    def __init__(self):
        self.topics, self.used = {}, []

    def read(self, data):
        """(topic, payload) of each PUBLISH in `data`."""
        found = []
        for each in packets(data):
            assert each[0] >> 4 == 3
            size = int.from_bytes(each[2:4], "big")
            topic, rest = each[4 : 4 + size].decode(), each[4 + size :]
            rest = rest[2:] if each[0] & 6 else rest
            given, payload = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
            number = 0
            if given:
                assert given[0] == 0x23
                number = int.from_bytes(given[1:], "big")
                assert number
                self.used.append(number)
                if topic:
                    self.topics[number] = topic
            assert topic or number
            found.append((topic or self.topics[number], payload))
        return found


def sent(house, *messages, qos=0):
    """What b hears when a publishes these."""
    heard = b""
    for number, (topic, payload) in enumerate(messages, 1):
        house.step("a", publish(5, topic, payload, qos, number))
        heard += b"".join(house.heard().get("b", []))
    return heard


def listening(maximum, **more):
    """A house where b takes `maximum` aliases and is subscribed."""
    house = House()
    for who, what in (
        ("a", connect(5, "p")),
        ("b", kept(5, given=b"\x22" + maximum.to_bytes(2, "big"), **more)),
        ("b", subscribe(5, 1, ("t/#", 1))),
    ):
        house.step(who, what)
    house.heard()
    return house


SPOKEN = [(f"t/{topic}", b"%d" % turn) for turn in range(3) for topic in range(4)]


@pytest.mark.parametrize(
    ("maximum", "qos"),
    [
        pytest.param(maximum, qos, id=f"5: MQTT-3.1.2-26, 5: MQTT-3.3.2-11 {maximum} aliases, QoS {qos}")
        for maximum in (1, 2, 16)
        for qos in (0, 1)
    ],
)
def test_aliases_to_the_client_keep_to_its_maximum(maximum, qos):
    reader = Reader()
    assert reader.read(sent(listening(maximum), *SPOKEN, qos=qos)) == SPOKEN
    assert reader.used
    assert all(number <= maximum for number in reader.used)


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(b"", id="5: MQTT-3.1.2-27 no maximum"),
        pytest.param(bytes.fromhex("220000"), id="5: MQTT-3.1.2-27 the maximum 0"),
    ],
)
def test_without_a_maximum_there_are_none(given):
    listener = connect(5, given=given)
    play(
        [
            *arrive(5, "a", client="p"),
            ("b", listener, hears(b=CONNACK[5])),
            take(5, "b", "t/#"),
            *(("a", plain(topic, payload), hears(b=plain(topic, payload))) for topic, payload in SPOKEN),
        ]
    )


@pytest.mark.parametrize(
    "qos", [pytest.param(qos, id=f"5: MQTT-3.3.2-7 a new connection, QoS {qos}") for qos in (0, 1)]
)
def test_a_new_connection_begins_without_aliases(qos):
    """At QoS 1 what was not acknowledged is sent again: its topic must be there, too."""
    house, reader = listening(4), Reader()
    assert reader.read(sent(house, *SPOKEN, qos=qos)) == SPOKEN
    house.step("b", LOST)
    house.step("b", kept(5, given=bytes.fromhex("220004")))
    again = packets(b"".join(house.heard()["b"]))[1:]
    reader = Reader()
    assert reader.read(b"".join(again)) == (SPOKEN if qos else [])
    assert reader.read(sent(house, ("t/0", b"new"))) == [("t/0", b"new")]
