import json
import stat

import pytest

from edgecore.base.errors import StoreError
from edgecore.cli import device as device_module
from edgecore.cli import exit_codes
from edgecore.store import StoreLock


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_adds_through_the_running_core(edgecore, core, tmp_path):
    out = tmp_path / "certs"
    done = edgecore("device", "add", "gate", "--dir", core.folder, "--out", out)
    assert done.code == 0
    assert files(out) == ["ca.pem", "gate.cert.pem", "gate.key.pem"]
    assert (out / "gate.cert.pem").read_text() == "CERT\n"
    assert stat.S_IMODE((out / "gate.key.pem").stat().st_mode) == 0o600
    assert done.err.startswith("device gate: ")
    assert list(core.devices.known) == ["gate"]


def test_json_names_the_files(edgecore, core, tmp_path):
    done = edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path / "c", "--json")
    answer = json.loads(done.out)
    assert answer["name"] == "gate"
    assert answer["key"] == str(tmp_path / "c" / "gate.key.pem")


def test_a_signing_request_brings_no_key(edgecore, core, tmp_path):
    (tmp_path / "gate.csr").write_text("PEM")
    out = tmp_path / "certs"
    args = ("--dir", core.folder, "--out", out, "--csr", tmp_path / "gate.csr")
    assert edgecore("device", "add", "gate", *args).code == 0
    assert files(out) == ["ca.pem", "gate.cert.pem"]


def test_a_signing_request_that_is_not_there(edgecore, core, tmp_path):
    done = edgecore("device", "add", "gate", "--dir", core.folder, "--csr", tmp_path / "no.csr")
    assert done.code == exit_codes.CONFIG
    assert "a signing request in PEM" in done.err


@pytest.mark.parametrize("part", ["cert", "key"])
def test_never_writes_over_a_certificate_or_key(edgecore, core, tmp_path, part):
    (tmp_path / f"gate.{part}.pem").write_text("old")
    done = edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path)
    assert done.code == exit_codes.CONFIG
    assert "Remove it, or choose another --out" in done.err
    assert core.devices.known == {}


def test_a_name_that_none_can_have(edgecore, core):
    done = edgecore("device", "add", "a b", "--dir", core.folder)
    assert done.code == exit_codes.USAGE
    assert "expected 1 to 128 of the characters" in done.err


def test_a_folder_that_cannot_be_written(edgecore, core, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(device_module.os, "open", full)
    done = edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path)
    assert done.code == exit_codes.FAILED
    assert "cannot be written: No space left on device" in done.err
    assert "the certificate was issued; revoke it" in done.err


def test_lists(edgecore, core):
    assert "no devices yet" in edgecore("device", "list", "--dir", core.folder).err
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    heading, line = edgecore("device", "list", "--dir", core.folder).out.splitlines()
    assert heading.split() == ["device", "certificates", "revoked", "added"]
    assert line.split() == ["gate", "1", "0", "2023-11-14", "22:13", "UTC"]
    [record] = json.loads(edgecore("device", "list", "--dir", core.folder, "--json").out)["devices"]
    assert record["name"] == "gate"


def test_revokes(edgecore, core):
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    done = edgecore("device", "revoke", "gate", "--dir", core.folder)
    assert (done.code, done.err) == (0, "device gate is revoked: it can no longer connect\n")
    assert json.loads(edgecore("device", "revoke", "gate", "--dir", core.folder, "--json").out)[
        "revoked"
    ] == ["ab"]


def test_revoking_an_unknown_one(edgecore, core):
    done = edgecore("device", "revoke", "nobody", "--dir", core.folder)
    assert done.code == exit_codes.FAILED
    assert "no device 'nobody' here" in done.err


# While no core runs ---------------------------------------------------------------------------------


@pytest.fixture
def resting(edgecore, tmp_path):
    """The folder of a core that does not run."""
    folder = tmp_path / "d"
    assert edgecore("init", "--dir", folder, "--thing", "core-7").code == 0
    return folder


def test_works_while_the_core_is_down(edgecore, resting, tmp_path):
    out = tmp_path / "certs"
    assert edgecore("device", "add", "gate", "--dir", resting, "--out", out).code == 0
    assert files(out) == ["ca.pem", "gate.cert.pem", "gate.key.pem"]
    assert (out / "ca.pem").read_text() == (resting / "pki" / "ca.pem").read_text()
    [record] = json.loads(edgecore("device", "list", "--dir", resting, "--json").out)["devices"]
    assert (record["name"], len(record["fingerprints"]), record["revoked"]) == ("gate", 1, [])
    assert edgecore("device", "list", "--dir", resting).out.splitlines()[1].split()[:3] == ["gate", "1", "0"]
    assert edgecore("device", "revoke", "gate", "--dir", resting).code == 0
    [record] = json.loads(edgecore("device", "list", "--dir", resting, "--json").out)["devices"]
    assert (record["fingerprints"], len(record["revoked"])) == ([], 1)


def test_a_folder_that_was_never_initialised(edgecore, tmp_path):
    done = edgecore("device", "list", "--dir", tmp_path)
    assert done.code == exit_codes.CONFIG
    assert "Make them with `edgecore init`" in done.err


def test_waits_for_another_that_holds_the_store(edgecore, resting, monkeypatch):
    with StoreLock(resting / "state" / "lock"):
        monkeypatch.setattr(device_module, "_PATIENCE", 0.0)
        done = edgecore("device", "list", "--dir", resting)
    assert done.code == exit_codes.FAILED
    assert "another edgecore runs on this folder; stop it first" in done.err


def test_goes_on_once_the_store_is_free(edgecore, resting, monkeypatch):
    lock = StoreLock(resting / "state" / "lock")
    lock.__enter__()
    monkeypatch.setattr(device_module.time, "sleep", lambda _: lock.__exit__(None, None, None))
    assert edgecore("device", "list", "--dir", resting).code == 0


def test_the_error_of_a_held_store_is_one_of_the_store():
    assert issubclass(device_module._HeldError, StoreError)
