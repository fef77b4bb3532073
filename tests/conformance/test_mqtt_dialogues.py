"""MQTT's normative statements that take more than one packet: small dialogues of one, two or three clients.

Each row is named by the statements that it proves, "3:" of MQTT 3.1.1 and "5:" of MQTT 5, and is a list of
steps (who, what it sends, {who: what it is sent}). The packets are built here, byte by byte, and not by
the codec under test. Bytes that nobody is said to get may not come.
"""

from __future__ import annotations

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.admission import Admission
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.router import Router

END = "the server ends the connection"
LOST = "the network fails"
CONNACK = {
    3: bytes.fromhex("20020000"),
    5: bytes.fromhex("200f00000c2104002700040000 2900 2a00".replace(" ", "")),
}

# Packets, written down ------------------------------------------------------------------------------


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return len(raw).to_bytes(2, "big") + raw


def packet(first, *parts):
    body = b"".join(parts)
    assert len(body) < 16_384
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 127 | 128, len(body) >> 7))
    return bytes((first,)) + length + body


def props(version, given=b""):
    return bytes((len(given),)) + given if version == 5 else b""


def connect(v, client="c", flags=2, keep=60, will=(), given=b"", will_given=b""):
    fields = [text(client)]
    if will:
        fields += [props(v, will_given), text(will[0]), text(will[1])]
    level = bytes((4 if v == 3 else 5, flags))
    return packet(0x10, text("MQTT"), level, keep.to_bytes(2, "big"), props(v, given), *fields)


def publish(v, topic, payload, qos=0, pid=0, retain=0, dup=0, given=b""):
    where = pid.to_bytes(2, "big") if qos else b""
    return packet(0x30 | dup << 3 | qos << 1 | retain, text(topic), where, props(v, given), payload)


def subscribe(v, pid, *filters, given=b""):
    rows = b"".join(text(one) + bytes((options,)) for one, options in filters)
    return packet(0x82, pid.to_bytes(2, "big"), props(v, given), rows)


def suback(v, pid, *codes):
    return packet(0x90, pid.to_bytes(2, "big"), props(v), bytes(codes))


def unsubscribe(v, pid, *filters):
    return packet(0xA2, pid.to_bytes(2, "big"), props(v), *(text(one) for one in filters))


def unsuback(v, pid, *codes):
    return packet(0xB0, pid.to_bytes(2, "big"), props(v), bytes(codes) if v == 5 else b"")


def answer(first, pid, *reason):
    return packet(first, pid.to_bytes(2, "big"), bytes(reason))


def disconnect(reason, why):
    return packet(0xE0, bytes((reason,)), props(5, b"\x1f" + text(why)))


PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70
PING, PONG, BYE = b"\xc0\0", b"\xd0\0", b"\xe0\0"
WILL, WILL_QOS_1, WILL_RETAIN = 0x04, 0x08, 0x20

# The house ------------------------------------------------------------------------------------------


class Wire:
    def __init__(self):
        self.blocked, self.sent, self.closed = False, b"", False

    def send(self, data):
        assert not self.closed, "a packet after the end"
        self.sent += data

    def finish(self):
        self.closed = True

    def hold_reading(self, hold):
        pass


class Book:
    def lookup(self, fingerprint):
        return fingerprint


class House:
    """Any number of clients by name; "a2" is the device of "a" on another connection."""

    def __init__(self):
        self.clock, self.due, self.wires, self.sessions = ManualClock(), [], {}, {}
        self.router, self.registry = Router(self.clock), Sessions()
        self.specs = {name: DeviceSpec(name, name) for name in "abc"}
        self.router.set_rows([Row(("device:*",), ("t/#", "$x/#"), ("device:*",))], self.specs)
        self.turn = Turn(self.due.append)

    def client(self, who):
        if who not in self.sessions:
            self.wires[who] = wire = Wire()
            self.sessions[who] = DeviceSession(
                wire, who[0], "peer", ListenerSettings(), self.router, Admission(Book(), self.specs.get),
                self.registry, Refusals(), self.turn, self.clock,
            )  # fmt: skip
        return self.sessions[who]

    def step(self, who, what):
        if isinstance(what, float):
            self.clock.advance(what)
            for session in list(self.sessions.values()):
                session.check(self.clock.monotonic())
        elif what == LOST:
            self.client(who).lost()
        else:
            self.client(who).data(what, self.clock.monotonic())
        while self.due:
            self.due.pop()()

    def heard(self):
        """What came to whom since the last look, END at the end of what was closed."""
        found = {}
        for who, wire in list(self.wires.items()):
            if wire.sent or wire.closed:
                found[who] = [each for each in (wire.sent, END if wire.closed else None) if each]
            wire.sent = b""
            if wire.closed:
                del self.wires[who], self.sessions[who]
        return found


def hears(**expected):
    return {
        who: [b"".join(each for each in what if each != END), *([END] if END in what else [])]
        if isinstance(what, list)
        else [what]
        for who, what in expected.items()
    }


def arrive(v, *who, client="c", **more):
    return [(one, connect(v, client, **more), hears(**{one: CONNACK[v]})) for one in who]


def take(v, who, topic_filter, options=0, pid=1):
    granted = suback(v, pid, options & 3)
    return (who, subscribe(v, pid, (topic_filter, options)), hears(**{who: granted}))


def both(name_3, name_5, make):
    """The same dialogue in both versions, named by each version's statements."""
    named = []
    for version, numbers, words in ((3, *name_3), (5, *name_5)):
        ids = ", ".join(f"{version}: MQTT-{number}" for number in numbers.split())
        named.append((f"{ids} {words}", make(version)))
    return named


def row(version, numbers, words, steps):
    return [(", ".join(f"{version}: MQTT-{number}" for number in numbers.split()) + f" {words}", steps)]


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
    *both(("3.1.2-9", "a will at QoS 1"), ("3.1.2-9", "a will at QoS 1"), a_will(WILL | WILL_QOS_1, sent=True)),
    *both(("3.1.2-8", "a will after a fault"), ("3.1.2-8", "a will after a fault"), a_will_on_a_fault),
    *both(
        ("3.1.2-10 3.14.4-3", "no will after DISCONNECT"),
        ("3.1.2-10 3.14.4-3", "no will after DISCONNECT"),
        a_will(WILL, sent=False, then=BYE),
    ),
    *row(5, "3.1.2-8", "a will after DISCONNECT 0x04", [
        *a_will(WILL, sent=True)(5)[:-1],
        ("a", bytes.fromhex("e00104"), hears(a=[END], b=publish(5, "t/w", b"gone"))),
    ]),  # fmt: skip
    *row(3, "3.1.2-12", "no will, nothing published", [
        *arrive(3, "a", "b"), take(3, "b", "t/#"), ("a", LOST, {}),
    ]),  # fmt: skip
    *both(("3.1.2-16", "a will is not retained"), ("3.1.2-14", "a will is not retained"), a_retained_will(False)),
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
    *row(5, "3.3.2-4 3.3.2-15 3.3.2-16 3.3.2-17 3.3.2-18 3.3.2-20", "properties travel", properties_travel(5)),
    *row(5, "3.1.3-10", "a will's properties", a_will_with_properties(5)),
    *row(5, "3.3.2-5 3.3.2-6", "expiry of what is retained", expiry(5)),
    *row(5, "3.3.2-5", "expiry in the queue", expiry_behind_the_window(5)),
    *row(5, "3.1.2-24 3.1.2-25", "too large for the client", too_large(5)),
    *row(5, "3.8.3-3", "no local", no_local(5)),
    *row(5, "3.1.3-6 3.1.3-7 3.2.2-16", "an assigned client id", assigned(5)),
    *row(5, "4.12.0-1 3.1.4-2 3.1.4-6 3.2.2-6 3.2.2-7 3.2.2-8 3.14.0-1", "AUTH refused", no_method(5)),
    *row(5, "3.1.2-29", "no problem information", no_problem_information(5)),
    *row(5, "3.3.4-7", "more than receive maximum", flooded(5)),
    *row(5, "3.1.4-5 3.2.0-1 3.2.0-2 3.2.2-1 3.2.2-2 3.1.2-4 4.12.0-6 3.1.2-27 3.1.3-5 3.1.2-28", "CONNACK", [
        *arrive(5, "a", client="abcXYZ01234567890123456"), ("a", PING, hears(a=PONG)),
    ]),  # fmt: skip
    *row(5, "3.1.2-6 3.2.2-3 3.1.4-4", "no session to come back to", arrive(5, "a", flags=0)),
    *row(3, "3.2.2-3 3.1.4-3", "no session to come back to", arrive(3, "a", flags=0)),
]  # fmt: skip


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
