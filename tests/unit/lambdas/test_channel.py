import socket
import threading

import pytest

from edgecore.lambdas.channel import Channel, ChannelClosedError
from edgecore.lambdas.frames import INVOKE, PUBLISH, PUBLISHED, Framer, encode


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(10)
        yield Channel(ours), theirs


def received(end, count):
    framer, frames = Framer(10_000), []
    while len(frames) < count:
        frames += framer.feed(end.recv(65536))
    return frames


def test_work_waits_while_an_answer_is_asked_for(ends):
    channel, daemon = ends
    daemon.sendall(encode(INVOKE, {"id": "1"}) + encode(PUBLISHED, {"seq": 1, "error": ""}))
    assert channel.ask(PUBLISH, {"topic": "t"}, b"p").meta["seq"] == 1
    assert channel.work().meta == {"id": "1"}
    (frame,) = received(daemon, 1)
    assert (frame.kind, frame.meta, frame.payload) == (PUBLISH, {"topic": "t", "seq": 1}, b"p")


def test_answers_find_the_thread_that_asked(ends):
    channel, daemon = ends
    answers = {}
    threads = [
        threading.Thread(target=lambda n=n: answers.__setitem__(n, channel.ask(PUBLISH, {"n": n})))
        for n in range(5)
    ]
    for thread in threads:
        thread.start()
    asked = received(daemon, 5)
    for frame in reversed(asked):
        daemon.sendall(encode(PUBLISHED, {"seq": frame.meta["seq"], "n": frame.meta["n"]}))
    for thread in threads:
        thread.join(10)
    assert {n: frame.meta["n"] for n, frame in answers.items()} == {n: n for n in range(5)}


def test_a_closed_socket_ends_all_that_wait(ends):
    channel, daemon = ends
    errors = []

    def wait():
        try:
            channel.work()
        except ChannelClosedError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    daemon.close()
    for thread in threads:
        thread.join(10)
    assert len(errors) == 3
    with pytest.raises(ChannelClosedError):
        channel.send(PUBLISH, {})


def test_a_connection_that_breaks_is_closed(ends):
    channel, daemon = ends
    channel.send(PUBLISH, {})  # unread data makes closing a reset
    daemon.close()
    with pytest.raises(ChannelClosedError):
        channel.work()
