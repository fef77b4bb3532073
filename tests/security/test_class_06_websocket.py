"""Class 6 where it meets WebSocket: frames that are not what they say, in every form a header can have.

Whatever comes, it is taken as the standard says (RFC 6455, 5.2 to 5.5), waited for within a bound, or the
connection is closed with the code that the standard names; nothing of a wrong frame reaches MQTT.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec
from edgecore.listener.admission import Admission
from edgecore.listener.credential import CertificateCredential
from edgecore.listener.device_session import DeviceSession
from edgecore.listener.door import Door
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.listener.websocket import MAX_FRAME, WebSocket
from edgecore.mqtt import packets as p
from edgecore.mqtt.codec import encode
from edgecore.router import Router

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from websocket_frames import (  # beside all tests, found by the line above
    BINARY,
    CLOSE,
    CONT,
    MASK,
    PING,
    PONG,
    TEXT,
    frame,
    frames_in,
    request,
)

CONNECT = encode(p.Connect("c", 5), 5)
PINGREQ = encode(p.PingReq(), 5)
PROTOCOL_ERROR, UNSUPPORTED, INVALID, TOO_BIG = 1002, 1003, 1007, 1009


class Wire:
    def __init__(self):
        self.blocked, self.sent, self.closed = False, b"", False

    def send(self, data):
        if not self.closed:
            self.sent += data

    def finish(self):
        self.closed = True

    def hold_reading(self, hold):
        pass


class Book:
    def lookup(self, fingerprint):
        return fingerprint


class Line:
    """A device whose WebSocket is open and whose CONNECT was accepted."""

    def __init__(self):
        self.wire, self.due = Wire(), []
        clock, specs = ManualClock(), {"a": DeviceSpec("a", "a")}
        self.sessions = Sessions()
        door = Door(
            ListenerSettings(), Router(clock), self.sessions, Refusals(), Turn(self.due.append), clock
        )
        credential = CertificateCredential(Admission(Book(), specs.get), "a")

        def make(wire):
            return DeviceSession(wire, credential, "peer", door)

        self.socket = WebSocket(self.wire, "peer", (), door.settings.max_packet_size, door.refusals, make)
        self.send(request())
        self.send(frame(BINARY, CONNECT))
        assert self.socket.session.live
        self.wire.sent = b""

    def send(self, data):
        if not self.wire.closed:
            self.socket.data(data, 0.0)
        while self.due:
            self.due.pop()()

    @property
    def close_code(self):
        """The code that the connection was closed with, or None while it is open."""
        if not self.wire.closed:
            return None
        opcode, payload = frames_in(self.wire.sent)[-1]
        assert opcode == CLOSE
        return int.from_bytes(payload[:2], "big") if payload else 1005

    @property
    def answered(self):
        """How many PINGREQ reached MQTT."""
        return sum(
            payload.count(b"\xd0\0") for opcode, payload in frames_in(self.wire.sent) if opcode == BINARY
        )


def expected(first, masked):
    """What becomes of a whole, short frame with this first byte that holds PINGREQ."""
    fin, reserved, opcode = first >> 7, first & 0x70, first & 0x0F
    if reserved or not masked or opcode not in (CONT, TEXT, BINARY, CLOSE, PING, PONG):
        return PROTOCOL_ERROR
    if opcode >= CLOSE and not fin:
        return PROTOCOL_ERROR
    if opcode == CONT:
        return PROTOCOL_ERROR  # nothing to continue
    if opcode == CLOSE:
        return PROTOCOL_ERROR  # 0xc000 is no code
    return UNSUPPORTED if opcode == TEXT else None


@pytest.mark.parametrize("masked", [True, False], ids=["masked", "unmasked"])
def test_class_06_every_first_byte(masked):
    for first in range(256):
        line = Line()
        data = frame(first & 0x0F, PINGREQ, fin=bool(first >> 7), rsv=first >> 4 & 7, mask=masked and MASK)
        line.send(data)
        assert line.close_code == expected(first, masked), hex(first)
        assert line.answered == (line.close_code is None and first & 0x0F == BINARY), hex(first)
        assert line.wire.closed == (len(line.sessions) == 0)


@pytest.mark.parametrize("second", range(256))
def test_class_06_every_second_byte_with_nothing_behind_it(second):
    """What is announced and does not come is waited for, and never more than its bound is kept."""
    line = Line()
    line.send(bytes([0x82, second]))
    assert line.close_code == (None if second >> 7 else PROTOCOL_ERROR)
    assert line.wire.sent == b"" or line.wire.closed


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x82\xfe\0\x02" + MASK + PINGREQ, None),  # not the shortest form: read all the same, as one length
        (b"\x82\xff\0\0\0\0\0\0\0\x02" + MASK, None),
        (b"\x82\xff\x80\0\0\0\0\0\0\0" + MASK, TOO_BIG),  # 2^63
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" + MASK, TOO_BIG),
        (frame(BINARY, length=MAX_FRAME), None),
        (frame(BINARY, length=MAX_FRAME + 1), TOO_BIG),
        (frame(BINARY, b"\xc0", fin=False) + frame(CONT, length=MAX_FRAME + 1), TOO_BIG),
        (frame(PING, b"x" * 126), PROTOCOL_ERROR),  # a control frame has at most 125
        (frame(PONG, b"x" * (1 << 16)), PROTOCOL_ERROR),
        (frame(CLOSE, b"x" * 126), PROTOCOL_ERROR),
        (frame(PING, length=MAX_FRAME + 1), TOO_BIG),
        (frame(BINARY, b"\xc0", fin=False) + frame(BINARY, b"\0"), PROTOCOL_ERROR),  # a message in a message
        (frame(BINARY, b"\xc0", fin=False) + frame(TEXT, b"\0"), PROTOCOL_ERROR),
        (frame(CLOSE, b"\x03"), PROTOCOL_ERROR),  # half a code
        (frame(CLOSE, (999).to_bytes(2, "big")), PROTOCOL_ERROR),
        (frame(CLOSE, (1005).to_bytes(2, "big")), PROTOCOL_ERROR),  # never sent (7.4.1)
        (frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), INVALID),  # a reason that is no UTF-8
        (frame(CLOSE), 1005),
        (frame(CLOSE, (1001).to_bytes(2, "big")), 1001),
        (frame(BINARY, b"\xc0", fin=False) + frame(CLOSE, (1000).to_bytes(2, "big")), PROTOCOL_ERROR),
    ],
)
def test_class_06_lengths_order_and_ends_of_frames(data, code):
    line = Line()
    line.send(data)
    assert line.close_code == code
    assert line.wire.closed == (len(line.sessions) == 0)


@pytest.mark.parametrize("length", ["ffffffff", "8080808001", "ffffffff7f", "8000"])
@pytest.mark.parametrize("pieces", [1, 2, 100])
def test_class_06_lengths_of_packets_in_frames(length, pieces):
    """MQTT's own length is judged the same whatever the frames around it."""
    data = b"\x30" + bytes.fromhex(length) + b"x" * 100
    size = max(1, len(data) // pieces)
    line = Line()
    for start in range(0, len(data), size):
        line.send(frame(BINARY, data[start : start + size]))
    assert line.close_code == 1000
    disconnect = [payload for opcode, payload in frames_in(line.wire.sent) if opcode == BINARY]
    assert disconnect[-1][2] in {0x81, 0x95}


def test_class_06_a_frame_that_ends_within_a_packet_is_no_end_of_it():
    line = Line()
    publish = encode(p.Publish("t/a", b"x" * 1000, 1, packet_id=1), 5)
    for cut in range(1, len(publish), 97):
        line.send(frame(BINARY, publish[:cut]) + frame(PING) + frame(BINARY, publish[cut:]))
        assert line.close_code is None


def test_class_06_frames_behind_the_end_are_not_read():
    line = Line()
    line.send(frame(CLOSE, (1000).to_bytes(2, "big")) + frame(BINARY, PINGREQ) * 10)
    assert line.answered == 0
    assert line.close_code == 1000
