"""TLS without a socket: the server's context, and one connection's bytes in and out.

The TLS state is driven here over memory buffers, above a plain transport of the event loop: one read
gives all packets that came, one write takes all that go. (Measured against uvloop's own TLS transport
in the paced broker benchmark: half its CPU per message; docs/decisions.) Knows no MQTT.
"""

from __future__ import annotations

import contextlib
import hashlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edgecore.base.errors import CertificateError
from edgecore.listener.anchors import Anchors

# RFC 8446, 5.1: a record holds at most 2^14 bytes of plaintext; one read gives at most one record.
MAX_RECORD: Final = 16_384
# What a client may send before its handshake is done: a hello and a chain of certificates. OpenSSL's
# own cap of a chain is 100 KB; device certificates are about 1 KB.
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, for which Python has no name. The registry judges dates,
# after the handshake: here a clock that says 1970 would find every certificate of AWS "not yet valid".
_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x20_0000)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: who is trusted to sign devices, and the server's own certificate and key.

    `anchors`: the certificates that are trusted by themselves, besides.
    """

    ca: Path
    certificate: Path
    key: Path
    anchors: Anchors = field(default_factory=Anchors)


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 and 1.3; a client certificate is required, signed by our CA or an anchor itself.

    Who holds it, and whether it has ended, the registry says. Raises CertificateError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # Partial chain: a certificate may be trusted without its issuer.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # No resumption: a ticket would outlive the revocation of the certificate that it was given for.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    try:
        context.load_cert_chain(files.certificate, files.key)
        context.load_verify_locations(files.ca)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(
            f"cannot use {files.certificate}, {files.key} and {files.ca}: {error}. "
            "They are made by `edgecore init`; remove the server's pair to have it made anew"
        ) from error
    files.anchors.load_into(context)
    return context


def check_trustable(pem: str) -> None:
    """Raise CertificateError when TLS cannot take the certificate as an anchor."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise CertificateError(f"found a certificate that TLS cannot use ({error})") from error


def fingerprint_of(certificate: bytes) -> str:
    """SHA-256 of a certificate's DER, in hex: how the registry knows it."""
    return hashlib.sha256(certificate).hexdigest()


class TlsChannel:
    """One TLS connection, server side. Raises ssl.SSLError where the peer breaks TLS."""

    __slots__ = (
        "_handshake_bytes",
        "_incoming",
        "_outgoing",
        "_read",
        "_tls",
        "_write",
        "closed",
        "established",
    )

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._read = self._tls.read
        self._write = self._tls.write
        self._handshake_bytes = 0
        self.established = False
        self.closed = False

    def handshake(self, data: bytes) -> bytes:
        """Take handshake bytes, give those to answer with; `established` tells when it is done.

        After an ssl.SSLError `take` still gives the alert that tells the peer why.
        """
        self._handshake_bytes += len(data)
        if self._handshake_bytes > MAX_HANDSHAKE_BYTES:
            raise ssl.SSLError(1, f"more than {MAX_HANDSHAKE_BYTES} bytes came before the handshake was done")
        self._incoming.write(data)
        try:
            self._tls.do_handshake()
            self.established = True
        except ssl.SSLWantReadError:
            pass
        return self._outgoing.read()

    def fingerprint(self) -> str:
        """The client certificate's fingerprint, once established."""
        certificate = self._tls.getpeercert(binary_form=True)
        if certificate is None:
            raise ssl.SSLError(1, "the client gave no certificate")
        return fingerprint_of(certificate)

    def decrypt(self, data: bytes) -> bytes:
        """All plaintext that `data` completes. b"" is no end; `closed` is."""
        incoming = self._incoming
        incoming.write(data)
        try:
            plain = self._read(MAX_RECORD)
        except ssl.SSLWantReadError:
            return b""
        if not plain:
            self.closed = True
        # An empty buffer means that no whole record is left: asking again would only raise.
        elif incoming.pending:
            return self._read_rest(plain)
        return plain

    @property
    def has_input(self) -> bool:
        """Whether bytes came along with the end of the handshake; `decrypt(b"")` gives them."""
        return bool(self._incoming.pending)

    def _read_rest(self, first: bytes) -> bytes:
        parts = [first]
        while self._incoming.pending:
            try:
                plain = self._read(MAX_RECORD)
            except ssl.SSLWantReadError:
                break
            if not plain:
                self.closed = True
                break
            parts.append(plain)
        return b"".join(parts)

    def encrypt(self, data: bytes) -> bytes:
        """The bytes to send for `data`."""
        self._write(data)
        return self._outgoing.read()

    def take(self) -> bytes:
        """What TLS itself wants to send: an alert, a key update."""
        return self._outgoing.read()

    def close(self) -> bytes:
        """The bytes that end our side (close_notify)."""
        # It wants the peer's half, which we do not wait for; or TLS has failed before.
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._outgoing.read()
