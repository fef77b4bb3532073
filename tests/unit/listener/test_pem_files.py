import fcntl
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from edgecore.base.errors import CertificateError
from edgecore.listener.pem_files import (
    create_key,
    held,
    key_pem,
    load_certificates,
    load_key,
    move,
    pem_of,
    write_atomically,
)
from edgecore.listener.signer import new_authority


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old", 0o600)

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new", 0o600)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_move_replaces(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    move(source, target)
    assert target.read_bytes() == b"new"
    assert not source.exists()


def test_a_key_is_its_owners_alone_and_comes_back(tmp_path):
    key = create_key(tmp_path / "k")
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert load_key(tmp_path / "k").public_key() == key.public_key()
    assert key_pem(key) == (tmp_path / "k").read_bytes()


def test_an_open_key_is_closed_and_reported(tmp_path, caplog):
    create_key(tmp_path / "k")
    (tmp_path / "k").chmod(0o644)
    load_key(tmp_path / "k")
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert "could be read by others" in caplog.text


def test_a_key_of_another_kind_is_refused(tmp_path):
    key = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_atomically(tmp_path / "k", pem, 0o600)
    with pytest.raises(CertificateError, match="elliptic curve"):
        load_key(tmp_path / "k")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"x" * 70_000])
def test_what_is_neither_key_nor_certificate_is_named(tmp_path, content):
    write_atomically(tmp_path / "f", content, 0o600)
    for load in (load_key, load_certificates):
        with pytest.raises(CertificateError, match=str(tmp_path / "f")):
            load(tmp_path / "f")


def test_certificates_come_in_their_order(tmp_path):
    certificates = [new_authority(ec.generate_private_key(ec.SECP256R1())).certificate for _ in range(3)]
    write_atomically(tmp_path / "f", pem_of(*certificates), 0o644)
    assert load_certificates(tmp_path / "f") == certificates


def test_a_folder_is_held_until_the_end_of_the_block(tmp_path):
    other = os.open(tmp_path, os.O_RDONLY)  # as another thread or process has it
    try:
        with held(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(other)
    assert list(tmp_path.iterdir()) == []
