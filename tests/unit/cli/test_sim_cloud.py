"""Commands that talk to a simulated cloud that runs."""

import json
import subprocess
import sys

import pytest

from edgecore.cli import exit_codes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A cloud that runs in a process of its own."""
    folder = tmp_path_factory.mktemp("cloud")
    argv = [sys.executable, "-m", "edgecore", "sim", "cloud", "--dir", str(folder), "--things", "lamp"]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as cloud:
        try:
            assert "simulated cloud on" in cloud.stderr.readline()
            yield folder
        finally:
            cloud.terminate()
            cloud.stderr.read()


@pytest.fixture
def ask(edgecore, folder):
    def ask(*words, code=exit_codes.OK):
        done = edgecore("sim", "cloud", *words, "--dir", folder)
        assert done.code == code, done.err
        return json.loads(done.out) if code == exit_codes.OK else done.err

    return ask


def test_faults_go_on_and_off(ask):
    assert ask("fault", "slow", "0.01")["faults"] == {"slow": 0.01}
    assert ask("fault", "cut")["faults"] == {"slow": 0.01, "cut": True}
    assert ask("fault", "off", "cut")["faults"] == {"slow": 0.01}
    assert ask("fault", "off")["faults"] == {}
    assert "choose one of cut" in ask("fault", "flood", code=exit_codes.FAILED)


def test_backup_and_restore(ask):
    assert ask("backup") == {"shadows": 0}
    assert ask("restore") == {"shadows": 0}


def test_jobs(ask):
    created = ask("job", "create", "one", "lamp, gate", "--document", '{"do": "it"}', "--timeout", "60")
    assert created["document"] == {"do": "it"}
    assert set(created["executions"]) == {"lamp", "gate"}
    assert ask("job", "cancel", "one", "--force")["status"] == "CANCELED"
    assert ask("job", "show", "one")["status"] == "CANCELED"
    assert ask("status")["jobs"] == ["one"]
    assert "no JSON" in ask("job", "create", "two", "lamp", "--document", "{", code=exit_codes.CONFIG)


def test_policies_are_read_again_and_mistakes_are_told(ask, folder):
    assert ask("policies")["faults"] == {}
    (folder / "things.json").write_text('{"lamp": {"policies": ["none"]}}')
    assert "there is no policies" in ask("policies", code=exit_codes.FAILED)
    (folder / "things.json").unlink()


def test_the_folder_may_stand_before_the_command(edgecore, folder):
    assert json.loads(edgecore("sim", "cloud", "--dir", folder, "status").out)["faults"] == {}


@pytest.mark.parametrize("words", [("status",), ("fault", "cut"), ("backup",)])
def test_where_no_cloud_runs(edgecore, tmp_path, words):
    done = edgecore("sim", "cloud", *words, "--dir", tmp_path)
    assert done.code == exit_codes.UNAVAILABLE
    assert f"edgecore sim cloud --dir {tmp_path}" in done.err


def test_without_a_folder(edgecore):
    done = edgecore("sim", "cloud", "status")
    assert done.code == exit_codes.USAGE
    assert "say which cloud" in done.err


@pytest.mark.parametrize(
    "words", ["status", "fault", "backup", "restore", "policies", "job create", "job show", "job cancel"]
)
def test_every_help_has_an_example(edgecore, words):
    assert f"Example: edgecore sim cloud {words}" in edgecore("sim", "cloud", *words.split(), "--help").out
