"""Who is refused at the door, and what a refusal must not do to others."""

import asyncio
import datetime as dt
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecore.sim import device
from edgecore.sim.device import Credentials, Device
from edgecore.sim.pki import ThrowawayAuthority

# paho leaves a socket to the garbage collector when the peer ends a handshake.
pytestmark = [
    pytest.mark.xdist_group("scenario"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CONNECT = b"\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07garbage"


def issue(site, stem, days):
    """A certificate signed by the core's own CA behind its back. `days`: of its life, counted from now."""
    pki = site.core.folder / "pki"
    ca_key = serialization.load_pem_private_key((pki / "ca.key").read_bytes(), None)
    ca = x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sensor-1")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    files = Credentials(site.folder / f"{stem}.cert", site.folder / f"{stem}.key", pki / "ca.pem")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
    return files


def strange(site):
    """A certificate of a CA that the core does not know."""
    authority = ThrowawayAuthority.load_or_create(site.folder / "strangers", dt.datetime.now(dt.UTC))
    pair = authority.client("stranger", "sensor-1", dt.datetime.now(dt.UTC))
    return Credentials(pair.certificate, pair.key, site.core.folder / "pki" / "ca.pem")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(device, "_RECONNECT", (0.05, 0.1))


async def refused(site, eventually, credentials):
    """A device that tries again and again; gives once it was refused twice."""

    async def refusals():
        return sum((await site.status("listener", "status", "refused")).values())

    async def twice():
        return await refusals() >= before + 2

    before = await refusals()
    async with Device("intruder", site.core.endpoint, credentials).running() as intruder:
        await eventually(twice)
        assert intruder.connects == 0


async def test_a_certificate_that_tls_refuses_is_logged_once(site, eventually):
    words = "unable to get local issuer certificate"
    site.write_group("", example="sensor-gateway")
    await site.start("sensor-1")
    async with site.connected("sensor-1") as admitted:
        await refused(site, eventually, await asyncio.to_thread(strange, site))
        assert (await site.status("listener", "status"))["devices"] == ["sensor-1"]
        assert admitted.connects == 1
    assert len(site.log_lines("refused", words)) == len(site.log_lines("refused")) == 1


async def test_a_certificate_that_the_core_refuses_is_logged_once(site, eventually, edgecore_verb):
    site.write_group("[devices.sensor-2]\n", example="sensor-gateway")
    await site.start("sensor-1", "sensor-2", "outsider")
    revoke = ("device", "revoke", "sensor-2", "--dir", site.core.folder)
    assert (await asyncio.to_thread(edgecore_verb, *revoke))[0] == 0
    intruders = {
        "is not in the registry or was revoked": await asyncio.to_thread(issue, site, "unknown", days=30),
        "outsider is not in the active group": site.core.credentials("outsider"),
    }
    async with site.connected("sensor-1") as admitted:
        for credentials in (*intruders.values(), site.core.credentials("sensor-2")):
            await refused(site, eventually, credentials)
        assert (await site.status("listener", "status"))["devices"] == ["sensor-1"]
        assert admitted.connects == 1
    logged = {words: len(site.log_lines("refused", words)) for words in intruders}
    # The unknown and the revoked certificate are two peers with one reason.
    expected = dict.fromkeys(intruders, 1) | {"is not in the registry or was revoked": 2}
    assert logged == expected, site.log_lines("refused")


async def speak(site, name, data):
    """Send bytes over TLS with a device's certificate; give what comes back until the core closes."""
    reader, writer = await asyncio.open_connection(
        "localhost", site.core.port, ssl=await asyncio.to_thread(site.core.credentials(name).context)
    )
    try:
        writer.write(data)
        async with asyncio.timeout(20):
            return await reader.read()
    except (ConnectionResetError, ssl.SSLError):
        return b""
    finally:
        writer.close()


MALFORMED = {
    "a reserved packet type": b"\x00\x00",
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "a length of five bytes": b"\x10\xff\xff\xff\xff\x7f",
    "a PUBLISH at QoS 3": CONNECT + b"\x36\x04\x00\x01ab",
    "a PUBLISH to a filter, cut short": CONNECT + b"\x32\x05\x00\x03a+b",
    "a SUBSCRIBE to nothing": CONNECT + b"\x82\x05\x00\x01\x00\x00\x01",
}


async def test_a_malformed_packet_ends_only_its_own_connection(site, eventually):
    site.write_group("[devices.sensor-2]\n", example="sensor-gateway")
    await site.start("sensor-1", "sensor-2")
    answers = []
    async with site.connected("sensor-1") as admitted:
        for what, data in MALFORMED.items():
            answer = await speak(site, "sensor-2", data)
            # In 3.1.1 a CONNACK where there was a CONNECT, then nothing but the end.
            assert answer in ((b"\x20\x02\x00\x00", b"") if data.startswith(CONNECT) else (b"",)), what
        admitted.publish("dt/sensor-1/t", b"21", acknowledged=answers.append)
        await eventually(lambda: answers == [True])
        assert admitted.connects == 1
    assert await site.status("listener", "restarts") == 0
