"""The process: started as people start it, ended by signals. Each start costs a second, so there are few."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from edgecore.base.errors import ConfigError
from edgecore.cli import main as edgecore
from edgecore.daemon import exit_codes, main
from edgecore.daemon.health import Notifier
from edgecore.daemon.main import LockedError, Options
from edgecore.store import StoreLock

PATIENCE = 30


@pytest.fixture
def folder(tmp_path):
    with pytest.raises(SystemExit) as ended:
        edgecore(["init", "--dir", str(tmp_path / "core"), "--thing", "core-7"])
    assert not ended.value.code
    return tmp_path / "core"


@contextlib.contextmanager
def running(folder, *options, program=("-m", "edgecore"), **environment):
    """A core in a process of its own, from the moment that its port is noted."""
    argv = [sys.executable, *program, "run", "--dir", str(folder), "--mqtt-port", "0", *options]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as core:
        try:
            yield core
        finally:
            core.kill()
            core.stderr.read()


def port_of(core, folder):
    """The port, once this very process has noted it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            noted = json.loads((folder / "run" / "ports.json").read_text())
            if noted["pid"] == core.pid:
                return noted["mqtt"]
        assert core.poll() is None, core.stderr.read()
        time.sleep(0.02)
    raise AssertionError("the core did not listen")


def test_a_core_starts_says_so_and_stops_in_order(folder, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as init_system:
        init_system.bind(str(tmp_path / "notify"))
        init_system.settimeout(PATIENCE)
        told = {"NOTIFY_SOCKET": init_system.getsockname(), "JOURNAL_STREAM": "1:1"}
        with running(folder, **told) as core:
            assert init_system.recv(1000).decode() == "READY=1\nSTATUS=core core-7 is up"
            assert port_of(core, folder) > 0
            core.send_signal(signal.SIGTERM)
            assert init_system.recv(1000).decode() == "STOPPING=1"
            words = core.stderr.read()
            assert core.wait(PATIENCE) == exit_codes.OK
    assert "<6>info edgecore.daemon.main: core ready thing=core-7" in words
    assert words.splitlines()[-1] == "<6>info edgecore.daemon.main: core stopped code=0"
    assert sorted(path.name for path in (folder / "run").iterdir()) == []


def test_a_killed_core_starts_again(folder):
    with running(folder) as core:
        port_of(core, folder)
    assert (folder / "run" / "control.sock").is_socket()
    with running(folder) as core:
        port_of(core, folder)
        core.send_signal(signal.SIGINT)
        core.stderr.read()
        assert core.wait(PATIENCE) == exit_codes.OK


def test_a_running_core_renews_its_server_certificate(folder):
    """A certificate that is gone must be remade, as one whose time has come (test_pki) must."""
    often = """
import sys
from edgecore.daemon.__main__ import main
from edgecore.listener import service

service.RENEWAL = 0.0
sys.exit(main(sys.argv[2:]))  # without "-c" and "run"
"""
    with running(folder, program=("-c", often)) as core:
        port = port_of(core, folder)
        first = ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE)
        (folder / "pki" / "server.pem").unlink()
        until = time.monotonic() + PATIENCE
        while ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE) == first:
            assert time.monotonic() < until, "the core went on with the old certificate"
            time.sleep(0.1)
        core.send_signal(signal.SIGTERM)
        core.stderr.read()
        assert core.wait(PATIENCE) == exit_codes.OK


def test_a_port_that_is_taken_ends_it_with_the_reason(folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with (folder / "edgecore.toml").open("a") as settings:
            settings.write('[listener]\nhost = "127.0.0.1"\n')
        argv = [sys.executable, "-m", "edgecore", "run", "--dir", str(folder)]
        with subprocess.Popen(
            [*argv, "--mqtt-port", str(taken.getsockname()[1])], stderr=subprocess.PIPE, text=True
        ) as core:
            words = core.stderr.read()
            assert core.wait(60) == exit_codes.ESSENTIAL_BROKEN
    assert "cannot listen on 127.0.0.1:" in words
    assert "core ends unit=listener" in words


@pytest.mark.parametrize(
    ("said", "taken"), [("", 0), ("[listener]\nwebsocket_port = 9001\npassword_port = 9001\n", 9001)]
)
def test_a_core_that_is_told_its_port_leaves_the_standard_ones_to_others(folder, said, taken):
    with (folder / "edgecore.toml").open("a") as settings:
        settings.write(said)
    listener = main._configured(Options(folder, mqtt_port=9000)).listener
    assert (listener.port, listener.websocket_port, listener.password_port) == (9000, taken, taken)
    standard = main._configured(Options(folder)).listener
    assert (standard.websocket_port, standard.password_port) == ((taken, taken) if taken else (8884, 8885))


def test_each_port_that_is_open_is_noted(folder):
    with (folder / "edgecore.toml").open("a") as settings:
        settings.write("[listener]\npasswords = true\n")
    with running(folder) as core:
        port_of(core, folder)
        noted = json.loads((folder / "run" / "ports.json").read_text())
        assert set(noted) == {"mqtt", "websocket", "password", "pid"}
        core.send_signal(signal.SIGTERM)
        core.stderr.read()
        assert core.wait(PATIENCE) == exit_codes.OK


def test_a_second_core_on_the_folder_is_refused(folder):
    held = pytest.raises(LockedError, match=f"held by process {os.getpid()}: another edgecore runs")
    with StoreLock(folder / "state" / "lock"), held:
        main.run(Options(folder))


def test_a_folder_that_was_never_initialised(tmp_path):
    with pytest.raises(ConfigError, match=f"edgecore init --dir {tmp_path}"):
        main.run(Options(tmp_path))


def test_a_wrong_group_is_refused_before_anything_starts(folder, tmp_path):
    (tmp_path / "group.toml").write_text('[group]\nname = "a"\n[[routes]]\nform = "cloud"\n')
    with pytest.raises(ConfigError, match="Did you mean"):
        main.run(Options(folder, tmp_path))
    assert not (folder / "run").exists()


class Asked:
    def __init__(self):
        self.stops = 0

    def request_stop(self):
        self.stops += 1


class LeavingError(Exception):
    pass


def test_the_second_signal_ends_at_once(monkeypatch):
    def leave(code):
        raise LeavingError(code)

    monkeypatch.setattr(os, "_exit", leave)
    supervisor = Asked()
    stop = main._Stop(supervisor, Notifier())
    stop(signal.SIGTERM)
    assert supervisor.stops == 1
    with pytest.raises(LeavingError, match=str(exit_codes.INTERRUPTED)):
        stop(signal.SIGTERM)


def test_without_uvloop_asyncio_does(monkeypatch, caplog):
    monkeypatch.setattr(main, "_fast_loop", None)
    assert main._loop_factory() is None
    assert "uvloop is not installed" in caplog.text
