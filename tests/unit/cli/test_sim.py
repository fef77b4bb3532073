import json
import signal
import socket
import subprocess
import sys

import pytest

from edgecore.cli import exit_codes

PATIENCE = 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_cloud_says_where_it_is_and_ends_in_order(tmp_path, number):
    argv = [
        sys.executable,
        "-m",
        "edgecore",
        "sim",
        "cloud",
        "--dir",
        str(tmp_path),
        "--things",
        "gate, lamp",
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as cloud:
        try:
            assert "simulated cloud on 127.0.0.1:" in cloud.stderr.readline()
            note = json.loads((tmp_path / "cloud.json").read_text())
            assert note["pid"] == cloud.pid
            socket.create_connection((note["host"], note["port"]), PATIENCE).close()
            assert (tmp_path / "things" / "gate.cert.pem").exists()
            assert (tmp_path / "things" / "lamp.key.pem").exists()
            cloud.send_signal(number)
            cloud.stderr.read()
            assert cloud.wait(PATIENCE) == exit_codes.OK
        finally:
            cloud.kill()
    assert not (tmp_path / "cloud.json").exists()


def test_a_port_that_is_taken(edgecore, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = edgecore("sim", "cloud", "--dir", tmp_path, "--port", taken.getsockname()[1])
    assert done.code == exit_codes.FAILED
    assert "choose another port, or 0 for any free one" in done.err


def test_sim_alone_shows_what_there_is(edgecore):
    assert "cloud" in edgecore("sim").out


def test_a_cloud_without_a_folder(edgecore):
    done = edgecore("sim", "cloud")
    assert done.code == exit_codes.USAGE
    assert "say where its certificates and shadows are kept" in done.err
