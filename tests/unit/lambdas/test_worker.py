"""The worker's parts in this process; its whole life is tested in test_service.py."""

import contextlib
import json
import logging
import os
import resource
import socket
import sys
import threading

import pytest

from edgecore.lambdas import sdk, worker
from edgecore.lambdas.channel import Channel, ChannelClosedError
from edgecore.lambdas.frames import BROKEN, ERROR, INVOKE, LOADED, RESULT, SETUP, STOP, Frame, Framer, encode


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A function's folder; what loading changes in this process is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sdk.connection, "channel", None)
    modules = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def serve(folder):
    """serve(code, *payloads) runs a worker's loop on one end of a socketpair; gives the frames it sent."""

    def run(code, *payloads):
        (folder / "usercode.py").write_text(code)
        ours, theirs = socket.socketpair()
        setup = {"name": "f", "handler": "usercode.handler", "folder": str(folder), "memory": 2**27}
        with ours, theirs:
            for n, payload in enumerate(payloads):
                theirs.sendall(
                    encode(INVOKE, {"id": str(n), "subject": "a/b", "remaining_ms": 1000}, payload)
                )
            theirs.sendall(encode(STOP, {}))
            frame = Frame(SETUP, {**setup, "max_payload": 1000})
            worker.Runtime(Channel(ours), frame, worker.LogLine()).run()
            ours.close()
            data = b""
            with contextlib.suppress(ConnectionResetError):  # it ended with events unread
                while piece := theirs.recv(65536):
                    data += piece
        return Framer(10_000).feed(data)

    return run


def test_a_handler_is_loaded_called_and_answers(serve):
    loaded, *results = serve(
        "def handler(event, context): return [event, context.aws_request_id] if event else None",
        b'{"a": 1}',
        b"0",
    )
    assert loaded.kind == LOADED
    assert [frame.kind for frame in results] == [RESULT, RESULT]
    assert json.loads(results[0].payload) == [{"a": 1}, "0"]
    assert (results[1].payload, results[1].meta["none"]) == (b"", True)
    assert results[0].number("rss") > 1_000_000


def test_bytes_go_through_as_they_are(serve):
    _, result = serve("def handler(event, context): return event", b"\xff\xfe")
    assert (result.payload, result.meta["none"]) == (b"\xff\xfe", False)


def test_an_error_is_lambdas_error_body_with_the_users_lines(serve):
    _, error = serve("def handler(event, context):\n    raise KeyError('x')", b"{}")
    assert error.kind == ERROR
    assert error.meta["errorType"] == "KeyError"
    assert error.meta["errorMessage"] == "'x'"
    assert error.meta["id"] == "0"
    (line,) = error.meta["stackTrace"]
    assert "usercode.py" in line
    assert "raise KeyError('x')" in line


def test_an_error_without_a_text_is_still_told(serve):
    code = """
class Odd(Exception):
    def __str__(self): raise ValueError
def handler(event, context): raise Odd
"""
    _, error = serve(code, b"{}")
    assert error.meta["errorMessage"] == "(its text could not be made: ValueError)"


def test_deep_traces_are_clipped(serve):
    _, error = serve("def f(n): 1 / n; g(n)\ndef g(n): f(n - 1)\ndef handler(event, context): f(100)", b"{}")
    assert error.meta["errorType"] == "ZeroDivisionError"
    assert len(error.meta["stackTrace"]) == worker.MAX_TRACE


def test_an_import_that_fails_breaks_it(serve):
    (broken,) = serve("import sys\nraise RuntimeError('no device')", b"{}")
    assert broken.kind == BROKEN
    assert (broken.meta["errorType"], broken.meta["errorMessage"]) == ("RuntimeError", "no device")
    assert len(broken.meta["stackTrace"]) == 1


@pytest.mark.parametrize(
    ("handler", "error_type"),
    [
        ("handler", "Runtime.MalformedHandlerName"),
        (".handler", "Runtime.MalformedHandlerName"),
        ("usercode.", "Runtime.MalformedHandlerName"),
        ("sys.exit", "Runtime.BuiltInModuleConflict"),
        ("absent_module.handler", "Runtime.ImportModuleError"),
        ("usercode.absent", "Runtime.HandlerNotFound"),
        ("usercode.number", "Runtime.HandlerNotFound"),
        ("broken.handler", "Runtime.UserCodeSyntaxError"),
    ],
)
def test_handlers_that_cannot_be_loaded(folder, handler, error_type):
    (folder / "usercode.py").write_text("number = 1")
    (folder / "broken.py").write_text("def (")
    with pytest.raises(worker.LoadError) as raised:
        worker.load(handler, str(folder))
    assert raised.value.error_type == error_type


def test_a_handler_in_a_package_may_be_named_with_slashes(folder):
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "inner.py").write_text("def handler(e, c): return 7")
    assert worker.load("package/inner.handler", str(folder))(None, None) == 7


@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        (object(), "Runtime.MarshalError"),
        (float("inf"), "Runtime.MarshalError"),
        ("\ud800", "Runtime.MarshalError"),
        (b"x" * 11, "Function.ResponseSizeTooLarge"),
    ],
)
def test_results_that_cannot_be_sent(value, error_type):
    with pytest.raises(worker.LoadError) as raised:
        worker.marshalled(value, 10)
    assert raised.value.error_type == error_type


def test_events_are_json_or_bytes():
    assert worker.decoded(b'{"a": [1]}') == {"a": [1]}
    assert worker.decoded(b"") == b""
    assert worker.decoded(b"[" * 100_000) == b"[" * 100_000


def test_limits(monkeypatch):
    found = {}
    monkeypatch.setattr(resource, "setrlimit", found.__setitem__)
    worker.limit(64 * 2**20)
    assert found[resource.RLIMIT_CORE] == (0, 0)
    assert found[resource.RLIMIT_DATA] == (64 * 2**20, 64 * 2**20)
    assert found[resource.RLIMIT_NOFILE][1] <= worker.MAX_FILES


class Stream:
    encoding = "utf-8"

    def __init__(self):
        self.text = ""
        self.broken = False

    def reconfigure(self, **options):
        self.options = options

    def write(self, text):
        self.text += text

    def flush(self):
        if self.broken:
            raise ValueError("closed")


def test_the_root_logger_writes_lambdas_lines(monkeypatch):
    out, err = Stream(), Stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    line = worker.prepare_output()
    line.request_id = "id"
    logging.getLogger("x").warning("careful %d", 1)
    level, stamp, request_id, text = out.text.rstrip("\n").split("\t")
    assert (level, request_id, text) == ("[WARNING]", "id", "careful 1")
    assert stamp.endswith("Z")
    assert out.options["line_buffering"] is err.options["line_buffering"] is True
    out.broken = True
    worker.flush()


def test_a_worker_whose_daemon_is_gone_ends(monkeypatch):
    monkeypatch.setattr(worker.ctypes, "CDLL", lambda name: type("libc", (), {"prctl": lambda *_: 0})())
    with pytest.raises(SystemExit, match="daemon ended"):
        worker.die_with(os.getpid())
    worker.die_with(os.getppid())


def test_main_ends_when_the_socket_closes(folder, monkeypatch):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        monkeypatch.setattr(worker, "die_with", lambda parent: None)
        monkeypatch.setattr(worker, "limit", lambda memory: None)
        monkeypatch.setattr(worker, "prepare_output", worker.LogLine)
        monkeypatch.setattr(os, "closerange", lambda low, high: None)
        monkeypatch.setattr(worker, "SOCKET", ours.detach())
        (folder / "usercode.py").write_text("def handler(e, c): return 1")
        setup = {
            "name": "f",
            "handler": "usercode.handler",
            "folder": str(folder),
            "memory": 1,
            "max_payload": 9,
        }
        theirs.sendall(encode(SETUP, setup))
        thread = threading.Thread(target=worker.main, args=(1,))
        thread.start()
        assert Framer(10).feed(theirs.recv(65536))[0].kind == LOADED
        theirs.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        assert not thread.is_alive()


def test_a_channel_that_closes_while_a_handler_publishes_is_the_handlers_error(serve):
    code = """
from edgecore.lambdas.channel import ChannelClosedError
def handler(event, context): raise ChannelClosedError("gone")
"""
    _, error = serve(code, b"{}")
    assert error.meta["errorType"] == ChannelClosedError.__name__
