"""Keys and certificates on the disk: read with a cap, replaced whole, one writer at a time.

It must not know what a certificate is for (signer.py, pki.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgecore.base.errors import CertificateError

_log = logging.getLogger(__name__)

# A certificate of ours is under 1 KB, an RSA 4096 one with a long SAN a few.
_MAX_FILE_BYTES: Final = 64 * 1024


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Be the only one who changes the files of `folder`, among all threads and processes.

    The lock is on the folder itself and ends with its holder: there is no lock file to be left behind.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes, mode: int) -> None:
    """Put `content` at `path` so that a power cut leaves the old file or the new one, never a part.

    The file never exists with wider permissions than `mode`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Let `source` take the place of `target` in the same folder, durably when it returns."""
    source.replace(target)
    _sync_folder(target.parent)


def create_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A new P-256 key, written to `path` for its owner alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    write_atomically(path, key_pem(key), 0o600)
    return key


def load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in `path`; one that others may read is closed to them. Raises CertificateError."""
    content = _read(path)
    if path.stat().st_mode & 0o077:
        _log.warning("private key could be read by others, mode is now 0600 path=%s", path)
        path.chmod(0o600)
    try:
        key = serialization.load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{path} is not a private key in PEM: restore it from a backup") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"found another kind of key in {path}, expected an elliptic curve key")
    return key


def load_certificates(path: Path) -> list[x509.Certificate]:
    """All certificates in `path`, at least one, in their order. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError as error:
        raise CertificateError(f"{path} is not a certificate in PEM: restore it from a backup") from error


def pem_of(*certificates: x509.Certificate) -> bytes:
    """The certificates as PEM, one after another."""
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The private key as PEM, without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise CertificateError(f"{path} has more than {_MAX_FILE_BYTES} bytes: that is no certificate or key")
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
