import pytest

from edgecore.base.errors import EdgecoreError, NotAuthorizedError, RefusedError, StoreError, TopicError
from edgecore.lambdas import sdk
from edgecore.lambdas.frames import PUBLISHED, Frame


class FakeChannel:
    def __init__(self):
        self.sent = []
        self.answer = Frame(PUBLISHED, {"seq": 1, "error": "", "reason": ""})

    def send(self, kind, meta, payload=b""):
        self.sent.append((meta, payload))

    def ask(self, kind, meta, payload=b""):
        self.sent.append((meta, payload))
        return self.answer


@pytest.fixture
def channel(monkeypatch):
    channel = FakeChannel()
    monkeypatch.setattr(sdk.connection, "channel", channel)
    return channel


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        (b"\xff", b"\xff"),
        (bytearray(b"a"), b"a"),
        ("ä", "ä".encode()),
        ({"a": "ä"}, '{"a":"ä"}'.encode()),
        ([1, 2], b"[1,2]"),
    ],
)
def test_payloads_become_bytes(channel, payload, data):
    sdk.publish("t", payload)
    assert channel.sent == [({"topic": "t", "qos": 0, "seq": 0}, data)]


def test_qos_1_waits_for_the_answer(channel):
    sdk.publish("t", "", qos=1)
    assert channel.sent == [({"topic": "t", "qos": 1}, b"")]


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("not authorized", NotAuthorizedError),
        ("refused", RefusedError),
        ("invalid", TopicError),
        ("store", StoreError),
        ("something new", EdgecoreError),
    ],
)
def test_a_refusal_raises_with_the_reason(channel, word, error):
    channel.answer = Frame(PUBLISHED, {"seq": 1, "error": word, "reason": "because"})
    with pytest.raises(error, match="because"):
        sdk.publish("t", "", qos=2)


@pytest.mark.parametrize(
    ("topic", "payload", "qos", "error"),
    [
        ("a/#", "", 0, TopicError),
        ("t", 5, 0, TypeError),
        ("t", {"a": float("nan")}, 0, ValueError),
        ("t", {"a": object()}, 0, TypeError),
        ("t", "", 3, ValueError),
    ],
)
def test_what_cannot_be_sent_is_refused_here(channel, topic, payload, qos, error):
    with pytest.raises(error):
        sdk.publish(topic, payload, qos)
    assert channel.sent == []


def test_outside_a_worker_it_says_so():
    with pytest.raises(RuntimeError, match="inside a function that edgecore runs"):
        sdk.publish("t", "")
