"""What the cloud sends, and its acknowledgement."""

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.base.identity import CLOUD
from edgecore.base.interfaces import Receipt
from edgecore.base.message import Properties
from edgecore.uplink.client import Incoming
from edgecore.uplink.inbound import Inbound
from edgecore.uplink.link import Link

SHADOW = "$aws/things/a/shadow/update/delta"


@pytest.fixture
def link():
    return Link(ManualClock())


@pytest.fixture
def inbound(bus, link):
    return Inbound(bus, link, ManualClock(100.0))


class Acks:
    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1


def incoming(topic="cmd/a/go", qos=1, expires_in=None, properties=None):
    return Incoming(topic, b"{}", qos, properties, expires_in, Acks())


def test_a_message_goes_to_the_router_as_the_clouds(inbound, bus):
    properties = Properties(content_type="json")
    one = incoming(expires_in=5, properties=properties)
    inbound.take(one)
    (message,) = bus.published
    assert (message.topic, message.payload, message.qos, message.sender) == ("cmd/a/go", b"{}", 1, CLOUD)
    assert (message.expires_at, message.properties, message.retain) == (105.0, properties, False)
    assert one.acknowledge.count == 1


def test_it_is_acknowledged_only_when_it_is_durable(inbound, bus):
    first, second = Commit(), Commit()
    bus.receipt = Receipt(allowed=True, receivers=2, commits=(first, second))
    one = incoming()
    inbound.take(one)
    first.resolve()
    assert one.acknowledge.count == 0
    second.resolve()
    assert one.acknowledge.count == 1


def test_what_the_disk_did_not_take_is_not_acknowledged(inbound, bus):
    commit = Commit()
    bus.receipt = Receipt(allowed=True, commits=(commit,))
    one = incoming()
    inbound.take(one)
    commit.resolve(StoreError("disk full"))
    assert one.acknowledge.count == 0
    assert inbound.status()["withheld"] == {"disk full": 1}


def test_what_a_full_queue_refused_is_not_acknowledged(inbound, bus):
    bus.receipt = Receipt(allowed=True, refused="function:f is full")
    one = incoming()
    inbound.take(one)
    assert one.acknowledge.count == 0


def test_what_no_route_allows_is_acknowledged_and_counted(inbound, bus):
    bus.receipt = Receipt(allowed=False)
    one = incoming()
    inbound.take(one)
    assert one.acknowledge.count == 1
    assert inbound.status()["dropped"] == {"no route": 1}


def test_a_topic_that_is_not_allowed_here_is_acknowledged_and_counted(inbound, bus):
    one = incoming("/".join("x" * 100))
    inbound.take(one)
    assert one.acknowledge.count == 1
    assert bus.published == []


async def test_shadow_messages_go_to_their_receivers_and_never_to_the_router(inbound, bus, link, client):
    commit = Commit()
    link.up(client)
    await link.subscribe("$aws/things/a/shadow/#", lambda _t, _p: commit)
    one = incoming(SHADOW)
    inbound.take(one)
    assert bus.published == []
    assert one.acknowledge.count == 0
    commit.resolve()
    assert one.acknowledge.count == 1


def test_shadow_messages_without_a_receiver_are_acknowledged_and_counted(inbound, bus):
    one = incoming(SHADOW)
    inbound.take(one)
    assert bus.published == []
    assert one.acknowledge.count == 1
    assert inbound.received == 1
    assert inbound.status()["dropped"] == {"shadow message without a receiver": 1}
