import stat

import pytest

from edgecore.base.errors import ConfigError, EdgecoreError
from edgecore.cli import device_files
from edgecore.cli.device_files import new_files, read_pem, write_pem


def test_reads(tmp_path):
    (tmp_path / "f").write_text("PEM\n")
    assert read_pem(tmp_path / "f", "a certificate") == "PEM\n"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_what_cannot_be_read_or_is_empty_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(ConfigError, match=r"f: found .* expected a certificate in PEM"):
        read_pem(tmp_path / "f", "a certificate")


def test_no_file_is_written_over(tmp_path):
    assert new_files(tmp_path, "a", "cert", "key")["key"] == tmp_path / "a.key.pem"
    (tmp_path / "a.key.pem").write_text("old")
    assert list(new_files(tmp_path, "a", "cert")) == ["cert"]
    with pytest.raises(ConfigError, match="nothing is lost"):
        new_files(tmp_path, "a", "cert", "key")


def test_a_key_is_its_owners_alone(tmp_path):
    key, ca = tmp_path / "new" / "a.key.pem", tmp_path / "new" / "ca.pem"
    write_pem({key: "KEY", ca: "CA"}, key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(ca.stat().st_mode) & 0o444 == 0o444
    assert (key.read_text(), ca.read_text()) == ("KEY", "CA")
    write_pem({ca: "CA and another"}, None)
    assert ca.read_text() == "CA and another"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(device_files.os, "open", full)
    with pytest.raises(EdgecoreError, match=r"(?s)cannot be written: No space.*was issued; revoke it"):
        write_pem({tmp_path / "f": "CA"}, None)
    assert list(tmp_path.iterdir()) == []
