"""The listener on a real socket with real TLS; transport.py is covered by its own file."""

import asyncio
import contextlib
import hashlib
import socket
import ssl

import aiohttp
import pytest
from running import running

from edgecore.base.clock import SystemClock
from edgecore.base.errors import CertificateError, NotAuthorizedError, UnavailableError
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.listener import service as service_module
from edgecore.listener.passwords import PasswordRecord
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.router import Router


class Client:
    """A device over TLS."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.framer = Framer(1 << 20)
        self.inbox = []

    async def send(self, packet):
        self.writer.write(encode(packet, 5))
        await self.writer.drain()

    async def receive(self):
        while not self.inbox:
            data = await asyncio.wait_for(self.reader.read(65_536), 5)
            if not data:
                return None
            self.inbox += [decode(first, body, 5) for first, body in self.framer.feed(data)]
        return self.inbox.pop(0)

    async def close(self):
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@pytest.fixture
def make_service(pki, book):
    specs = {name: DeviceSpec(name, name) for name in ("one", "two")}
    for name in specs:
        book[pki.fingerprint(name)] = name

    def make(files=None, renew=lambda: False, password_book=None, **settings):
        router = Router(SystemClock())
        router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], specs)
        chosen = ListenerSettings(**{"host": "127.0.0.1", "port": 0, "websocket_port": 0, **settings})
        return ListenerService(
            chosen, router, book, specs.get, files or pki.files, SystemClock(), renew, passwords=password_book
        )

    return make


@contextlib.asynccontextmanager
async def client(service, pki, name="one", **connect):
    stream = await asyncio.open_connection("127.0.0.1", service.port, ssl=pki.client(name))
    it = Client(*stream)
    try:
        if name:
            await it.send(p.Connect(name, 5, **connect))
        yield it
    finally:
        await it.close()


async def test_devices_speak_with_one_another(make_service, pki):
    async with (
        running(make_service()) as service,
        client(service, pki) as one,
        client(service, pki, "two") as two,
    ):
        assert (await one.receive()).reason_code == 0
        assert (await two.receive()).reason_code == 0
        await two.send(p.Subscribe(1, [p.SubscriptionOptions("t/#", 1)]))
        assert await two.receive() == p.SubAck(1, [1])
        await one.send(p.Publish("t/a", b"hello", 1, packet_id=1))
        assert await one.receive() == p.PubAck(1)
        assert (await two.receive()).payload == b"hello"
        status = service.status()
        assert status["devices"] == ["one", "two"]
        assert (status["connections"], status["sessions"]) == (2, 2)
    assert (service.port, service.ports) == (0, {})


async def test_a_device_speaks_over_websocket_with_one_that_does_not(make_service, pki):
    async with running(make_service()) as service, client(service, pki) as one:
        await one.receive()
        assert service.status()["other_ports"] == f"websocket {service.ports['websocket']}"
        assert len(set(service.ports.values())) == 2
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(
                f"https://localhost:{service.ports['websocket']}/mqtt",
                protocols=["mqtt"],
                ssl=pki.client("two"),
            ) as two,
        ):
            assert two.protocol == "mqtt"
            await two.send_bytes(encode(p.Connect("two", 5), 5))
            assert decode_frame(await two.receive()).reason_code == 0
            await two.send_bytes(encode(p.Subscribe(1, [p.SubscriptionOptions("t/#", 1)]), 5))
            assert decode_frame(await two.receive()) == p.SubAck(1, [1])
            await one.send(p.Publish("t/a", b"hello", 1, packet_id=1))
            assert decode_frame(await two.receive()).payload == b"hello"
            status = service.status()
            assert status["devices"] == ["one", "two"]
            assert status["connections_by_port"] == {"mqtt": 1, "websocket": 1}
            assert (status["traffic"]["sockets"], status["traffic"]["connects"]) == (2, 2)
            await two.send_str("text")
            assert (await two.receive()).data == 1003


def decode_frame(message):
    assert message.type is aiohttp.WSMsgType.BINARY
    ((first, body),) = Framer(1 << 20).feed(message.data)
    return decode(first, body, 5)


async def test_websocket_can_be_switched_off(make_service):
    async with running(make_service(websocket=False)) as service:
        assert list(service.ports) == ["mqtt"]


async def test_a_second_port_that_is_taken_closes_the_first(make_service):
    with socket.create_server(("127.0.0.1", 0)) as other:
        service = make_service(websocket_port=other.getsockname()[1])
        with pytest.raises(UnavailableError, match=r"listener\.websocket_port"):
            async with running(service):
                pass
    assert service.ports == {}


def scrypt_record(n):
    digest = hashlib.scrypt(
        hashlib.sha256(b"correct horse").digest(), salt=bytes(16), n=16, r=1, p=1, dklen=32
    )
    return PasswordRecord("00" * 16, digest.hex(), 0.0, n, 1, 1)


@pytest.mark.parametrize(
    ("n", "code"), [(16, 0), (15, 0x88)], ids=["checked in a thread", "a check that cannot be made"]
)
async def test_a_device_comes_with_a_password(make_service, pki, caplog, n, code):
    record = scrypt_record(n)

    class Book:
        def record(self, name):
            return record if name == "one" else None

    async with running(make_service(passwords=True, password_port=0, password_book=Book())) as service:
        assert list(service.ports) == ["mqtt", "websocket", "password"]
        stream = await asyncio.open_connection("127.0.0.1", service.ports["password"], ssl=pki.client(None))
        one = Client(*stream)
        await one.send(p.Connect("c", 5, username="one", password=b"correct horse"))
        assert (await one.receive()).reason_code == code
        status = service.status()
        assert status["passwords_waiting"] == 0
        assert status["refused_connects"] == ({"server_unavailable": 1} if code else {})
        await one.close()
    assert ("password not checked" in caplog.text) == bool(code)


async def test_recheck_closes_who_was_revoked(make_service, pki, book):
    async with (
        running(make_service()) as service,
        client(service, pki) as one,
        client(service, pki, "two") as two,
    ):
        await one.receive()
        await two.receive()
        book.pop(pki.fingerprint("one"))
        service.recheck()
        assert (await one.receive()).reason_code == 0x87
        assert await one.receive() is None
        await two.send(p.PingReq())
        assert await two.receive() == p.PingResp()


async def test_the_sweep_ends_silent_clients(make_service, pki, monkeypatch):
    monkeypatch.setattr(service_module, "SWEEP", 0.02)
    monkeypatch.setattr("edgecore.mqtt.server_session.KEEP_ALIVE_GRACE", 0.05)
    async with running(make_service()) as service, client(service, pki, keep_alive=1) as one:
        await one.receive()
        assert (await one.receive()).reason_code == 0x8D


async def test_the_kernel_keeps_little_for_each_connection(make_service, pki):
    """Else it gives megabytes to each client that does not read, and there is an end of what TCP may have."""
    async with running(make_service()) as service, client(service, pki) as one:
        await one.receive()
        (connection,) = service._connections
        kernel = connection._transport.get_extra_info("socket")
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            assert kernel.getsockopt(socket.SOL_SOCKET, buffer) <= 2 * service_module.SOCKET_BYTES


async def test_stopping_says_goodbye(make_service, pki):
    service = make_service()
    async with contextlib.AsyncExitStack() as stack:
        async with running(service):
            one = await stack.enter_async_context(client(service, pki))
            await one.receive()
        assert (await one.receive()).reason_code == 0x8B
        assert await one.receive() is None


async def test_stopping_cuts_who_does_not_go(make_service, monkeypatch):
    monkeypatch.setattr(service_module, "DRAIN", 0.05)
    async with running(make_service()) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"\x16")
        await writer.drain()
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("host", ["", "127.0.0.1"])
async def test_it_listens_where_it_was_told(make_service, pki, host):
    async with running(make_service(host=host)) as service, client(service, pki) as one:
        assert (await one.receive()).reason_code == 0


async def test_a_port_in_use_is_named(make_service):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UnavailableError, match=str(port)):
            async with running(make_service(port=port)):
                pass


async def test_missing_certificates_are_named(make_service, tmp_path):
    files = TlsFiles(tmp_path / "ca.pem", tmp_path / "server.pem", tmp_path / "server.key")
    with pytest.raises(CertificateError):
        async with running(make_service(files)):
            pass


def served(one):
    """The certificate that the server showed this client."""
    return one.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)


class Renewal:
    """A server's files of their own, with a step for each look: True, False or an error."""

    def __init__(self, pki, folder, steps):
        self.files = TlsFiles(pki.files.ca, folder / "server.pem", folder / "server.key")
        self.pki, self.steps, self.done = pki, list(steps), asyncio.Event()
        self.loop = asyncio.get_running_loop()
        self.go = True
        self.use("server")

    def use(self, name):
        for path, kind in ((self.files.certificate, "pem"), (self.files.key, "key")):
            path.write_bytes((self.pki.folder / f"{name}.{kind}").read_bytes())

    def __call__(self):
        if not self.go:
            return False
        if not self.steps:
            self.loop.call_soon_threadsafe(self.done.set)
            return False
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if step == "broken":
            self.files.key.write_bytes(b"")
        else:
            self.use(step)
        return True


async def test_a_renewed_server_certificate_is_used_and_nobody_is_dropped(
    make_service, pki, tmp_path, monkeypatch
):
    monkeypatch.setattr(service_module, "SWEEP", 0.01)
    monkeypatch.setattr(service_module, "RENEWAL", 0.0)
    renewal = Renewal(pki, tmp_path, ["two"])
    renewal.go = False
    async with running(make_service(renewal.files, renewal)) as service, client(service, pki) as one:
        await one.receive()
        renewal.go = True
        await asyncio.wait_for(renewal.done.wait(), 5)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", service.ports["websocket"], ssl=pki.client("two")
        )
        over_websocket = Client(None, writer)
        assert served(over_websocket) == ssl.PEM_cert_to_DER_cert((pki.folder / "two.pem").read_text())
        await over_websocket.close()
        async with client(service, pki, "two") as two:
            assert (await two.receive()).reason_code == 0
            assert served(two) == ssl.PEM_cert_to_DER_cert((pki.folder / "two.pem").read_text())
            assert served(one) != served(two)
        await one.send(p.PingReq())
        assert await one.receive() == p.PingResp()


async def test_a_renewal_that_fails_leaves_the_present_certificate_in_use(
    make_service, pki, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(service_module, "SWEEP", 0.01)
    monkeypatch.setattr(service_module, "RENEWAL", 0.0)
    renewal = Renewal(pki, tmp_path, [OSError("disk full"), CertificateError("no CA"), "broken"])
    async with running(make_service(renewal.files, renewal)) as service:
        await asyncio.wait_for(renewal.done.wait(), 5)
        async with client(service, pki) as one:
            assert (await one.receive()).reason_code == 0
            assert served(one) == ssl.PEM_cert_to_DER_cert((pki.folder / "server.pem").read_text())
        renewal.use("two")  # whole again: what could not be read is tried at the next look
        renewal.done.clear()
        await asyncio.wait_for(renewal.done.wait(), 5)
        renewal.done.clear()
        await asyncio.wait_for(renewal.done.wait(), 5)
        async with client(service, pki) as one:
            assert (await one.receive()).reason_code == 0
            assert served(one) == ssl.PEM_cert_to_DER_cert((pki.folder / "two.pem").read_text())
    assert "disk full" in caplog.text
    assert "no CA" in caplog.text


async def test_a_session_ends_when_its_certificate_has(make_service, pki, book, monkeypatch):
    monkeypatch.setattr(service_module, "SWEEP", 0.01)
    monkeypatch.setattr(service_module, "RENEWAL", 0.0)

    def lookup(fingerprint):
        if ended and fingerprint == first:
            raise NotAuthorizedError("has expired")
        return book.get(fingerprint)

    first, ended = pki.fingerprint("one"), False
    monkeypatch.setattr(book, "lookup", lookup)
    async with (
        running(make_service()) as service,
        client(service, pki) as one,
        client(service, pki, "two") as two,
    ):
        await one.receive()
        await two.receive()
        ended = True
        assert (await one.receive()).reason_code == 0x87
        await two.send(p.PingReq())
        assert await two.receive() == p.PingResp()


async def test_a_change_of_trust_counts_from_the_next_handshake_and_drops_nobody(make_service, pki, tmp_path):
    """Here it is the CA that changes; what was remade meanwhile is shown as well."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes((pki.folder / "ca.pem").read_bytes())
    renewal = Renewal(pki, tmp_path, [])
    files = TlsFiles(ca, renewal.files.certificate, renewal.files.key)
    async with running(make_service(files, renewal)) as service, client(service, pki) as one:
        await one.receive()
        ca.write_bytes((pki.folder / "foreign.pem").read_bytes())
        renewal.steps.append("two")
        await service.trust_changed()
        late = Client(*await asyncio.open_connection("127.0.0.1", service.port, ssl=pki.client("one")))
        assert served(late) == ssl.PEM_cert_to_DER_cert((pki.folder / "two.pem").read_text())
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await late.receive()
        await late.close()
        await one.send(p.PingReq())
        assert await one.receive() == p.PingResp()


async def test_a_change_of_trust_that_fails_is_tried_again_with_the_next_look(
    make_service, pki, tmp_path, caplog
):
    renewal = Renewal(pki, tmp_path, [OSError("disk full")])
    async with running(make_service(renewal.files, renewal)) as service:
        await service.trust_changed()
        assert "TLS not loaded anew" in caplog.text
        renewal.use("two")
        await service._look_at_certificate()
        async with client(service, pki) as one:
            assert (await one.receive()).reason_code == 0
            assert served(one) == ssl.PEM_cert_to_DER_cert((pki.folder / "two.pem").read_text())
