"""What the uplink may rely on, whatever speaks MQTT for it: one suite for awsiotsdk's client and for paho's.

Both speak over real mutual TLS with a cloud that answers as MQTT 5 says, but for what a test lets it say.
"""

import asyncio
import contextlib

import pytest

from edgecore.base.errors import PermanentCloudError, TransientCloudError
from edgecore.base.identity import device
from edgecore.base.message import Message, Properties
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as pr
from edgecore.uplink.clients import open_client
from edgecore.uplink.mapping import CloudSubscription
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause
from tests.doubles.scripted_cloud import HANG_UP, ScriptedCloud, listening

WITHIN = 20
FILTERS = [CloudSubscription("cmd/#", 1), CloudSubscription("secret/#", 1)]


class Events:
    """Keeps what the client tells, in order."""

    def __init__(self):
        self.told = []
        self.incoming = []

    def attempting(self):
        self.told.append("attempting")

    def succeeded(self, welcome):
        self.told.append(welcome)

    def failed(self, trouble):
        self.told.append(("failed", trouble.cause))

    def lost(self, trouble):
        self.told.append(("lost", trouble.cause))

    def received(self, incoming):
        self.incoming.append(incoming)


class Case:
    """A client, what it told, and the cloud at the other end."""

    def __init__(self, client, events, cloud):
        self.client, self.events, self.cloud = client, events, cloud
        self.outcomes = []

    async def until(self, condition):
        async with asyncio.timeout(WITHIN):
            while not condition():  # noqa: ASYNC110  the library's threads set no event
                await asyncio.sleep(0.005)

    async def connect(self):
        count = len(self.events.told)
        await self.client.connect()
        await self.until(lambda: len(self.events.told) >= count + 2)
        assert self.events.told[count] == "attempting"
        return self.events.told[count + 1]

    def publish(self, payload, qos=1, **more):
        message = Message("dt/a", payload, qos, device("a"), **more)
        self.client.publish(message, qos, 0.0, lambda error: self.outcomes.append((payload, error)))

    async def outcome(self, payload=b"x", qos=1, **more):
        count = len(self.outcomes)
        self.publish(payload, qos, **more)
        await self.until(lambda: len(self.outcomes) > count)
        return self.outcomes[-1][1]


@pytest.fixture(params=["aws", "mqtt"])
def opened(request, tmp_path):
    pytest.importorskip("awscrt" if request.param == "aws" else "paho")

    @contextlib.asynccontextmanager
    async def open_it(answers=(), **more):
        cloud, folder = ScriptedCloud(dict(answers)), tmp_path / "cloud"
        async with listening(cloud, folder):
            files = [folder / name for name in ("core.cert.pem", "core.key.pem")]
            settings = UplinkSettings(
                "127.0.0.1",
                *files,
                "core",
                port=cloud.port,
                ca=folder / "ca.pem",
                broker=request.param,
                **{"aws_limits": False, **more},
            )
            events = Events()
            client = await open_client(settings, events)
            case = Case(client, events, cloud)
            try:
                yield case
            finally:
                await client.stop()

    return open_it


async def test_it_tells_of_each_attempt_and_what_the_cloud_allows(opened):
    properties = {pr.RECEIVE_MAXIMUM: 7}
    async with opened(
        {p.Connect: lambda _: [p.ConnAck(session_present=True, properties=properties)]}
    ) as case:
        welcome = await case.connect()
        assert (welcome.session_present, welcome.receive_maximum) == (True, 7)
        assert case.cloud.client_ids == ["core"]


@pytest.mark.parametrize(
    ("code", "cause"), [(0x87, Cause.NOT_AUTHORISED), (0x97, Cause.THROTTLED)], ids=["0x87", "0x97"]
)
async def test_an_attempt_that_is_refused_is_told_and_not_repeated_by_itself(opened, code, cause):
    async with opened({p.Connect: lambda _: [p.ConnAck(reason_code=code)]}) as case:
        assert await case.connect() == ("failed", cause)
        assert await case.connect() == ("failed", cause)
        assert len(case.cloud.client_ids) == 2


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_message_that_went_through(opened, qos):
    seen = []
    async with opened({p.Publish: seen.append}) as case:
        await case.connect()
        properties = Properties(1, "text/plain", "reply/to", b"\x00", (("k", "1"), ("k", "2")))
        assert await case.outcome(b"payload", qos, properties=properties, expires_at=60.0) is None
        await case.until(lambda: seen)
    (packet,) = seen
    assert (packet.topic, packet.payload, packet.qos, packet.dup) == ("dt/a", b"payload", qos, False)
    got = packet.properties
    assert (got[pr.CONTENT_TYPE], got[pr.RESPONSE_TOPIC], got[pr.CORRELATION_DATA]) == (
        "text/plain",
        "reply/to",
        b"\x00",
    )
    assert got[pr.USER_PROPERTY] == [("k", "1"), ("k", "2")]
    assert (got[pr.PAYLOAD_FORMAT_INDICATOR], got[pr.MESSAGE_EXPIRY_INTERVAL]) == (1, 60)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0x10, None), (0x87, PermanentCloudError), (0x90, PermanentCloudError), (0x97, TransientCloudError)],
    ids=["0x10", "0x87", "0x90", "0x97"],
)
async def test_what_the_cloud_answers(opened, code, kind):
    async with opened({p.Publish: lambda packet: [p.PubAck(packet.packet_id, code)]}) as case:
        await case.connect()
        assert type(await case.outcome()) is (kind or type(None))


async def test_each_message_has_one_outcome_when_the_cloud_hangs_up_in_the_middle(opened):
    def answer(packet):
        return [HANG_UP] if packet.payload == b"5" else None

    async with opened({p.Publish: answer}) as case:
        await case.connect()
        for number in range(10):
            case.publish(b"%d" % number)
        await case.until(lambda: len(case.outcomes) == 10)
        assert {payload for payload, _ in case.outcomes} == {b"%d" % number for number in range(10)}
        failed = {payload for payload, error in case.outcomes if error is not None}
        assert failed >= {b"%d" % number for number in range(5, 10)}
        assert {type(error) for _, error in case.outcomes if error is not None} == {TransientCloudError}
        assert case.events.told[-1] == ("lost", Cause.CLOSED)
        # And it sends nothing of it again by itself.
        sent = len(case.cloud.published)
        case.cloud.answers.clear()
        await case.connect()
        assert await case.outcome(b"after") is None
        assert case.cloud.published[sent:] == [b"after"]


async def test_without_a_connection_a_message_fails_for_now(opened):
    async with opened() as case:
        assert type(await case.outcome()) is TransientCloudError


async def test_what_was_under_way_is_told_at_the_end(opened):
    async with opened({p.Publish: lambda _packet: []}) as case:
        await case.connect()
        case.publish(b"unanswered")
    assert [type(error) for _, error in case.outcomes] == [TransientCloudError]


async def test_which_subscriptions_were_refused(opened):
    def judge(packet):
        codes = [0x87 if one.topic_filter.startswith("secret") else 1 for one in packet.filters]
        return [p.SubAck(packet.packet_id, codes)]

    async with opened({p.Subscribe: judge}) as case:
        await case.connect()
        assert list(await case.client.subscribe(FILTERS)) == ["secret/#"]


async def test_what_comes_is_acknowledged_when_it_is_taken_and_not_before(opened):
    acknowledged = []

    def subscribed(packet):
        properties = {pr.RESPONSE_TOPIC: "reply/to", pr.MESSAGE_EXPIRY_INTERVAL: 30}
        publish = p.Publish("cmd/a", b"do", 1, packet_id=77, properties=properties)
        return [p.SubAck(packet.packet_id, [1]), publish]

    answers = {p.Subscribe: subscribed, p.PubAck: lambda packet: acknowledged.append(packet.packet_id)}
    async with opened(answers) as case:
        await case.connect()
        await case.client.subscribe(FILTERS[:1])
        await case.until(lambda: case.events.incoming)
        assert await case.outcome() is None  # a whole way there and back
        assert acknowledged == []
        (came,) = case.events.incoming
        assert (came.topic, came.payload, came.qos, came.expires_in) == ("cmd/a", b"do", 1, 30)
        assert came.properties.response_topic == "reply/to"
        came.acknowledge()
        await case.until(lambda: acknowledged)
    assert acknowledged == [77]
