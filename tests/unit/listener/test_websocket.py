import sys
from pathlib import Path

import pytest

from edgecore.listener.device_session import MAX_CONNECT_BYTES
from edgecore.listener.websocket import MAX_FRAME, WebSocket
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import decode, encode
from edgecore.mqtt.framer import Framer

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from websocket_frames import (  # beside all tests, found by the line above
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    frame,
    frames_in,
    request,
)

CONNECT = encode(p.Connect("c", 5), 5)


class Wire:
    """What stands below: sends nothing after it was finished, as a connection does."""

    def __init__(self):
        self.blocked, self.sent, self.finished, self.holding = False, b"", False, False

    def send(self, data):
        assert data
        if not self.finished:
            self.sent += data

    def finish(self):
        self.finished = True

    def hold_reading(self, hold):
        self.holding = hold


class Line:
    """A WebSocket in a house, and what comes out of it."""

    def __init__(self, house, name="one", origins=()):
        self.house, self.wire = house, Wire()

        def make_session(wire):
            session = house.session(name)
            session._wire = wire
            return session

        self.socket = WebSocket(
            self.wire, "192.0.2.1", origins, house.settings.max_packet_size, house.refusals, make_session
        )

    def send(self, *parts):
        for part in parts:
            if not self.wire.finished:
                self.socket.data(part, self.house.clock.monotonic())
            self.house.turn_over()

    def heard(self):
        data, self.wire.sent = self.wire.sent, b""
        return data

    def frames(self):
        return frames_in(self.heard())

    def packets(self):
        data = b"".join(payload for opcode, payload in self.frames() if opcode == BINARY)
        return [decode(first, body, 5) for first, body in Framer(1 << 24).feed(data)]


@pytest.fixture
def asked(house):
    """A client whose WebSocket is open and who has not said CONNECT."""
    line = Line(house)
    line.send(request())
    assert line.heard().startswith(b"HTTP/1.1 101")
    return line


@pytest.fixture
def line(asked):
    """A client who is connected."""
    asked.send(frame(BINARY, CONNECT))
    assert asked.packets()[0].reason_code == 0
    return asked


def test_a_device_connects_publishes_and_hears(line):
    line.send(frame(BINARY, encode(p.Subscribe(1, [p.SubscriptionOptions("t/#", 1)]), 5)))
    line.send(frame(BINARY, encode(p.Publish("t/a", b"hello", 1, packet_id=2), 5)))
    assert {type(each) for each in line.packets()} == {p.SubAck, p.PubAck, p.Publish}


def test_packets_need_not_align_with_frames(asked):
    packets = CONNECT + encode(p.PingReq(), 5)
    for index in range(len(packets)):
        asked.send(frame(BINARY, packets[index : index + 1]))
    assert [type(each) for each in asked.packets()] == [p.ConnAck, p.PingResp]
    asked.send(frame(BINARY, encode(p.PingReq(), 5) * 3))
    assert [type(each) for each in asked.packets()] == [p.PingResp] * 3


def test_messages_in_fragments_with_pings_between(line):
    packet = encode(p.PingReq(), 5) * 2
    line.send(frame(BINARY, packet[:1], fin=False), frame(PING, b"?"), frame(CONT, packet[1:3], fin=False))
    line.send(frame(CONT, packet[3:]))
    assert [opcode for opcode, _ in line.frames()] == [PONG, BINARY, BINARY]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_frames_may_come_in_any_pieces(asked, size):
    data = frame(BINARY, CONNECT) + frame(BINARY, encode(p.PingReq(), 5)) + frame(CLOSE, b"\x03\xe8")
    asked.send(*(data[start : start + size] for start in range(0, len(data), size)))
    frames = asked.frames()
    assert [opcode for opcode, _ in frames] == [BINARY] * (len(frames) - 1) + [CLOSE]
    assert asked.wire.finished


def test_a_ping_is_answered(line):
    line.send(frame(PING, b"are you there"))
    assert line.frames() == [(PONG, b"are you there")]
    line.send(frame(PONG, b"unasked"))
    assert line.frames() == []


def test_of_a_flood_of_pings_the_last_is_answered(line):
    line.send(b"".join(frame(PING, bytes([number])) for number in range(100)))
    assert line.frames() == [(PONG, b"\x63")]


def test_a_client_that_pings_and_does_not_read_fills_nothing(line):
    line.wire.blocked = True
    for number in range(100):
        line.send(frame(PING, bytes([number])))
    assert line.heard() == b""
    line.wire.blocked = False
    line.socket.writable()
    assert line.frames() == [(PONG, b"\x63")]
    line.socket.writable()
    assert line.frames() == []


def test_pings_do_not_keep_a_session_alive(house):
    line = Line(house)
    line.send(request(), frame(BINARY, encode(p.Connect("c", 5, keep_alive=10), 5)))
    for _ in range(4):
        house.clock.advance(4.0)
        line.send(frame(PING))
    line.socket.session.check(house.clock.monotonic())
    assert line.wire.finished


def test_text_ends_it_and_what_came_before_counts(line):
    line.house.session("two")
    other = line.house.device("two")
    other.subscribe("t/#")
    sent = encode(p.Publish("t/a", b"before"), 5)
    line.send(frame(BINARY, sent) + frame(TEXT, sent) + frame(BINARY, sent))
    assert line.frames()[-1][1][:2] == (1003).to_bytes(2, "big")
    assert line.wire.finished
    assert [each.payload for each in other.receive()] == [b"before"]
    assert line.house.refusals.counts == {"websocket": 1}
    assert len(line.house.sessions) == 1


def test_the_peer_s_close_is_answered_and_leaves_a_will(house):
    other = house.device("two")
    other.subscribe("t/#")
    line = Line(house)
    line.send(request(), frame(BINARY, encode(p.Connect("c", 5, will=p.Will("t/w", b"gone")), 5)))
    line.heard()
    line.send(frame(CLOSE, b"\x03\xe8bye"))
    assert line.frames() == [(CLOSE, b"\x03\xe8bye")]
    assert line.wire.finished
    assert [each.payload for each in other.receive()] == [b"gone"]
    assert house.refusals.counts == {}


def test_a_disconnect_ends_the_websocket_too(line):
    line.send(frame(BINARY, encode(p.Disconnect(), 5)))
    assert line.frames() == [(CLOSE, b"\x03\xe8")]
    assert line.wire.finished


def test_a_disconnect_and_a_close_in_one_piece(line):
    line.send(frame(BINARY, encode(p.Disconnect(), 5)) + frame(CLOSE, b"\x03\xe8"))
    assert line.wire.finished
    assert line.house.refusals.counts == {}


def test_the_server_s_last_words_come_before_the_close(line):
    line.socket.session.shut_down()
    frames = line.frames()
    assert [opcode for opcode, _ in frames] == [BINARY, CLOSE]
    assert frames[0][1][0] == 0xE0
    line.socket.send(b"never")
    assert line.heard() == b""


def test_what_is_refused_is_said_and_logged(house, caplog):
    line = Line(house)
    line.send(request(Origin="https://evil.example"))
    assert line.heard().startswith(b"HTTP/1.1 403")
    assert line.wire.finished
    assert house.refusals.counts == {"websocket": 1}
    assert "192.0.2.1" in caplog.text
    assert "evil.example" in caplog.text


def test_a_page_that_was_named_may_come(house):
    line = Line(house, origins=("https://panel.example",))
    line.send(request(Origin="https://panel.example"))
    assert line.heard().startswith(b"HTTP/1.1 101")


def test_before_connect_no_more_is_kept_than_a_connect_needs(asked):
    data = frame(BINARY, length=MAX_FRAME)
    asked.send(data + b"\x10" * (MAX_CONNECT_BYTES - len(data)))
    assert not asked.wire.finished
    asked.send(b"\x10" * 100)
    assert asked.frames()[0][1][:2] == (1009).to_bytes(2, "big")
    assert asked.wire.finished
    assert len(asked.house.sessions) == 0


def test_after_connect_a_frame_may_hold_many_packets_up_to_its_bound(line):
    ping = encode(p.PingReq(), 5)
    line.send(frame(BINARY, ping * (MAX_FRAME // len(ping))))
    assert len(line.packets()) == MAX_FRAME // len(ping)
    line.send(frame(BINARY, length=MAX_FRAME + 1))
    assert line.frames()[0][1][:2] == (1009).to_bytes(2, "big")


def test_larger_packets_make_for_larger_frames(make_house):
    house = make_house(max_packet_size=2 * MAX_FRAME)
    line = Line(house)
    line.send(request(), frame(BINARY, CONNECT))
    line.heard()
    line.send(frame(BINARY, encode(p.Publish("t/a", b"x" * (MAX_FRAME + 1), 1, packet_id=1), 5)))
    assert [type(each) for each in line.packets()] == [p.PubAck]


def test_an_empty_frame_is_nothing(line):
    line.send(frame(BINARY))
    assert line.heard() == b""
    assert line.socket.session.live


def test_the_session_holds_reading_and_sees_what_is_blocked(line):
    line.socket.hold_reading(hold=True)
    assert line.wire.holding
    line.wire.blocked = True
    assert line.socket.blocked


def test_a_lost_connection_ends_the_session(line):
    line.socket.lost()
    line.socket.lost()
    assert len(line.house.sessions) == 0


def test_a_service_that_stops_may_finish_before_the_request_came(house):
    line = Line(house)
    line.socket.finish()
    assert line.wire.finished
    assert line.heard() == b""
