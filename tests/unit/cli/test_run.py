import os
import subprocess
import sys

import pytest

from edgecore.cli import exit_codes


@pytest.fixture
def became(monkeypatch):
    """What `edgecore run` turns into, instead of turning into it."""
    seen = []

    def execv(path, argv):
        seen.append((path, argv))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", execv)
    return seen


def test_becomes_the_daemon_with_the_same_options(edgecore, became):
    edgecore("run", "--dir", "core", "--group", "g", "--mqtt-port", "0", "--force")
    daemon = [sys.executable, "-P", "-m", "edgecore.daemon"]
    options = ["--dir", "core", "--group", "g", "--mqtt-port", "0", "--force"]
    assert became == [(sys.executable, [*daemon, *options])]


def test_without_options_it_is_the_core_of_this_machine(edgecore, became):
    edgecore("run")
    assert became[0][1][4:] == []


@pytest.mark.parametrize("port", ["-1", "65536", "mqtt"])
def test_a_port_that_is_none(edgecore, became, port):
    assert edgecore("run", "--mqtt-port", port).code == exit_codes.USAGE
    assert became == []


def test_a_folder_without_a_core_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgecore", "run", "--dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_codes.CONFIG
    assert f"edgecore init --dir {tmp_path}" in done.stderr
