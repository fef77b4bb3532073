"""Finding connections by client id."""

from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud.live import Live


class Connection:
    def __init__(self):
        self.flushed = []
        self.ended = []

    def flush(self, now):
        self.flushed.append(now)

    def end(self, reason, now, *, will=True):
        self.ended.append((reason, now, will))


def test_only_woken_connections_send():
    live, one, other = Live(), Connection(), Connection()
    live.take_over("one", one, 0.0)
    live.take_over("other", other, 0.0)
    live.wake("one")
    live.wake("one")
    live.wake("nobody")
    live.flush(1.0)
    live.flush(2.0)
    assert (one.flushed, other.flushed) == ([1.0], [])


def test_a_takeover_ends_the_older_one():
    live, old, new = Live(), Connection(), Connection()
    live.take_over("id", old, 0.0)
    live.take_over("id", new, 1.0)
    assert old.ended == [(ReasonCode.SESSION_TAKEN_OVER, 1.0, True)]
    live.left("id", old)
    assert live.end("id", ReasonCode.ADMINISTRATIVE_ACTION, 2.0, will=False)
    assert new.ended == [(ReasonCode.ADMINISTRATIVE_ACTION, 2.0, False)]


def test_nobody_to_end():
    live, one = Live(), Connection()
    live.take_over("id", one, 0.0)
    live.left("id", one)
    assert not live.end("id", ReasonCode.ADMINISTRATIVE_ACTION, 0.0)
