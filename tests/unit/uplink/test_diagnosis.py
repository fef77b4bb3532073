"""What keeps a core from its cloud, told by name, port and certificate: against servers that are not the cloud."""

import asyncio
import contextlib
import datetime as dt
import errno
import socket
import ssl

import pytest

from edgecore.sim.pki import ThrowawayAuthority
from edgecore.uplink import diagnosis
from edgecore.uplink.diagnosis import diagnose
from edgecore.uplink.settings import UplinkSettings
from edgecore.uplink.trouble import Cause
from tests.conftest import open_sockets
from tests.unit.uplink.conftest import Until

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def settings_for(port, ca=None, **more):
    return UplinkSettings("127.0.0.1", "c", "k", "core-7", port=port, ca=ca, connect_timeout=5.0, **more)


@contextlib.asynccontextmanager
async def answering(answer, context=None):
    before = open_sockets()
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await Until()(lambda: open_sockets() <= before)  # handshakes that failed end after their client


async def hang_up(reader, writer):
    writer.transport.abort()


async def speak_http(reader, writer):
    await reader.read(1)
    writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://portal.example/\r\n\r\n")
    with contextlib.suppress(OSError):
        await writer.drain()
    writer.close()


def authority(folder, now=NOW):
    return ThrowawayAuthority.load_or_create(folder, now)


def server_context(folder, names=("127.0.0.1",), now=None):
    now = now or dt.datetime.now(dt.UTC)
    pair = authority(folder, now).server("server", names, now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


async def test_a_name_without_an_address():
    async def resolve(host, port):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    found = await diagnose(settings_for(8883), 0.0, resolve)
    assert found.cause is Cause.DNS
    assert "does DNS work here" in found.reason


async def test_the_machine_s_own_resolver_is_asked():
    assert await diagnosis.resolve("127.0.0.1", 1)


async def test_a_port_that_nobody_listens_on(unused_tcp_port):
    assert (await diagnose(settings_for(unused_tcp_port), 0.0)).cause is Cause.REFUSED


async def test_a_portal_that_speaks_http():
    async with answering(speak_http) as port:
        found = await diagnose(settings_for(port), 0.0)
    assert found.cause is Cause.CAPTIVE_PORTAL
    assert "not with TLS" in found.reason


async def test_a_portal_with_a_certificate_of_its_own(tmp_path):
    await asyncio.to_thread(authority, tmp_path / "ours", dt.datetime.now(dt.UTC))
    context = await asyncio.to_thread(server_context, tmp_path / "portal", ("portal.example",))
    async with answering(hang_up, context) as port:
        found = await diagnose(settings_for(port, tmp_path / "ours" / "ca.pem"), 0.0)
    assert found.cause is Cause.CAPTIVE_PORTAL
    assert "portal.example" in found.reason


async def test_the_cloud_itself_under_another_ca(tmp_path):
    await asyncio.to_thread(authority, tmp_path / "ours", dt.datetime.now(dt.UTC))
    context = await asyncio.to_thread(server_context, tmp_path / "cloud")
    async with answering(hang_up, context) as port:
        found = await diagnose(settings_for(port, tmp_path / "ours" / "ca.pem"), 0.0)
    assert found.cause is Cause.UNTRUSTED
    assert "[cloud] ca" in found.reason


async def test_a_certificate_that_is_not_yet_valid_because_the_clock_is_behind(tmp_path):
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=3650)
    context = await asyncio.to_thread(server_context, tmp_path / "cloud", ("127.0.0.1",), later)
    async with answering(hang_up, context) as port:
        found = await diagnose(settings_for(port, tmp_path / "cloud" / "ca.pem"), 0.0)
    assert found.cause is Cause.CLOCK
    assert "1970-01-01 00:00" in found.reason


async def test_all_is_well_up_to_tls(tmp_path):
    context = await asyncio.to_thread(server_context, tmp_path / "cloud")
    async with answering(hang_up, context) as port:
        assert await diagnose(settings_for(port, tmp_path / "cloud" / "ca.pem"), 0.0) is None


async def test_a_portal_that_hangs_up_when_it_is_looked_at(tmp_path, monkeypatch):
    async def gone(*_arguments, **_more):
        raise ConnectionResetError

    monkeypatch.setattr(diagnosis, "_certificate", gone)
    await asyncio.to_thread(authority, tmp_path / "ours", dt.datetime.now(dt.UTC))
    context = await asyncio.to_thread(server_context, tmp_path / "portal", ("portal.example",))
    async with answering(hang_up, context) as port:
        assert (
            await diagnose(settings_for(port, tmp_path / "ours" / "ca.pem"), 0.0)
        ).cause is Cause.UNTRUSTED


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TimeoutError(), Cause.NO_ANSWER),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), Cause.UNREACHABLE),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), Cause.CLOSED),
    ],
)
async def test_what_the_kernel_says(monkeypatch, error, cause):
    async def fail(*_arguments, **_more):
        raise error

    monkeypatch.setattr(asyncio, "open_connection", fail)
    assert (await diagnose(settings_for(8883), 0.0)).cause is cause


def test_on_443_it_asks_for_mqtt():
    assert diagnosis._context(settings_for(443)).verify_mode is ssl.CERT_REQUIRED
    assert diagnosis.ALPN == "x-amzn-mqtt-ca"
