"""Class 18 in bytes: a cloud with a good certificate that breaks MQTT at every answer.

The real client (awscrt), the real uplink and the real router, over mutual TLS. awscrt lets through much that MQTT
forbids; what it must not do is end the uplink, or leave it in a state that is not so.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from running import started

from edgecore.base import identity
from edgecore.base.clock import SystemClock
from edgecore.base.errors import RemoteProtocolError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.message import Message
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.mqtt.packets import V5
from edgecore.mqtt.properties import PropertyMap
from edgecore.router import Router
from edgecore.sim.cloud import server
from edgecore.store import Database, StoreSettings
from edgecore.uplink import Link, UplinkService, UplinkSettings
from edgecore.uplink.channel import MAX_REASONS

PATIENCE = 20
ROWS = (
    Row(("cloud",), ("cmd/${thing}/#",), ("device:*",)),
    Row(("cloud",), ("more/${thing}/#",), ("device:*",)),
    Row(("device:*",), ("dt/#",), ("cloud",)),
)
# awscrt fails in a callback of its own before anybody is told, and says so on standard error.
UNRAISABLE = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Cloud:
    """Answers as MQTT says, but for what `answers` holds: packet type -> function of the packet giving bytes."""

    def __init__(self):
        self.answers, self.heard, self.writer = {}, [], None

    async def serve(self, reader, writer):
        self.writer, framer = writer, Framer(1 << 24)
        with contextlib.suppress(ConnectionError, RemoteProtocolError):
            while data := await reader.read(1 << 16):
                for first, body in framer.feed(data):
                    self.heard.append(packet := decode(first, body, V5))
                    answer = self.answers.get(type(packet), honest)
                    writer.write(answer(packet))
        writer.close()

    @property
    def acknowledged(self):
        return [packet.packet_id for packet in self.heard if isinstance(packet, p.PubAck)]


def honest(packet):
    match packet:
        case p.Connect():
            return encode(p.ConnAck(), V5)
        case p.Subscribe():
            return encode(p.SubAck(packet.packet_id, [1] * len(packet.filters)), V5)
        case p.Publish(qos=1):
            return encode(p.PubAck(packet.packet_id), V5)
        case p.PingReq():
            return encode(p.PingResp(), V5)
    return b""


class Session:
    """A device's session: remembers what it is given."""

    connected, principal = True, identity.device("a")

    def __init__(self):
        self.got = []

    def deliver(self, message, qos, retain, identifiers=(), share=""):
        assert not retain
        self.got.append(message.topic)


class House:
    def __init__(self, folder, cloud, port, db):
        self.cloud, self.session, self.number = cloud, Session(), 1000
        self.router = Router(SystemClock())
        self.router.set_rows(ROWS, {"a": DeviceSpec("a", "a")})
        self.router.subscribe(self.session, "cmd/#", 1)
        settings = UplinkSettings(
            "127.0.0.1",
            folder / "core.cert.pem",
            folder / "core.key.pem",
            "core",
            port=port,
            ca=folder / "ca.pem",
            reconnect_min=0.05,
            reconnect_max=0.1,
            ack_timeout=1,
        )
        link = Link(SystemClock())
        self.service = UplinkService(settings, ROWS, link, self.router, db, SystemClock())

    @property
    def status(self):
        return self.service.status()

    async def until(self, condition):
        async with asyncio.timeout(PATIENCE):
            while not condition():  # the library's threads set no event
                assert not self.task.done()
                await asyncio.sleep(0.01)

    async def unharmed(self):
        """The uplink runs and is subscribed; a command arrives, is acknowledged, and is all that arrives."""
        await self.until(lambda: self.status["connected"] and self.status["subscriptions"] == 2)
        before = self.session.got.copy()
        self.number += 1
        self.cloud.writer.write(encode(p.Publish("cmd/a/honest", b"", 1, packet_id=self.number), V5))
        await self.until(lambda: self.number in self.cloud.acknowledged)
        assert self.session.got == [*before, "cmd/a/honest"]


@pytest.fixture
async def house(tmp_path):
    cloud = Cloud()
    tls = await asyncio.to_thread(server._prepare, tmp_path, "127.0.0.1", ())
    listening = await asyncio.start_server(cloud.serve, "127.0.0.1", 0, ssl=tls)
    async with listening, Database(tmp_path / "core.db", StoreSettings(reserve_bytes=0)) as db:
        house = House(tmp_path, cloud, listening.sockets[0].getsockname()[1], db)
        async with started(house.service.run) as house.task:
            yield house
        cloud.writer.close()
        with contextlib.suppress(ConnectionError):
            await cloud.writer.wait_closed()


def publish(topic="cmd/a/evil", payload=b"x", qos=1, **more):
    return encode(p.Publish(topic, payload, qos, packet_id=7 if qos else 0, **more), V5)


def with_text(text):
    """A routed message with this, which may be no text, as its user property's value."""
    marked = publish(properties=PropertyMap({pr.USER_PROPERTY: [("k", "?" * len(text))]}))
    return marked.replace(b"?" * len(text), text)


MANY = PropertyMap({pr.USER_PROPERTY: [("k", "v")] * 20_000})
TOPIC = "topic that is not allowed here"
# What comes, and what is counted of it.
DROPPED = {
    "a topic that nobody asked for": (publish("other/topic"), "no route"),
    "a topic of the system": (publish("$SYS/broker/uptime"), "no route"),
    "a share": (publish("$share/g/cmd/a/evil"), "no route"),
    "a wildcard": (publish("cmd/a/?").replace(b"?", b"#"), TOPIC),
    "U+0000": (publish("cmd/a/?").replace(b"?", b"\0"), TOPIC),
    "no topic": (b"\x32\x06\0\0\0\7\0x", TOPIC),
    "a deep topic": (publish("cmd/a" + "/x" * 30_000), TOPIC),
    "a shadow that is not synchronised": (
        publish("$aws/things/a/shadow/update/accepted", b"[" * 100_000),
        "shadow message without a receiver",
    ),
    "20,000 user properties": (publish(properties=MANY), "more than 256 user properties"),
    "U+0000 in a property": (with_text(b"a\0b"), "property that holds U+0000"),
    "20 MB": (publish(payload=b"x" * 20_000_000), "payload above 131072 bytes"),
    "QoS 2": (publish(qos=2), "QoS that was not asked for"),
    "QoS 3": (b"\x36" + publish()[1:], "QoS that was not asked for"),
}


@pytest.mark.parametrize(("data", "reason"), DROPPED.values(), ids=DROPPED)
async def test_class_18_over_tls_what_is_not_let_in_reaches_nobody_and_is_counted(house, data, reason):
    await house.unharmed()
    house.cloud.writer.write(data)
    await house.until(lambda: house.status["inbound"]["dropped"])
    assert house.status["inbound"]["dropped"] == {reason: 1}
    await house.unharmed()
    assert house.session.got == ["cmd/a/honest"] * 2
    assert house.status["connects"] == 1


ENDS = {
    "a topic alias that was not offered": b"\x32\x09\0\0\0\7\3\x23\0\1x",
    "a length of five bytes": b"\x30\xff\xff\xff\xff\x01",
    "CONNECT from a server": encode(p.Connect("core", V5), V5),
    "a packet of type 0": b"\0\0",
    "no MQTT at all": b"\xff" * 100,
    "DISCONNECT": b"\xe0\2\x8b\0",
    "DISCONNECT with an unknown reason": b"\xe0\2\x55\0",
    "DISCONNECT with another": b"\xe0\2\xff\0",
}


@pytest.mark.parametrize("data", ENDS.values(), ids=ENDS)
async def test_class_18_over_tls_what_ends_the_connection_is_told_and_it_comes_back(house, data):
    await house.unharmed()
    house.cloud.writer.write(data)
    await house.until(lambda: house.status["connects"] > 1)
    assert house.status["last_error"]
    await house.unharmed()


IGNORED = {
    "PUBACK of nothing": encode(p.PubAck(99), V5),
    "SUBACK of nothing": encode(p.SubAck(99, [0]), V5),
    "UNSUBACK of nothing": encode(p.UnsubAck(99, [0]), V5),
    "PINGRESP of nothing": encode(p.PingResp(), V5),
    "a second CONNACK": encode(p.ConnAck(), V5),
}


@pytest.mark.parametrize("data", IGNORED.values(), ids=IGNORED)
async def test_class_18_over_tls_answers_to_nothing_asked(house, data):
    await house.unharmed()
    house.cloud.writer.write(data * 100)
    await house.unharmed()


@UNRAISABLE
@pytest.mark.parametrize(
    "data",
    [
        publish("cmd/a/??").replace(b"??", b"\xff\xfe"),
        publish("cmd/a/???").replace(b"???", b"\xed\xa0\x80"),
        with_text(b"\xff\xff"),
    ],
    ids=["topic", "surrogate", "property"],
)
async def test_class_18_over_tls_what_is_no_utf_8_reaches_nobody(house, data):
    await house.unharmed()
    house.cloud.writer.write(data)
    await house.unharmed()
    assert house.session.got == ["cmd/a/honest"] * 2


async def test_class_18_over_tls_packet_identifiers_that_are_none(house):
    """One and the same for all that is in flight, with DUP and RETAIN at the first; and zero, whose PUBACK this
    cloud takes for what it is.
    """
    await house.unharmed()
    house.cloud.writer.write(bytes((0x3B,)) + publish()[1:] + publish() * 50)
    await house.until(lambda: len(house.session.got) == 52)
    await house.until(lambda: 7 in house.cloud.acknowledged)  # the library may answer several at once
    house.cloud.writer.write(publish().replace(b"\0\7", b"\0\0"))
    await house.until(lambda: len(house.session.got) == 53 and house.status["connects"] == 2)
    assert house.router.status()["retained"] == 0
    await house.unharmed()


async def test_class_18_over_tls_more_than_the_receive_maximum_is_bounded(house, monkeypatch):
    """What comes faster than it is taken is not acknowledged, and counted."""
    await house.unharmed()
    monkeypatch.setattr("edgecore.uplink.inbox.MAX_WAITING_QOS_1", 1)
    flood = range(10_000, 30_000)
    house.cloud.writer.write(
        b"".join(encode(p.Publish("cmd/a/evil", b"", 1, packet_id=one), V5) for one in flood)
    )

    def taken():
        return house.session.got.count("cmd/a/evil")

    await house.until(lambda: taken() + house.status["inbound"]["overrun"] == 20_000)
    assert taken() < 20_000
    monkeypatch.undo()
    await house.unharmed()
    acknowledged = [one for one in house.cloud.acknowledged if one in flood]
    assert len(acknowledged) == len(set(acknowledged)) == taken()


CONNACKS = {
    "an unknown reason": b"\x20\3\0\xff\0",
    "flags that are reserved": b"\x20\3\xff\0\0",
    "a receive maximum of 0, and more properties than there are": b"\x20\6\0\0\x30\x21\0\0",
    "a session that there is not": b"\x20\3\1\x87\0",
    "SUBACK": encode(p.SubAck(1, [0]), V5),
    "a message": publish(),
}


@pytest.mark.parametrize("data", CONNACKS.values(), ids=CONNACKS)
async def test_class_18_over_tls_no_welcome_is_a_failure_with_a_reason(house, data):
    house.cloud.answers[p.Connect] = lambda packet: data
    await house.until(lambda: house.status["connected"] or house.status["last_error"])
    await house.until(lambda: not house.status["connected"])
    assert house.status["reason"]
    assert house.session.got == []
    house.cloud.answers.clear()
    await house.unharmed()


SUBACKS = {
    "fewer answers": lambda packet: encode(p.SubAck(packet.packet_id, [1]), V5),
    "more answers": lambda packet: encode(p.SubAck(packet.packet_id, [1] * 9), V5),
    "another's": lambda packet: encode(p.SubAck(packet.packet_id + 1, [1, 1]), V5),
    "PUBACK": lambda packet: encode(p.PubAck(packet.packet_id), V5),
    "none": lambda packet: b"",
}


@UNRAISABLE
@pytest.mark.parametrize("answer", SUBACKS.values(), ids=SUBACKS)
async def test_class_18_over_tls_a_wrong_suback_is_asked_for_again(house, answer):
    house.cloud.answers[p.Subscribe] = answer

    def asked():
        return sum(isinstance(packet, p.Subscribe) for packet in house.cloud.heard)

    await house.until(lambda: asked() >= 2)
    assert house.status["subscriptions"] == 0
    house.cloud.answers.clear()
    await house.unharmed()


async def test_class_18_over_tls_an_unknown_reason_of_a_suback_is_a_refusal(house):
    house.cloud.answers[p.Subscribe] = lambda packet: (
        b"\x90\5" + packet.packet_id.to_bytes(2, "big") + b"\0\x55\xff"
    )
    await house.until(lambda: house.status["subscriptions_refused"])
    assert set(house.status["subscriptions_refused"].values()) == {"a reason that MQTT does not know"}
    house.cloud.answers.clear()
    house.cloud.writer.close()
    await house.until(lambda: house.status["connects"] > 1)
    await house.unharmed()


PUBACKS = {
    "an unknown reason": lambda packet: b"\x40\4" + packet.packet_id.to_bytes(2, "big") + b"\xfe\0",
    "an unknown good one": lambda packet: b"\x40\4" + packet.packet_id.to_bytes(2, "big") + b"\x55\0",
    "another's": lambda packet: encode(p.PubAck(packet.packet_id + 1), V5),
    "none": lambda packet: b"",
}


@pytest.mark.parametrize("answer", PUBACKS.values(), ids=PUBACKS)
async def test_class_18_over_tls_what_is_no_puback_gives_up_no_record(house, answer):
    await house.unharmed()
    house.cloud.answers[p.Publish] = answer
    house.router.publish(Message("dt/a", b"measured", 1, identity.device("a")))

    def sent():
        return sum(isinstance(packet, p.Publish) for packet in house.cloud.heard)

    await house.until(lambda: sent() >= 2)
    assert house.status["outbox"]["records"] == 1
    house.cloud.answers.clear()
    await house.until(lambda: house.status["outbox"]["records"] == 0)
    await house.unharmed()


async def test_class_18_over_tls_reasons_that_the_cloud_makes_up_are_short_and_few(house):
    """They are kept with what is set aside, counted apart and logged: each in 10 KB, and each another one."""

    def refuse(packet):
        text = f"?{packet.packet_id}" + "x" * 10_000
        data = encode(p.PubAck(packet.packet_id, 0x87, PropertyMap({pr.REASON_STRING: text})), V5)
        return data.replace(b"?", b"\0")

    await house.unharmed()
    house.cloud.answers[p.Publish] = refuse
    for number in range(2 * MAX_REASONS):
        house.router.publish(Message(f"dt/{number}", b"measured", 1, identity.device("a")))
    await house.until(lambda: house.status["outbox"]["set_aside"] == 2 * MAX_REASONS)
    dropped = house.status["outbox"]["dropped"]
    assert sum(dropped.values()) == 2 * MAX_REASONS
    assert len(dropped) <= MAX_REASONS + 1
    assert max(map(len, dropped)) < 300
    assert not any("\0" in reason for reason in dropped)
    await house.unharmed()
