"""What joins a transport and a conversation: back pressure, throughput, slow and half-open links."""

import asyncio

import pytest

from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import encode
from edgecore.mqtt.packets import V5
from edgecore.sim.cloud.connection import Connection, guest_of, new_id
from edgecore.sim.cloud.conversation import NOBODY
from edgecore.sim.cloud.limits import Limits

CONNECT = encode(p.Connect("core", V5), 0)
PING, PONG = encode(p.PingReq(), V5), encode(p.PingResp(), V5)


class Transport:
    def __init__(self):
        self.written = []
        self.reading = True
        self.closed = self.aborted = False

    def write(self, data):
        self.written.append(data)

    def close(self):
        self.closed = True

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def get_extra_info(self, _name):
        return None


def take(transport):
    written, transport.written = b"".join(transport.written), []
    return written


@pytest.fixture
def connect():
    made = []

    def connect(world):
        connections = set()
        connection = Connection(world.broker, world.live, connections)
        transport = Transport()
        connection.connection_made(transport)
        connection.data_received(CONNECT)
        assert take(transport)[0] == 0x20
        made.append(connection)
        return connection, transport

    yield connect
    for connection in made:
        connection.connection_lost(None)


async def test_a_full_transport_pauses_deliveries(world, connect):
    connection, transport = connect(world)
    connection.data_received(encode(p.Subscribe(1, [p.SubscriptionOptions("a", 1)]), V5))
    take(transport)
    connection.pause_writing()
    connection.data_received(encode(p.Publish("a", b"x", 0), V5))
    assert transport.written == []
    connection.resume_writing()
    assert b"x" in take(transport)


async def test_beyond_the_throughput_nothing_is_read_until_it_is_paid(make_world, connect):
    connection, transport = connect(make_world(limits=Limits(bytes=100_000)))
    connection.data_received(encode(p.Publish("a", bytes(101_000), 0), V5))
    assert not transport.reading
    async with asyncio.timeout(20):
        while not transport.reading:  # noqa: ASYNC110  a timer of the loop, which sets no event
            await asyncio.sleep(0.001)


async def test_a_frozen_link_neither_reads_nor_writes_and_goes_on_where_it_stopped(world, connect):
    connection, transport = connect(world)
    connection.freeze(frozen=True)
    connection.freeze(frozen=True)
    assert not transport.reading
    connection.data_received(PING)  # what TLS had read already
    connection.check(1e9)  # no keep alive counts
    world.live.end("core", 0x98, 0.0)
    assert (transport.written, transport.closed) == ([], False)
    connection.freeze(frozen=False)
    assert transport.reading
    assert take(transport) == encode(p.Disconnect(0x98), V5)
    assert transport.closed


async def test_what_came_while_frozen_is_answered_afterwards(world, connect):
    connection, transport = connect(world)
    connection.freeze(frozen=True)
    connection.data_received(PING)
    connection.freeze(frozen=False)
    assert take(transport) == PONG


async def test_a_slow_link_keeps_the_order(world, connect):
    connection, transport = connect(world)
    world.broker.change_faults("slow", "0.01")
    for _ in range(3):
        connection.data_received(PING)
    connection.data_received(encode(p.Disconnect(), V5))
    assert transport.written == []
    async with asyncio.timeout(20):
        while not transport.closed:  # noqa: ASYNC110  a timer of the loop, which sets no event
            await asyncio.sleep(0.001)
    assert take(transport) == 3 * PONG


async def test_bytes_that_wait_are_not_overtaken_when_it_is_slow_no_longer(world, connect):
    connection, transport = connect(world)
    world.broker.change_faults("slow", "0.01")
    connection.data_received(encode(p.Subscribe(1, [p.SubscriptionOptions("a", 0)]), V5))
    world.broker.change_faults("slow", on=False)
    connection.data_received(encode(p.Publish("a", b"x", 0), V5))
    assert transport.written == []
    async with asyncio.timeout(20):
        while b"x" not in b"".join(transport.written):  # noqa: ASYNC110  a timer of the loop
            await asyncio.sleep(0.001)
    assert b"".join(transport.written)[0] == 0x90  # SUBACK first


async def test_it_is_dropped_with_a_reset(world, connect):
    connection, transport = connect(world)
    connection.abort()
    assert transport.aborted


async def test_silence_is_ended_and_told(world, connect, caplog):
    connection, transport = connect(world)
    connection.check(1e12)
    assert transport.closed
    assert "core: nothing came within the keep alive" in caplog.text


def test_a_transport_without_tls_is_nobody():
    assert guest_of(Transport()) == NOBODY


def test_ids_differ():
    assert new_id() != new_id()
