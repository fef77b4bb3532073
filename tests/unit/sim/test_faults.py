"""A link that can be cut."""

import asyncio
import contextlib

import pytest
from running import running

from edgecore.sim.faults import Proxy


class Peer(asyncio.Protocol):
    """An echo server's connection."""

    def __init__(self, peers):
        self.lost = asyncio.Event()
        peers.append(self)

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def connection_lost(self, exc):
        self.lost.set()


@pytest.fixture
async def echo():
    peers = []
    server = await asyncio.get_running_loop().create_server(lambda: Peer(peers), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], peers
    server.close()
    for peer in peers:
        peer.transport.abort()
    await server.wait_closed()


@contextlib.asynccontextmanager
async def connection(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def said(reader, writer, text):
    writer.write(text)
    async with asyncio.timeout(10):
        return await reader.readexactly(len(text))


async def ended(reader):
    """Whether the connection ends, by a reset or in order."""
    async with asyncio.timeout(10):
        try:
            return await reader.read(1) == b""
        except ConnectionResetError:
            return True


async def test_it_carries_both_ways(echo):
    port, _ = echo
    async with running(Proxy("127.0.0.1", port)) as proxy, connection(proxy.port) as (reader, writer):
        assert await said(reader, writer, b"x" * 200_000) == b"x" * 200_000
        status = proxy.status()
        assert (status["cut"], status["open"], status["port"]) == (False, 2, proxy.port)
        assert status["bytes"] >= 200_000


async def test_the_end_of_one_side_reaches_the_other(echo):
    port, peers = echo
    async with running(Proxy("127.0.0.1", port)) as proxy:
        async with connection(proxy.port) as (reader, writer):
            await said(reader, writer, b"x")
        async with asyncio.timeout(10):
            await peers[0].lost.wait()


async def test_a_cut_resets_both_sides_and_refuses_until_it_is_restored(echo):
    port, peers = echo
    async with running(Proxy("127.0.0.1", port)) as proxy:
        async with connection(proxy.port) as (reader, writer):
            await said(reader, writer, b"x")
            proxy.cut()
            assert await ended(reader)
            async with asyncio.timeout(10):
                await peers[0].lost.wait()
        async with connection(proxy.port) as (reader, _):
            assert await ended(reader)
        assert proxy.status()["cuts"] == 1
        proxy.restore()
        async with connection(proxy.port) as (reader, writer):
            assert await said(reader, writer, b"back") == b"back"


async def test_a_stall_holds_everything_back_and_goes_on_where_it_stopped(echo):
    port, peers = echo
    async with running(Proxy("127.0.0.1", port)) as proxy, connection(proxy.port) as (reader, writer):
        await said(reader, writer, b"x")
        proxy.stall()
        assert proxy.status()["stalled"]
        writer.write(b"held")
        async with connection(proxy.port) as (late_reader, late_writer):
            late_writer.write(b"late")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reader.read(1)
            assert len(peers) == 1
            proxy.restore()
            async with asyncio.timeout(10):
                assert await reader.readexactly(4) == b"held"
                assert await late_reader.readexactly(4) == b"late"


async def test_a_stalled_link_can_be_cut(echo):
    port, _ = echo
    async with running(Proxy("127.0.0.1", port)) as proxy, connection(proxy.port) as (reader, writer):
        await said(reader, writer, b"x")
        proxy.stall()
        writer.write(b"held")
        proxy.cut()
        assert await ended(reader)


async def test_a_target_that_is_down_looks_like_a_cut(unused_tcp_port):
    async with running(Proxy("127.0.0.1", unused_tcp_port)) as proxy, connection(proxy.port) as (reader, _):
        assert await ended(reader)


async def test_a_cut_while_the_target_is_being_reached(echo, monkeypatch):
    port, _ = echo
    async with running(Proxy("127.0.0.1", port)) as proxy:
        real = asyncio.open_connection

        async def slow(*arguments):
            opened = await real(*arguments)
            if arguments[1] == port:
                proxy.cut()
            return opened

        monkeypatch.setattr(asyncio, "open_connection", slow)
        async with connection(proxy.port) as (reader, _):
            assert await ended(reader)


async def test_the_end_of_the_proxy_ends_its_connections(echo):
    port, _ = echo
    async with running(Proxy("127.0.0.1", port)) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        await said(reader, writer, b"x")
    assert await ended(reader)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
