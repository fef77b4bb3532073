import json
import stat

import pytest

from edgecore.cli import exit_codes
from edgecore.listener.pki import CertificateAuthority


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
    assert (answer["name"], answer["fingerprint"]) == ("gate", f"{0xAB:064x}")
    assert answer["key"] == str(tmp_path / "c" / "gate.key.pem")


def test_a_signing_request_brings_no_key(edgecore, core, tmp_path):
    (tmp_path / "gate.csr").write_text("PEM")
    out = tmp_path / "certs"
    args = ("--dir", core.folder, "--out", out, "--csr", tmp_path / "gate.csr")
    assert edgecore("device", "add", "gate", *args).code == 0
    assert files(out) == ["ca.pem", "gate.cert.pem"]


def test_a_certificate_that_the_device_has_is_registered(edgecore, core, tmp_path):
    (tmp_path / "aws.pem").write_text("PEM")
    out = tmp_path / "certs"
    done = edgecore(
        "device", "add", "gate", "--dir", core.folder, "--out", out, "--certificate", tmp_path / "aws.pem"
    )
    assert done.code == 0
    assert files(out) == ["ca.pem"]
    assert core.devices.asked == [("add", "gate", b"", b"PEM", 0)]


def test_an_end_is_asked_for(edgecore, core, tmp_path):
    assert edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path, "--days", 30).code == 0
    assert core.devices.asked == [("add", "gate", b"", b"", 30)]


@pytest.mark.parametrize("more", [("--csr", "F"), ("--days", "3")])
@pytest.mark.parametrize("verb", ["add", "renew"])
def test_a_certificate_is_as_it_is(edgecore, core, tmp_path, verb, more):
    (tmp_path / "F").write_text("PEM")
    more = [tmp_path / each if each == "F" else each for each in more]
    done = edgecore("device", verb, "gate", "--dir", core.folder, "--certificate", tmp_path / "F", *more)
    assert done.code == exit_codes.USAGE
    assert "goes with neither --csr nor --days" in done.err
    assert core.devices.asked == []


@pytest.mark.parametrize("days", ["0", "-1", "x"])
def test_a_life_that_is_none(edgecore, core, days):
    assert edgecore("device", "add", "gate", "--dir", core.folder, "--days", days).code == exit_codes.USAGE


@pytest.mark.parametrize(
    ("option", "words"), [("--csr", "a signing request in PEM"), ("--certificate", "a certificate in PEM")]
)
@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_file_that_is_not_there_or_empty_issues_nothing(edgecore, core, tmp_path, option, words, content):
    if content is not None:
        (tmp_path / "F").write_text(content)
    done = edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path, option, tmp_path / "F")
    assert done.code == exit_codes.CONFIG
    assert words in done.err
    assert core.devices.asked == []


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


def test_renews_beside_what_the_device_has(edgecore, core, tmp_path):
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path / "first")
    again = edgecore("device", "renew", "gate", "--dir", core.folder, "--out", tmp_path / "first")
    assert again.code == exit_codes.CONFIG
    done = edgecore("device", "renew", "gate", "--dir", core.folder, "--out", tmp_path / "second")
    assert done.code == 0
    assert files(tmp_path / "second") == files(tmp_path / "first")
    assert "the certificates that it had stay good: edgecore device show gate" in done.err
    assert [asked[0] for asked in core.devices.asked] == ["add", "renew"]


def test_renews_with_a_request_an_end_or_a_certificate(edgecore, core, tmp_path):
    (tmp_path / "F").write_text("PEM")
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", tmp_path / "0")
    for number, more in enumerate(
        (("--csr", tmp_path / "F", "--days", 9), ("--certificate", tmp_path / "F")), 1
    ):
        args = ("--dir", core.folder, "--out", tmp_path / str(number), *more, "--json")
        answer = json.loads(edgecore("device", "renew", "gate", *args).out)
        assert "key" not in answer
    assert core.devices.asked[1:] == [("renew", "gate", b"PEM", b"", 9), ("renew", "gate", b"", b"PEM", 0)]


def test_renewing_an_unknown_one(edgecore, core, tmp_path):
    done = edgecore("device", "renew", "nobody", "--dir", core.folder, "--out", tmp_path / "c")
    assert done.code == exit_codes.FAILED
    assert "no device 'nobody' here" in done.err
    assert not (tmp_path / "c").exists()


def test_shows(edgecore, core):
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    done = edgecore("device", "show", "gate", "--dir", core.folder)
    assert done.code == 0
    assert f"certificate {0xAB:064x}" in done.out
    answer = json.loads(edgecore("device", "show", "gate", "--dir", core.folder, "--json").out)
    assert answer["certificates"][0]["serial"] == "1f"
    assert edgecore("device", "show", "nobody", "--dir", core.folder).code == exit_codes.FAILED


def test_lists(edgecore, core):
    assert "no devices yet" in edgecore("device", "list", "--dir", core.folder).err
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    heading, line = edgecore("device", "list", "--dir", core.folder).out.splitlines()
    assert heading.split() == ["device", "certificates", "revoked", "added"]
    assert line.split() == ["gate", "1", "0", "2023-11-14", "22:13", "UTC"]
    answer = json.loads(edgecore("device", "list", "--dir", core.folder, "--json").out)
    assert answer["devices"][0]["name"] == "gate"
    assert answer["rotation"] is None


def test_revokes(edgecore, core):
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    done = edgecore("device", "revoke", "gate", "--dir", core.folder)
    assert (done.code, done.err) == (0, "device gate is revoked: it can no longer connect\n")
    answer = json.loads(edgecore("device", "revoke", "gate", "--dir", core.folder, "--json").out)
    assert answer["revoked"] == [f"{0xAB:064x}"]


def test_revokes_one_of_several(edgecore, core):
    for verb in ("add", "renew"):
        edgecore("device", verb, "gate", "--dir", core.folder, "--out", core.folder / verb)
    done = edgecore("device", "revoke", "gate", "--dir", core.folder, "--certificate", f"{0xAB:064x}")
    assert done.err == "that certificate of device gate is revoked; 1 of its certificates are good\n"
    assert core.devices.record("gate").fingerprints == (f"{0xAC:064x}",)


def test_no_fingerprint_at_all_is_not_every_fingerprint(edgecore, core):
    """As a script gives it whose variable is empty."""
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    edgecore("device", "revoke", "gate", "--dir", core.folder, "--certificate", "")
    assert core.devices.asked[-1] == ("revoke", "gate", "")
    assert core.devices.record("gate").revoked == ()


def test_revoking_an_unknown_one(edgecore, core):
    done = edgecore("device", "revoke", "nobody", "--dir", core.folder)
    assert done.code == exit_codes.FAILED
    assert "no device 'nobody' here" in done.err


def test_changes_the_authority(edgecore, core):
    edgecore("device", "add", "gate", "--dir", core.folder, "--out", core.folder / "c")
    done = edgecore("device", "rotate-ca", "--dir", core.folder)
    assert done.err == "a new authority signs devices from now on: 1 to be renewed first: gate\n"
    assert "1 to be renewed first: gate" in edgecore("device", "list", "--dir", core.folder).err
    refused = edgecore("device", "rotate-ca", "--dir", core.folder, "--finish")
    assert refused.code == exit_codes.FAILED
    done = edgecore("device", "rotate-ca", "--dir", core.folder, "--finish", "--force", "--json")
    assert json.loads(done.out) == {"authority": "abc", "waiting": ["gate"]}
    assert core.devices.asked[-2:] == [("finish", False), ("finish", True)]
    assert "has ended" in edgecore("device", "rotate-ca", "--dir", core.folder, "--finish", "--force").err


def test_force_alone_is_nothing(edgecore, core):
    assert edgecore("device", "rotate-ca", "--dir", core.folder, "--force").code == exit_codes.USAGE
    assert core.devices.under_way is None


@pytest.mark.parametrize("verb", ["add", "renew", "list", "show", "revoke", "rotate-ca"])
def test_every_verb_has_help_with_an_example(edgecore, verb):
    done = edgecore("device", verb, "--help")
    assert done.code == 0
    assert f"Example: edgecore device {verb}" in done.out


def test_a_verb_that_was_meant_is_suggested(edgecore):
    done = edgecore("device", "revok")
    assert done.code == exit_codes.USAGE
    assert "revoke" in done.err


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


def test_every_verb_works_while_the_core_is_down(edgecore, resting, tmp_path):
    foreign = CertificateAuthority.load_or_create(tmp_path / "foreign").issue_device("x")
    (tmp_path / "aws.pem").write_bytes(foreign.certificate)

    def done(verb, *more):
        result = edgecore("device", verb, *more, "--dir", resting)
        assert result.code == 0, result.err
        return result

    done("add", "gate", "--certificate", tmp_path / "aws.pem", "--out", tmp_path / "a")
    done("rotate-ca")
    done("renew", "gate", "--days", 30, "--out", tmp_path / "b")
    assert (tmp_path / "b" / "ca.pem").read_bytes() == (resting / "pki" / "ca.pem").read_bytes()
    assert "every device holds something of the new one" in done("list").err
    done("rotate-ca", "--finish")
    done("revoke", "gate", "--certificate", foreign.fingerprint[:12])
    first, second = json.loads(done("show", "gate", "--json").out)["certificates"]
    assert (first["issuer"], first["revoked_at"] is None) == ("registered", False)
    assert (second["issuer"], second["revoked_at"]) == ("own", None)
    refused = edgecore("device", "renew", "gat", "--dir", resting, "--out", tmp_path / "c")
    assert refused.code == exit_codes.FAILED
    assert "did you mean 'gate'" in refused.err
