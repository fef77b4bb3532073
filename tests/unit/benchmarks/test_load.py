import socket
import threading

import pytest

from edgecore.mqtt.packets import V5, V311
from tests.benchmarks.client import frame_of
from tests.benchmarks.load import Window, batches_of
from tests.benchmarks.throughput import receiver_of

WITHIN = 10


class Plain:
    """A client without TLS: the generators need a socket and `receive`."""

    def __init__(self, end):
        self.socket = end

    def receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise RuntimeError("closed")
            data += part
        return data


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    ours.settimeout(WITHIN)
    theirs.settimeout(WITHIN)
    with ours, theirs:
        yield ours, theirs


def test_all_frames_of_all_publishers_have_one_length():
    for version in (V311, V5):
        assert len({len(frame_of(n, 64, 1, i, version)) for n in (0, 19, 4999) for i in (1, 60_000)}) == 1


@pytest.mark.parametrize("version", [V311, V5])
def test_a_receiver_counts_and_acknowledges_whatever_the_split(ends, version):
    ours, theirs = ends
    stream = b"".join(frame_of(3, 200, 1, number, version) for number in (1, 258, 65_535))
    receiver = receiver_of(Plain(theirs), [200], 1, version)
    ours.sendall(stream[:300])
    assert ours.recv(4, socket.MSG_WAITALL) == b"\x40\x02\0\x01"
    ours.sendall(stream[300:])
    assert ours.recv(8, socket.MSG_WAITALL) == b"\x40\x02\x01\x02\x40\x02\xff\xff"
    ours.close()
    receiver.join(WITHIN)
    assert receiver.messages == 3
    assert receiver.fault == ""


def test_a_receiver_finds_the_identifiers_of_frames_of_several_lengths(ends):
    ours, theirs = ends
    sizes = (100, 101, 120)  # the last two need two bytes for their length
    receiver = receiver_of(Plain(theirs), sizes, 1)
    both, _ = batches_of(3, sizes, 6, V311)
    ours.sendall(both)
    assert ours.recv(24, socket.MSG_WAITALL) == b"".join(
        b"\x40\x02\0" + bytes((number,)) for number in range(1, 7)
    )
    ours.close()
    receiver.join(WITHIN)
    assert receiver.messages == 6
    assert receiver.fault == ""


def test_a_receiver_names_what_it_did_not_expect(ends):
    ours, theirs = ends
    receiver = receiver_of(Plain(theirs), [64], 0)
    ours.sendall(b"\xe0" + frame_of(0, 64, 0)[1:])
    receiver.join(WITHIN)
    assert receiver.fault == "a frame starts with b'\\xe0'"


def window(end, total):
    return Window(Plain(end), batches_of(0, [8], 2, V311), 2, None, threading.Event(), total)


def test_a_window_ends_when_its_last_batch_is_acknowledged(ends):
    ours, theirs = ends
    size = len(frame_of(0, 8, 1))
    publisher = window(theirs, 3)
    publisher.start()
    for _ in range(3):
        assert len(ours.recv(2 * size, socket.MSG_WAITALL)) == 2 * size
        ours.sendall(b"\x40\x02\0\x01\x40\x02\0\x02")
    publisher.join(WITHIN)
    assert publisher.done > 0
    assert publisher.fault == ""


def test_a_window_names_an_answer_that_is_no_success(ends):
    ours, theirs = ends
    publisher = window(theirs, 1)
    publisher.start()
    ours.sendall(b"\x40\x03\0\x01\x10\x40\x03\0")
    publisher.join(WITHIN)
    assert publisher.fault == "PUBACKs were b'@\\x03\\x00\\x01\\x10@\\x03\\x00'"
    assert publisher.done == 0.0
