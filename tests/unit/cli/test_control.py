import socket
import threading

import pytest

from edgecore.base.errors import NotAuthorizedError, UnavailableError
from edgecore.cli.control import Control, ControlError, NotRunningError


@pytest.fixture
def control(core):
    return Control(core.folder / "run" / "control.sock")


def test_asks_and_is_answered(control):
    assert control.get("/devices") == {"devices": [], "rotation": None}
    assert control.post("/devices", {"name": "a"})["certificate"] == "CERT\n"


def test_an_error_carries_its_hint(control):
    with pytest.raises(ControlError) as caught:
        control.get("/nowhere")
    assert caught.value.status == 404
    assert str(caught.value).splitlines() == [
        "Not Found",
        "`edgecore status` shows whether this core is older than your command",
    ]


def test_a_stream_begins_when_it_is_granted(core, control):
    stream = control.stream("/subscribe?filter=a")
    assert next(stream) == {}
    core.when_watched(("a", b"x"))
    assert next(stream)["topic"] == "a"
    core.stop()
    assert list(stream) == []


def test_a_stream_that_is_refused(control):
    with pytest.raises(ControlError, match="must be the whole last level"):
        next(control.stream("/subscribe?filter=a%23"))


def test_nobody_there(tmp_path):
    with pytest.raises(NotRunningError, match=f"start it with `edgecore run --dir {tmp_path}`"):
        Control(tmp_path / "run" / "control.sock").get("/status")


def test_a_socket_left_behind_is_nobody(tmp_path):
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(NotRunningError):
        Control(path).get("/status")


def test_a_socket_of_somebody_else(tmp_path, monkeypatch):
    def refuse(self, address):
        raise PermissionError

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(NotAuthorizedError, match="permission denied"):
        Control(tmp_path / "control.sock").get("/status")


class Answering:
    """A peer that answers every connection with fixed bytes."""

    def __init__(self, path, answer):
        self.path = path
        self.answer = answer

    def __enter__(self):
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.path))
        self.server.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        connection, _ = self.server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(self.answer)

    def __exit__(self, *_):
        self.thread.join(5)
        self.server.close()


def test_a_core_that_breaks_off(tmp_path):
    path = tmp_path / "s"
    with Answering(path, b""), pytest.raises(UnavailableError, match="broke off"):
        Control(path).get("/status")


def test_an_error_without_json(tmp_path):
    path = tmp_path / "s"
    answer = b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nhm"
    with Answering(path, answer), pytest.raises(ControlError, match="the core answered 500 Oops"):
        Control(path).get("/status")


def test_a_refusal_of_the_core_is_one_of_permission(tmp_path):
    path = tmp_path / "s"
    body = b'{"error": "user x is not an operator", "hint": ""}'
    head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(body)
    with Answering(path, head + body), pytest.raises(NotAuthorizedError, match="user x is not an operator"):
        Control(path).get("/status")
