import sys
from pathlib import Path

import pytest
from websockets.datastructures import Headers

from edgecore.listener.upgrade import MAX_REQUEST_BYTES, Upgrade, foreign_page

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from websocket_frames import BINARY, frame, request  # beside all tests, found by the line above

ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


def ask(data, origins=()):
    upgrade = Upgrade(origins, 1000)
    return upgrade, upgrade.feed(data)


def test_a_client_is_answered_as_the_standard_says():
    upgrade, answer = ask(request())
    lines = answer.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 101 Switching Protocols"
    assert {ACCEPT, b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Protocol: mqtt"} <= set(
        lines
    )
    assert answer.endswith(b"\r\n\r\n")
    assert (upgrade.accepted, upgrade.reason) == (True, "")


def test_a_request_may_come_byte_by_byte():
    upgrade = Upgrade((), 1000)
    answers = [upgrade.feed(bytes([byte])) for byte in request()]
    assert answers[:-1] == [b""] * (len(answers) - 1)
    assert answers[-1].startswith(b"HTTP/1.1 101")


def test_compression_is_not_agreed_to():
    _, answer = ask(request(Sec_WebSocket_Extensions="permessage-deflate"))
    assert b"101" in answer
    assert b"Extensions" not in answer


@pytest.mark.parametrize("path", ["/", "/mqtt", "/any?X-Amz-Date=1", "*"])
def test_any_path_will_do(path):
    assert ask(request(path=path))[0].accepted


@pytest.mark.parametrize("offer", ["mqtt", "mqttv3.1, mqtt", "x,mqtt,y"])
def test_mqtt_is_chosen_among_what_is_offered(offer):
    assert b"Sec-WebSocket-Protocol: mqtt\r\n" in ask(request(protocol=offer))[1]


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (request(protocol=None), 400, "missing subprotocol"),
        (request(protocol="mqttv3.1"), 400, "invalid subprotocol"),
        (request(protocol="MQTT"), 400, "invalid subprotocol"),
        (request(Upgrade=None), 426, "Upgrade"),
        (request(Connection="close"), 426, "Connection"),
        (request(Sec_WebSocket_Key="short"), 400, "Sec-WebSocket-Key"),
        (request(Sec_WebSocket_Version="8"), 400, "Sec-WebSocket-Version"),
        (request().replace(b"HTTP/1.1", b"HTTP/1.0", 1), 505, "HTTP version"),
        (request().replace(b"GET", b"POST", 1), 400, "listener.port"),
        (bytes.fromhex("100e00044d5154540502003c0000"), 400, "listener.port"),
        (request("X: " + "x" * MAX_REQUEST_BYTES), 431, "more than 8192 bytes"),
        (request()[:-2] + b"X: " + b"x" * MAX_REQUEST_BYTES, 431, "more than 8192 bytes"),
        (request(*(f"X-{number}: y" for number in range(130))), 431, "no request"),
        (request() + frame(BINARY, b"early"), 400, "before its answer"),
        (request(Origin="https://evil.example"), 403, "https://evil.example"),
    ],
)
def test_what_is_refused_and_why(data, status, reason):
    upgrade, answer = ask(data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert not upgrade.accepted
    assert reason in upgrade.reason


@pytest.mark.parametrize("line", ["no colon", "Bad Name: x", "X: a\x00b", " folded: x"])
def test_what_is_no_http_is_refused_without_a_word(line):
    upgrade, answer = ask(request(line))
    assert (answer, upgrade.accepted) == (b"", False)
    assert "no request for a WebSocket" in upgrade.reason


def test_the_bound_is_exact():
    room = MAX_REQUEST_BYTES - len(request("X: "))
    assert ask(request("X: " + "x" * room))[0].accepted
    assert not ask(request("X: " + "x" * (room + 1)))[0].accepted


@pytest.mark.parametrize(
    ("origins", "allowed", "host"),
    [
        ([], (), "core:8884"),
        (["https://core:8884"], (), "core:8884"),  # paho sends this
        (["https://Core:8884"], (), "cORE:8884"),
        (["https://panel.example"], ("https://panel.example",), "core:8884"),
    ],
)
def test_who_may_come(origins, allowed, host):
    headers = Headers([("Host", host), *(("Origin", each) for each in origins)])
    assert foreign_page(headers, allowed) == ""


@pytest.mark.parametrize(
    ("origins", "hosts"),
    [
        (["https://evil.example"], ["core:8884"]),
        (["http://core:8884"], ["core:8884"]),
        (["https://core"], ["core:8884"]),
        (["null"], ["core:8884"]),
        ([""], ["core:8884"]),
        (["https://core:8884", "https://evil.example"], ["core:8884"]),
        (["https://panel.example.evil.example"], ["core:8884"]),
        (["https://core:8884"], []),
    ],
)
def test_pages_that_were_not_named_may_not(origins, hosts):
    headers = Headers([*(("Host", each) for each in hosts), *(("Origin", each) for each in origins)])
    assert "listener.websocket_origins" in foreign_page(headers, ("https://panel.example",))
