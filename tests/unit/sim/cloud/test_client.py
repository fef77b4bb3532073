"""What a PUBLISH or SUBSCRIBE leads to, as an outcome."""

import pytest

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt import packets as p
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import V5, V311
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud.access import ANYBODY
from edgecore.sim.cloud.client import Client
from edgecore.sim.cloud.presence import Visit


@pytest.fixture
def client_of(world):
    def make(version):
        session, _ = world.broker.open("core", version, True, 0.0)
        session.attach(100)
        access = world.broker.account.connect(ANYBODY, "core", "")
        return Client(world.broker, session, access, Visit("core", "s", "", ""))

    return make


@pytest.mark.parametrize("qos", [0, 1])
def test_a_publish_that_is_taken_has_no_outcome(client_of, qos):
    assert client_of(V5).publish(p.Publish("a", b"", qos, packet_id=1), 0.0) is None


@pytest.mark.parametrize(
    ("version", "qos", "size", "send", "end"),
    [
        (V5, 1, 0, [p.PubAck(1, 0x90)], None),
        (V5, 0, 0, [], ReasonCode.TOPIC_NAME_INVALID),
        (V311, 1, 0, [], ReasonCode.TOPIC_NAME_INVALID),
        (V5, 1, 131_073, [], ReasonCode.QUOTA_EXCEEDED),
    ],
)
def test_a_publish_that_is_refused(client_of, version, qos, size, send, end):
    outcome = client_of(version).publish(p.Publish("x" * 257, bytes(size), qos, packet_id=1), 0.0)
    assert (outcome.send, outcome.end) == (send, end)
    assert "refused" in outcome.refusals[0]


def test_an_alias_that_was_never_told(client_of):
    unknown = p.Publish("", b"", properties=PropertyMap({ids.TOPIC_ALIAS: 1}))
    with pytest.raises(RemoteProtocolError):
        client_of(V5).publish(unknown, 0.0)


def test_filters_are_answered_one_by_one(client_of):
    packet = p.Subscribe(3, [p.SubscriptionOptions("a", 1), p.SubscriptionOptions("x" * 257)])
    outcome = client_of(V5).subscribe(packet, 0.0)
    assert outcome.send == [p.SubAck(3, [1, 0x8F])]
    assert client_of(V311).subscribe(packet, 0.0).send == [p.SubAck(3, [1, 0x80])]
