"""Class 18: what the other end of the uplink may send (Mosquitto 2.0.19: a bridge crashed by its remote broker).

The cloud is believed in nothing but what a route or a synchronised shadow lets it say. Whatever else comes is
dropped or left unacknowledged, and counted; no unit ends of it, and the next honest message arrives. Here at the
uplink's seam (uplink/client.py); the same in bytes, over TLS, in test_class_18_hostile_cloud_over_tls.py.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from running import started

from edgecore.base.backoff import Backoff
from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.base.group import DeviceSpec, Row, ShadowSpec
from edgecore.base.identity import Principal
from edgecore.base.message import Properties
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.router import Router
from edgecore.shadow import ShadowService, ShadowSettings
from edgecore.shadow.requests import MAX_PAYLOAD
from edgecore.shadow.topics import ShadowId, parse
from edgecore.store import Database, StoreSettings
from edgecore.uplink import Link, UplinkService, UplinkSettings
from edgecore.uplink.client import Incoming, Welcome

PATIENCE = 20
SHADOW = ShadowId("a")
FAST = ShadowSettings(reply_timeout=0.05, retry=Backoff(initial=0.001, maximum=0.002))
ROWS = (
    Row(("cloud",), ("cmd/${thing}/#",), ("device:*",)),
    Row(("cloud",), ("old/${thing}/#",), ("device:*",), as_topic="new/${thing}/in"),
    Row(("cloud",), ("pair/${thing}/${thing}",), ("device:*",)),
    Row(("cloud",), ("job/#",), ("function:f",)),
    Row(("device:*",), ("#",), ("device:*",)),
)


class Wire:
    def __init__(self):
        self.blocked, self.sent, self.closed = False, b"", False

    def send(self, data):
        self.sent += data

    def finish(self):
        self.closed = True

    def hold_reading(self, hold):
        pass


class Acks:
    """Counts the PUBACKs of one message."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


class Port:
    """A function's queue; the test says what becomes of what it takes."""

    principal = Principal("function", "f")

    def __init__(self):
        self.outcome, self.commits = None, []

    def deliver(self, message, qos, retain):
        if self.outcome is not None:
            raise self.outcome
        self.commits.append(Commit())
        return self.commits[-1]


class House:
    """The real uplink, shadows, router and sessions of the devices a and b; the test is the cloud.

    `reply`: (verb, body) -> (suffix, payload) or None, what the cloud's shadow service answers.
    """

    dropped = 0

    def __init__(self, db):
        self.clock, self.due, self.events = ManualClock(), [], None
        self.specs = {name: DeviceSpec(name, name) for name in "ab"}
        self.router, self.link, self.port = Router(self.clock), Link(self.clock), Port()
        self.router.set_rows(ROWS, self.specs)
        self.router.attach("function:f", self.port)
        self.uplink = UplinkService(
            UplinkSettings("host", "c", "k", "core"), ROWS, self.link, self.router, db, self.clock, self._open
        )
        synced = {"a": ShadowSpec(sync=True)}
        self.shadow = ShadowService(FAST, synced, self.router, db, self.link, self.clock)
        self.door = Door(
            ListenerSettings(), self.router, Sessions(), Refusals(), Turn(self.due.append), self.clock
        )
        self.reply, self.version, self.asked = self.honest, 0, asyncio.Event()

    # CloudClient

    async def _open(self, settings, events):
        self.events = events
        return self

    async def connect(self):
        self.events.attempting()
        self.events.succeeded(Welcome(session_present=False, receive_maximum=100))

    async def stop(self):
        pass

    async def subscribe(self, subscriptions):
        return {}

    async def unsubscribe(self, topic_filters):
        pass

    def publish(self, message, qos, now, done):
        done(None)
        shadow, verb = parse(message.topic)
        body = json.loads(message.payload)
        said = self.reply(verb, body)
        if said is not None:
            asyncio.get_running_loop().call_soon(self.say, shadow.topic(said[0]), said[1])
        self.asked.set()

    def honest(self, verb, body):
        if verb == "get" and not self.version:
            return "get/rejected", json.dumps({**body, "code": 404}).encode()
        self.version += verb != "get"
        return f"{verb}/accepted", json.dumps({**body, "version": self.version}).encode()

    # what the test does

    def say(self, topic, payload=b"x", qos=1, properties=None):
        """The cloud sends; gives the count of its acknowledgements."""
        acks = Acks()
        self.events.received(Incoming(topic, payload, qos, properties, None, acks))
        self.turn()
        return acks

    def open(self, name):
        class Book:
            def lookup(self, fingerprint):
                return fingerprint

        wire = Wire()
        session = DeviceSession(
            wire, CertificateCredential(Admission(Book(), self.specs.get), name), "peer", self.door
        )
        filters = [p.SubscriptionOptions(each, qos=1) for each in ("#", "cmd/#", f"{SHADOW.prefix}/#")]
        for packet in (p.Connect(name, 5), p.Subscribe(1, filters)):
            session.data(encode(packet, 5), 0.0)
            self.turn()
        wire.sent = b""
        return wire

    def turn(self):
        while self.due:
            self.due.pop()()

    def heard(self):
        """What each device was sent since, as {device: [topic]}; all of it is what MQTT allows."""
        heard = {}
        for name, wire in self.wires.items():
            assert not wire.closed
            sent, wire.sent = wire.sent, b""
            packets = [decode(first, body, 5) for first, body in Framer(1 << 24).feed(sent)]
            if topics := [each.topic for each in packets if isinstance(each, p.Publish)]:
                heard[name] = topics
        return heard

    @property
    def inbound(self):
        return self.uplink.status()["inbound"]

    def local(self):
        document = self.shadow._shadows.document(SHADOW)
        return None if document.deleted else document.state

    def unharmed(self):
        """Every unit runs, and what a route allows still arrives, once."""
        assert not any(task.done() for task in self.tasks)
        assert self.link.connected
        assert self.say("cmd/b/go").count == 1
        assert self.heard() == {"b": ["cmd/b/go"]}

    async def synced(self):
        """The shadow still follows the cloud."""
        self.reply = self.honest
        self.version += 1
        state = {"desired": {"honest": self.version}}
        self.say(
            SHADOW.topic("update/accepted"), json.dumps({"state": state, "version": self.version}).encode()
        )
        # Where that was a gap, the whole is got; the cloud's whole is this.
        self.reply = lambda verb, body: (
            f"{verb}/accepted",
            json.dumps({"state": state, **body, "version": self.version}).encode(),
        )
        await until(lambda: (self.local() or {}).get("desired", {}).get("honest") == self.version)
        self.turn()


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  conditions over several units have no one event
            await asyncio.sleep(0.001)


@pytest.fixture
async def house(tmp_path):
    async with Database(tmp_path / "core.db", StoreSettings(reserve_bytes=0)) as db:
        house = House(db)
        async with started(house.shadow.run) as shadow, started(house.uplink.run) as uplink:
            house.tasks = (shadow, uplink)
            house.wires = {name: house.open(name) for name in "ab"}
            async with asyncio.timeout(PATIENCE):
                await house.asked.wait()
            await asyncio.sleep(0)
            yield house


NOT_A_TOPIC = "topic that is not allowed here"
NO_RECEIVER = "shadow message without a receiver"
FORBIDDEN = "property that holds U+0000"
BAD_REPLY_TO = "response topic that is not allowed here"
PLAIN = "cmd/a/go"


def with_properties(**properties):
    return {"topic": PLAIN, "properties": Properties(**properties)}


REFUSED = [
    *(
        ({"topic": topic}, NOT_A_TOPIC)
        for topic in (
            "",
            "\0",
            "cmd/a/\0",
            "#",
            "+",
            "cmd/+/go",
            "cmd/a/#",
            "cmd/a/g#o",
            "/" * 64,
            "cmd/a" + "/x" * 30_000,
            "/" * 65_535,
            "cmd/a/" + "x" * 65_536,
            "$SYS/#",
            "$share/+/cmd/a/go",
            "$aws/things/+/shadow/update/accepted",
            "$aws/things/a/shadow/#",
            "$aws/things/a/shadow/get/\0",
        )
    ),
    *(
        ({"topic": topic}, "no route")
        for topic in (
            "other",
            "/",
            "//",
            "$",
            "$/",
            "$SYS",
            "$SYS/broker/load",
            "edgecore/alarm/disk",
            "$share/g/cmd/a/go",
            "$aws/rules/r/cmd/a/go",
            "$aws/things/a/jobs/notify",
            "$aws/things//shadow/update/accepted",
            "$aws/things/a/b/shadow/update/accepted",
            "cmd",
            "/cmd/a/go",
            "CMD/a/go",
            "pair/a/b",
            "x" * 60_000,
            "/".join("x" * 64),
        )
    ),
    *(
        ({"topic": topic}, NO_RECEIVER)
        for topic in (
            "$aws/things/a/shadow",
            "$aws/things/a/shadow/",
            "$aws/things/a/shadow/update",
            "$aws/things/a/shadow/update/delta",
            "$aws/things/a/shadow/get/accepted/x",
            "$aws/things/a/shadow/name/n/update/accepted",
            "$aws/things/b/shadow/update/accepted",
            "$aws/things/core/shadow/get/accepted",
            "$aws/things/A/shadow/delete/accepted",
        )
    ),
    ({"topic": PLAIN, "payload": b"x" * (128 * 1024 + 1)}, "payload above 131072 bytes"),
    ({"topic": PLAIN, "payload": b"x" * (32 * 1024 * 1024)}, "payload above 131072 bytes"),
    (
        {"topic": SHADOW.topic("update/accepted"), "payload": b" " * (128 * 1024 + 1)},
        "payload above 131072 bytes",
    ),
    (with_properties(user_properties=(("k", "v"),) * 5000), "more than 256 user properties"),
    (with_properties(user_properties=(("", ""),) * 257), "more than 256 user properties"),
    (with_properties(user_properties=(("k", "v" * 8192),)), "user properties above 8192 bytes"),
    (with_properties(content_type="x" * 257), "content type above 256 bytes"),
    (with_properties(correlation_data=b"x" * 8193), "correlation data above 8192 bytes"),
    (with_properties(user_properties=(("k", "\0"),)), FORBIDDEN),
    (with_properties(user_properties=(("\0", "v"),)), FORBIDDEN),
    (with_properties(content_type="\0"), FORBIDDEN),
    (with_properties(response_topic="#"), BAD_REPLY_TO),
    (with_properties(response_topic="a/+"), BAD_REPLY_TO),
    (with_properties(response_topic="\0"), BAD_REPLY_TO),
    (with_properties(response_topic=""), BAD_REPLY_TO),
    (with_properties(response_topic="/" * 64), BAD_REPLY_TO),
    ({"topic": PLAIN, "qos": 2}, "QoS that was not asked for"),
    ({"topic": PLAIN, "qos": 3}, "QoS that was not asked for"),
]


def shown(case):
    said, reason = case
    return f"{reason}: {said['topic'][:40]!r}"


@pytest.mark.parametrize(("said", "reason"), REFUSED, ids=map(shown, REFUSED))
async def test_class_18_what_is_not_let_in_is_acknowledged_counted_and_reaches_nobody(house, said, reason):
    """It would be refused each time it came: it is not asked for again."""
    for qos in sorted({said.get("qos", 0), said.get("qos", 1)}):
        assert house.say(**{**said, "qos": qos}).count == 1
        assert house.heard() == {}
    assert house.inbound["dropped"] == {reason: house.inbound["received"] - 1}  # one was shadow sync's own
    assert house.port.commits == []
    house.unharmed()


async def test_class_18_the_bounds_themselves_are_let_in(house):
    pairs = (("k", "v" * 31),) * 256
    properties = Properties(1, "t" * 256, "r" * 256, b"c" * 8192, pairs)
    assert house.say(PLAIN, b"x" * 128 * 1024, properties=properties).count == 1
    assert house.say("cmd/a" + "/x" * 62).count == 1
    assert house.heard() == {"a": [PLAIN, "cmd/a" + "/x" * 62]}


@pytest.mark.parametrize(
    ("topic", "heard"),
    [
        ("old/a/x", {"a": ["new/a/in"]}),
        ("old/a", {"a": ["new/a/in"]}),  # "#" stands for its parent, too
        ("old/a/", {"a": ["new/a/in"]}),
        ("old/a///////", {"a": ["new/a/in"]}),
        ("old/a/$SYS/" + "x" * 60_000, {"a": ["new/a/in"]}),
        ("old/", {}),
        ("old//x", {}),
        ("old/A/x", {}),
        ("old/a\n/x", {}),
        ("old/${thing}/x", {}),
        ("old/$aws/x", {}),
        ("old/device:*/x", {}),
        ("old/*/x", {}),
        ("old/new/a/in", {}),
        ("cmd//go", {}),
        ("cmd/" + "x" * 60_000 + "/go", {}),
        ("pair/a/a", {"a": ["pair/a/a"]}),
        ("pair//", {}),
    ],
)
async def test_class_18_a_topic_is_read_and_renamed_for_the_device_that_it_names_and_no_other(
    house, topic, heard
):
    assert house.say(topic).count == 1
    assert house.heard() == heard
    house.unharmed()


@pytest.mark.parametrize("error", [None, StoreError("the disk is full")])
async def test_class_18_nothing_is_acknowledged_before_it_is_durable(house, error):
    """Also a message that came twice, or again and again: each has its own commit."""
    acks = [house.say("job/1") for _ in range(5)]
    assert [each.count for each in acks] == [0] * 5
    for commit in house.port.commits:
        commit.resolve(error)
    assert [each.count for each in acks] == [1 if error is None else 0] * 5
    assert house.inbound["withheld"] == ({} if error is None else {"the disk is full": 5})
    house.unharmed()


async def test_class_18_what_a_full_queue_refuses_is_not_acknowledged(house):
    house.port.outcome = RefusedError("function:f is full")
    assert [house.say("job/1").count for _ in range(3)] == [0] * 3
    assert house.inbound["withheld"] == {"function:f is full": 3}
    house.unharmed()


async def test_class_18_a_message_is_never_retained_here(house):
    """RETAIN has no place at the seam; what the cloud keeps is the cloud's."""
    house.say(PLAIN)
    house.say("cmd/c/later")
    assert house.router.status()["retained"] == 0
    house.wires["a"] = house.open("a")
    assert house.heard() == {}


def nested(levels, opening=b'{"a":', closing=b"}"):
    return b'{"version":1,"state":{"desired":{"x":' + opening * levels + b"1" + closing * levels + b"}}}"


UNREADABLE = {
    "empty": b"",
    "no JSON": b"nonsense",
    "no UTF-8": b'{"message":"\xff"}',
    "half a surrogate": rb'{"message":"\ud800"}',
    "cut": b'{"version":1,"state":{"desired":{"a"',
    "a list": b"[]",
    "null": b"null",
    "a number": b"1",
    "the version a text": b'{"version":"1"}',
    "the version a fraction": b'{"version":1.5}',
    "the version true": b'{"version":true}',
    "the version negative": b'{"version":-1}',
    "the version beyond the database": b'{"version":9223372036854775808}',
    "the version of 30 digits": b'{"version":' + b"9" * 30 + b"}",
    "the version of 100,000 digits": b'{"version":' + b"9" * 100_000 + b"}",
    "the version infinite": b'{"version":1e999}',
    "a number of 100,000 digits": b'{"version":1,"state":{"desired":{"a":' + b"9" * 100_000 + b"}}}",
    "a number beyond all": b'{"version":1,"state":{"desired":{"a":1e999}}}',
    "the code a text": b'{"code":"404"}',
    "the code of 30 digits": b'{"code":' + b"9" * 30 + b"}",
    "the state a list": b'{"version":1,"state":[]}',
    "the state a text": b'{"version":1,"state":"desired"}',
    "a section a list": b'{"version":1,"state":{"desired":[]}}',
    "a section a number": b'{"version":1,"state":{"reported":1}}',
    "9 levels": nested(8),
    "500 levels": nested(500),
    "900 levels": nested(900),
    "20,000 levels": nested(20_000),
    "900 arrays": nested(900, b"[", b"]"),
    "100,000 brackets": b"[" * 100_000,
    "the token a number": b'{"version":1,"clientToken":1}',
}
SUFFIXES = ("update/accepted", "update/rejected", "delete/accepted", "get/accepted", "get/rejected")
each_unreadable = pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)


@each_unreadable
async def test_class_18_what_is_no_word_of_a_shadow_changes_none(house, payload, caplog):
    await house.synced()
    before = house.local()
    house.heard()
    for suffix in SUFFIXES:
        assert house.say(SHADOW.topic(suffix), payload).count == 1
    assert house.shadow.status()["unreadable"] == len(SUFFIXES)
    assert caplog.text.count("cannot be read") == 1
    assert house.local() == before
    house.unharmed()
    await house.synced()


@each_unreadable
async def test_class_18_an_answer_that_is_none_is_waited_for_and_asked_again(house, payload):
    """As the reply to a request of shadow sync, under its token where there is room for one."""
    await house.synced()

    def evil(verb, body):
        token = b',"clientToken":"%s"}' % body["clientToken"].encode()
        with_token = payload[:-1] + token if payload.startswith(b'{"') else payload
        return f"{verb}/accepted", with_token

    before, house.reply = house.local(), evil
    unreadable = house.shadow.status()["unreadable"]
    house.say(SHADOW.topic("update/accepted"), b'{"version":1000}')  # a gap: the whole is asked for
    await until(lambda: house.shadow.status()["unreadable"] >= unreadable + 2)
    assert house.shadow.status()["problems"] == {"a": "the cloud did not reply"}
    assert house.local() == before
    house.heard()
    house.unharmed()
    house.version = 1000
    await house.synced()
    assert house.shadow.status()["problems"] == {}


async def test_class_18_a_document_grows_no_larger_than_a_message(house):
    await house.synced()
    for number in range(20):
        house.version += 1
        state = {"reported": {f"k{number}": "x" * 100_000}}
        said = json.dumps({"state": state, "version": house.version}).encode()
        house.reply = lambda verb, body: None
        house.say(SHADOW.topic("update/accepted"), said)
        await asyncio.sleep(0)
    assert len(json.dumps(house.local())) < MAX_PAYLOAD
    assert house.shadow.status()["unreadable"] >= 1
    house.heard()
    house.unharmed()
    await house.synced()


@pytest.mark.parametrize(
    "said",
    [
        {"state": {"evil": {"x": 1}, "delta": {"y": 2}}},
        {"state": {"desired": None, "reported": None}},
        {"state": None},
        {"state": {"desired": {"": {"": ""}, "\0": "\0", "$": "${thing}", "__class__": 1}}},
        {"state": {"desired": {"n": 10**30}}},
        {"state": {"desired": {"a": [None, [None], {"b": None}]}}},
    ],
)
async def test_class_18_odd_words_within_the_grammar_are_taken_and_stored(house, said):
    await house.synced()
    house.version += 1
    house.reply = house.honest
    acks = house.say(SHADOW.topic("update/accepted"), json.dumps({**said, "version": house.version}).encode())
    await until(lambda: acks.count == 1)
    house.turn()
    assert set(house.local() or ()) <= {"desired", "reported"}
    house.heard()
    house.unharmed()
    await house.synced()


async def test_class_18_what_the_cloud_says_of_an_error_is_shown_short(house):
    await house.synced()

    def evil(verb, body):
        return f"{verb}/rejected", json.dumps({**body, "code": 500, "message": "x" * 100_000}).encode()

    house.reply = evil
    house.say(SHADOW.topic("update/accepted"), b'{"version":1000}')
    await until(lambda: house.shadow.status()["problems"])
    assert len(house.shadow.status()["problems"]["a"]) < 300
    house.heard()
    house.unharmed()
