import json
import tomllib

import pytest

from edgecore.cli import exit_codes


@pytest.fixture
def cloud_files(tmp_path):
    files = [tmp_path / name for name in ("c.pem", "k.pem", "ca.pem")]
    for file in files:
        file.write_text("PEM")
    return files


def test_makes_the_settings_and_the_certificates(edgecore, tmp_path):
    folder = tmp_path / "core"
    done = edgecore("init", "--dir", folder, "--thing", "core-7")
    assert done.code == 0
    assert tomllib.loads((folder / "edgecore.toml").read_text())["thing"] == "core-7"
    assert {"ca.pem", "ca.key", "server.pem", "server.key"} <= {
        path.name for path in (folder / "pki").iterdir()
    }
    assert f"next: edgecore device add NAME --dir {folder}" in done.err
    assert done.out == ""


def test_json_says_where(edgecore, tmp_path):
    answer = json.loads(edgecore("init", "--dir", tmp_path, "--thing", "core-7", "--json").out)
    assert answer == {
        "thing": "core-7",
        "config": str(tmp_path / "edgecore.toml"),
        "pki": str(tmp_path / "pki"),
    }


def test_a_second_time_is_refused_with_advice(edgecore, tmp_path):
    edgecore("init", "--dir", tmp_path, "--thing", "core-7")
    before = (tmp_path / "edgecore.toml").read_text(), (tmp_path / "pki" / "ca.pem").read_text()
    done = edgecore("init", "--dir", tmp_path, "--thing", "other")
    assert done.code == exit_codes.CONFIG
    assert "choose another --dir" in done.err
    assert before == ((tmp_path / "edgecore.toml").read_text(), (tmp_path / "pki" / "ca.pem").read_text())


def test_a_name_that_no_thing_can_have(edgecore, tmp_path):
    done = edgecore("init", "--dir", tmp_path / "core", "--thing", "a b")
    assert done.code == exit_codes.CONFIG
    assert "thing" in done.err
    assert not (tmp_path / "core").exists()


def test_with_a_cloud(edgecore, tmp_path, cloud_files):
    cert, key, ca = cloud_files
    options = ("--cloud", "cloud.local:8884", "--cloud-cert", cert, "--cloud-key", key, "--cloud-ca", ca)
    assert edgecore("init", "--dir", tmp_path / "core", "--thing", "core-7", *options).code == 0
    written = tomllib.loads((tmp_path / "core" / "edgecore.toml").read_text())["cloud"]
    assert (written["endpoint"], written["port"], written["ca"]) == ("cloud.local", 8884, str(ca))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--cloud-key", "k.pem"), "need --cloud HOST[:PORT]"),
        (("--cloud", "h"), "--cloud needs --cloud-cert and --cloud-key"),
    ],
)
def test_a_cloud_by_halves_is_refused(edgecore, tmp_path, options, text):
    done = edgecore("init", "--dir", tmp_path / "core", "--thing", "core-7", *options)
    assert done.code == exit_codes.USAGE
    assert text in done.err


def test_an_endpoint_that_is_none(edgecore, tmp_path, cloud_files):
    options = ("--cloud", "http://x/", "--cloud-cert", cloud_files[0], "--cloud-key", cloud_files[1])
    done = edgecore("init", "--dir", tmp_path / "core", "--thing", "core-7", *options)
    assert done.code == exit_codes.CONFIG
    assert "HOST or HOST:PORT" in done.err
