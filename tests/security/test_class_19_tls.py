"""Class 19: a wildcard certificate is accepted, or clear text is fallen back to. Real sockets, real handshakes.

What can come in is listed first, then everything that must not; of each it is said who refuses it: TLS, in the
handshake, or the registry, which is asked after every one.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ssl
import warnings
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edgecore.base.clock import ManualClock, SystemClock
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener import ListenerService, ListenerSettings, TlsFiles
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.registry import Registry
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer
from edgecore.router import Router

NOW = dt.datetime(2027, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PLAIN = serialization.NoEncryption()


class Issuer:
    """Somebody else's authority, as AWS IoT's: all that it issues has the same subject."""

    def __init__(self, folder, name="foreign authority"):
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = make(name, self.key, name, self.key, ca=True)

    def issue(self, stem, common_name="AWS IoT Certificate", end=NOW + 9000 * DAY, chain=False, **names):
        """The certificate (PEM) of a new device; the file is what the device shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject.rfc4514_string().removeprefix("CN=")
        certificate = make(common_name, key, issuer, self.key, end=end, **names)
        shown = [certificate, self.certificate] if chain else [certificate]
        keep(self.folder, stem, key, shown)
        return pem_of(certificate)


def make(subject, key, issuer, signing_key, begin=NOW - 700 * DAY, end=NOW + 9000 * DAY, ca=False, dns=()):
    name = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (subject, issuer)]
    builder = x509.CertificateBuilder(
        name[1], name[0], key.public_key(), x509.random_serial_number(), begin, end
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(each) for each in dns])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signing_key, hashes.SHA256())


def pem_of(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def keep(folder, stem, key, certificates):
    content = key if isinstance(key, bytes) else private_pem(key)
    (folder / f"{stem}.pem").write_bytes(b"".join(map(pem_of, certificates)) + content)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, PLAIN)


class Memory(dict):
    async def aput_all(self, values):
        self.update(values)


class Site:
    """A core whose registry knows the device `sensor`, and clients with certificates of every kind."""

    def __init__(self, folder):
        self.folder = folder
        self.clock = ManualClock(NOW.timestamp())
        self.core = CertificateAuthority.load_or_create(folder / "core")
        self.registry = Registry(Memory(), self.core, self.clock)
        self.foreign = Issuer(folder)
        specs = {"sensor": DeviceSpec("sensor", "sensor")}
        router = Router(SystemClock())
        router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], specs)
        files = TlsFiles(
            folder / "core" / "ca.pem", *self.core.ensure_server_certificate(), self.registry.anchors
        )
        settings = ListenerSettings(host="127.0.0.1", port=0, websocket=False)
        self.door = ListenerService(settings, router, self.registry, specs.get, files, SystemClock())
        self.registry.on_trust_changed(self.door.trust_changed)

    @asynccontextmanager
    async def open(self):
        ready = asyncio.Event()
        task = asyncio.create_task(self.door.run(ready.set))
        try:
            async with asyncio.timeout(10):
                await ready.wait()
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def issue(self, stem, **more):
        """Our own certificate, in the registry."""
        return self.keep(stem, await self.registry.add("sensor", **more))

    def keep(self, stem, issued):
        (self.folder / f"{stem}.pem").write_bytes(issued.certificate + issued.key)
        return issued

    async def register(self, pem):
        return await self.registry.add("sensor", certificate=pem)

    def context(self, stem, version=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.folder / "core" / "ca.pem")
        if stem:
            context.load_cert_chain(self.folder / f"{stem}.pem")
        if version is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the old versions are the subject
                context.minimum_version = context.maximum_version = version
            context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    async def come_in(self, stem, version=None):
        """What becomes of a client: "in", or who refused it, "tls" or "registry"."""
        try:
            stream = await asyncio.open_connection(
                "localhost", self.door.port, ssl=self.context(stem, version)
            )
        except (ssl.SSLError, ConnectionError):
            return "tls"
        reader, writer = stream
        try:
            writer.write(encode(p.Connect("c", 5), 5))
            async with asyncio.timeout(10):
                data = await reader.read(4096)
            answers = [decode(first, body, 5) for first, body in Framer(4096).feed(data)]
            if not answers:
                return "tls"
            return "in" if answers[0].reason_code == 0 else "registry"
        except (ssl.SSLError, ConnectionError):
            return "tls"
        finally:
            writer.close()
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.wait_closed()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["TLS 1.2", "TLS 1.3"])


# What comes in


@VERSIONS
async def test_class_19_who_may_come_in(site, version):
    await site.issue("ours")
    await site.issue("ours, with an end", days=30)
    await site.register(site.foreign.issue("registered"))
    await site.register(site.foreign.issue("registered, with its issuer", chain=True))
    async with site.open():
        for stem in ("ours", "ours, with an end", "registered", "registered, with its issuer"):
            assert (await site.come_in(stem, version), stem) == ("in", stem)


async def test_class_19_registered_while_the_door_is_open(site):
    await site.issue("ours")
    pem = site.foreign.issue("late")
    async with site.open():
        assert await site.come_in("late") == "tls"
        await site.register(pem)
        assert [await site.come_in(stem) for stem in ("late", "ours")] == ["in", "in"]
        await site.registry.revoke("sensor", site.registry.record("sensor").fingerprints[1])
        assert [await site.come_in(stem) for stem in ("late", "ours")] == ["tls", "in"]


async def test_class_19_a_clock_that_is_behind_locks_nobody_out(site):
    """The registered one began in 2025, and this Pi has no clock."""
    await site.issue("ours, with an end", days=30)
    await site.register(site.foreign.issue("registered"))
    site.clock.set_wall(0.0)
    async with site.open():
        for stem in ("ours, with an end", "registered"):
            assert (await site.come_in(stem), stem) == ("in", stem)


# What does not


async def no_certificate(site):
    return None


async def expired(site):
    await site.issue("it", days=30)
    site.clock.advance(31 * DAY.total_seconds())
    return "it"


async def expired_registered(site):
    await site.register(site.foreign.issue("it", end=NOW + DAY))
    site.clock.advance(2 * DAY.total_seconds())
    return "it"


async def wrong_authority(site):
    other = await asyncio.to_thread(CertificateAuthority.load_or_create, site.folder / "other")
    site.keep("it", other.issue_device("sensor"))
    return "it"


async def namesake_of_our_authority(site):
    name = x509.load_pem_x509_certificate(site.core.certificate).subject.rfc4514_string().removeprefix("CN=")
    Issuer(site.folder, name).issue("it", "sensor")
    return "it"


async def common_name_only(site):
    site.foreign.issue("it", "sensor")
    return "it"


async def common_name_of_our_authority(site):
    """Signed by our own key, with the right name, but not in the registry: the name counts for nothing."""
    site.keep("it", site.core.issue_device("sensor"))
    return "it"


async def wildcard_of_others(site):
    site.foreign.issue("it", "*", dns=("*.com", "*"))
    return "it"


async def wildcard_of_our_authority(site):
    signer = site.core._signers[0]
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = signer.certificate.subject.rfc4514_string().removeprefix("CN=")
    keep(site.folder, "it", key, [make("*.com", key, issuer, signer.key, dns=("*.com", "*"))])
    return "it"


async def revoked(site):
    await site.issue("it")
    await site.registry.revoke("sensor")
    return "it"


async def revoked_registered(site):
    await site.register(site.foreign.issue("it"))
    await site.registry.revoke("sensor")
    return "it"


async def sibling(site):
    """Of the same issuer and with the same subject as one that is registered."""
    await site.register(site.foreign.issue("registered"))
    site.foreign.issue("it")
    return "it"


async def sibling_with_its_issuer(site):
    await site.register(site.foreign.issue("registered"))
    site.foreign.issue("it", chain=True)
    return "it"


async def signed_by_a_registered_one(site):
    """A device makes itself an authority."""
    await site.register(site.foreign.issue("registered"))
    content = await asyncio.to_thread((site.folder / "registered.pem").read_bytes)
    parent, parent_key = (
        x509.load_pem_x509_certificate(content),
        serialization.load_pem_private_key(content, None),
    )
    key = ec.generate_private_key(ec.SECP256R1())
    child = make("sensor", key, "AWS IoT Certificate", parent_key)
    keep(site.folder, "it", key, [child, parent])
    return "it"


REFUSED = {
    "no certificate": (no_certificate, "tls"),
    "expired": (expired, "registry"),
    "expired, registered": (expired_registered, "registry"),
    "wrong authority": (wrong_authority, "tls"),
    "a namesake of our authority": (namesake_of_our_authority, "tls"),
    "common name only": (common_name_only, "tls"),
    "common name only, signed by our authority": (common_name_of_our_authority, "registry"),
    "wildcards": (wildcard_of_others, "tls"),
    "wildcards, signed by our authority": (wildcard_of_our_authority, "registry"),
    "revoked": (revoked, "registry"),
    "revoked, registered": (revoked_registered, "tls"),
    "a sibling of a registered one": (sibling, "tls"),
    "a sibling of a registered one, with its issuer": (sibling_with_its_issuer, "tls"),
    "signed by a registered one": (signed_by_a_registered_one, "tls"),
}


@VERSIONS
@pytest.mark.parametrize(("prepare", "by"), REFUSED.values(), ids=REFUSED)
async def test_class_19_who_may_not_come_in(site, prepare, by, version):
    stem = await prepare(site)
    async with site.open():
        assert await site.come_in(stem, version) == by
        assert site.door.status()["devices"] == []
        await site.issue("good")
        assert await site.come_in("good", version) == "in"


@pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=["TLS 1.0", "TLS 1.1"]
)
async def test_class_19_old_tls(site, version):
    await site.issue("good")
    async with site.open():
        assert await site.come_in("good", version) == "tls"
        assert await site.come_in("good") == "in"


@pytest.mark.parametrize(
    "data", [encode(p.Connect("c", 5), 5), b"GET / HTTP/1.1\r\n\r\n"], ids=["MQTT", "HTTP"]
)
async def test_class_19_no_clear_text(site, data):
    async with site.open():
        reader, writer = await asyncio.open_connection("127.0.0.1", site.door.port)
        writer.write(data)
        answer = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(10):
                answer = await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert (len(answer), answer[:1]) in {(0, b""), (7, b"\x15")}  # nothing, or one alert of TLS


async def test_class_19_a_session_ends_with_its_certificate(site):
    """The device has another certificate: the session by that one goes on."""
    first, second = await site.issue("first"), await site.issue("second")
    site.registry.on_revoked(lambda _: site.door.recheck())
    async with site.open():
        streams = []
        for stem in ("first", "second"):
            reader, writer = await asyncio.open_connection(
                "localhost", site.door.port, ssl=site.context(stem)
            )
            streams.append((reader, writer))
            writer.write(encode(p.Connect(stem, 5), 5))
            assert (await reader.read(100))[:1] == b"\x20"
        await site.registry.revoke("sensor", first.fingerprint)
        async with asyncio.timeout(10):
            goodbye = await streams[0][0].read()
            assert goodbye[:1] == b"\xe0"  # DISCONNECT, then the end
            streams[1][1].write(encode(p.PingReq(), 5))
            assert await streams[1][0].read(2) == encode(p.PingResp(), 5)
        assert site.registry.lookup(second.fingerprint) == "sensor"
        for _, writer in streams:
            writer.close()
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                await writer.wait_closed()
