"""A listening port that accepts by itself."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl

import pytest

from edgecore.base.errors import EdgecoreError
from edgecore.sim.cloud.door import Door, listening
from edgecore.sim.cloud.faults import Faults
from edgecore.sim.pki import ThrowawayAuthority


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)
        self.transport.close()


@pytest.fixture
def tls(tmp_path):
    """Contexts of a server that asks for no certificate, and of a client."""
    authority = ThrowawayAuthority.load_or_create(tmp_path, dt.datetime.now(dt.UTC))
    pair = authority.server("server", ("localhost",), dt.datetime.now(dt.UTC))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair.certificate, pair.key)
    return server, ssl.create_default_context(cafile=str(authority.ca))


@contextlib.asynccontextmanager
async def open_door(context, faults):
    async with listening("127.0.0.1", 0) as sock:
        door = Door(sock, context, Echo, faults)
        task = asyncio.create_task(door.run())
        try:
            yield door
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def said(port, context):
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(b"hello")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_admits_after_tls(tls):
    server, client = tls
    async with open_door(server, Faults()) as door:
        assert await said(door.port, client) == b"hello"


async def test_who_speaks_no_tls_harms_nobody(tls):
    server, client = tls
    async with open_door(server, Faults()) as door:
        for rubbish in (b"GET / HTTP/1.1\r\n\r\n", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(rubbish)
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        assert await said(door.port, client) == b"hello"


async def test_a_connection_that_cannot_be_accepted_does_not_end_it(tls, monkeypatch, caplog):
    server, client = tls
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError(24, "Too many open files")]

    async def failing(sock):
        if failures:
            raise failures.pop()
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", failing)
    async with open_door(server, Faults()) as door:
        assert await said(door.port, client) == b"hello"
    assert "Too many open files" in caplog.text


async def test_half_open_it_accepts_and_says_nothing(tls):
    server, client = tls
    faults = Faults()
    async with open_door(server, faults) as door:
        faults.set("half-open")
        door.changed()
        waiting = asyncio.create_task(said(door.port, client))
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        assert done == set()
        faults.clear()
        door.changed()
        async with asyncio.timeout(20):
            assert await waiting == b"hello"


async def test_cut_it_resets(tls):
    server, client = tls
    faults = Faults()
    faults.set("cut")
    async with open_door(server, faults) as door:
        with pytest.raises(ConnectionResetError):
            await said(door.port, client)


async def test_connections_that_wait_end_with_it(tls):
    server, _ = tls
    faults = Faults()
    faults.set("half-open")
    async with open_door(server, faults) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_taken_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EdgecoreError, match="choose another port"):
            async with listening("127.0.0.1", port):
                pass
