"""The clients of one broker without their connections: what each remembers, and the law over all. Pure.

Everything that happens to a client goes through one method of its half, which writes it in the journal. So
the house can be built again as it was at any moment: `play` what the journal holds up to then.
"""

from __future__ import annotations

from collections import Counter

from edgecore.mqtt.packets import V5, V311
from tests.crash.law import Law, RetainedTopic, Stream
from tests.crash.notes import FAILURE, ReceiverNotes, SenderNotes

VERSIONS = {"3": V311, "5": V5}
TOPICS_PER_STREAM = 2
# Whoever subscribes at the cloud, under this name.
CLOUD = "cloud"


def payload_of(number, size):
    """The payload of a message: its number, and filling."""
    return b"%d " % number + b"." * size


def number_of(payload):
    """The number that a payload carries."""
    return int(payload.split(b" ", 1)[0])


class Sender:
    """A publisher's half. `known`: the broker has a session of it."""

    def __init__(self, house, client_id, version):
        self.client_id, self.version = client_id, version
        self.notes = SenderNotes()
        self.known = False
        self._house = house

    def publish(self, stream, number, payload, retain):
        """A new message; gives its packet."""
        self._house.note(self.client_id, "publish", stream, number, payload, retain)
        self._house.law.sent(stream, number)
        kept = self._house.retained.get(stream.topic)
        if kept is not None:
            kept.sent = number
            if not payload:
                kept.erased.add(number)
        return self.notes.begin(stream, number, payload, retain)

    def joined(self, present):
        """CONNACK came, with that session present; gives the packets to send again."""
        self._house.note(self.client_id, "joined", present)
        law = self._house.law
        if self.known and not present:
            law.fault("session_lost", f"of the publisher {self.client_id}")
            self.notes.forget()
        self.known = True
        for flight in self.notes.waiting:
            law.sent(flight.stream, flight.number)
        again = self.notes.resend()
        law.count("resent", len(again))
        return again

    def take(self, packet):
        """A PUBACK, PUBREC or PUBCOMP came; gives the answer or None."""
        self._house.note(self.client_id, "take", packet)
        outcome, law = self.notes.take(packet), self._house.law
        flight = outcome.flight
        if flight is not None and outcome.reason < FAILURE:
            law.acked(flight.stream, flight.number)
        elif flight is not None:
            self._house.refused[self.client_id, outcome.reason] += 1
            if not self._house.may_refuse:
                law.fault("refused", f"{flight.stream.topic} {flight.number}: {outcome.reason:#04x}")
        if outcome.over is not None:
            kept = self._house.retained.get(outcome.over.stream.topic)
            if kept is not None:
                kept.acked = max(kept.acked, outcome.over.number)
        return outcome.answer


class Receiver:
    """A subscriber's half. `known`: the broker has a session of it with its subscription."""

    def __init__(self, house, client_id, version):
        self.client_id, self.version = client_id, version
        self.notes = ReceiverNotes()
        self.known = False
        self._house = house

    def joined(self, present):
        """CONNACK came, with that session present; gives whether to subscribe."""
        self._house.note(self.client_id, "joined", present)
        self._house.law.reconnected(self.client_id)
        if not present:
            if self.known:
                self._house.law.fault("session_lost", f"of the subscriber {self.client_id}")
            self.notes.forget()
        return not (present and self.known)

    def granted(self):
        """SUBACK came: from now on it has a claim."""
        self._house.note(self.client_id, "granted")
        if not self.known:  # else a lost session keeps its old claims: what it does not get is lost
            self._house.law.subscribed(self.client_id, self._house.streams.values())
        self.known = True

    def take(self, packet):
        """A PUBLISH or PUBREL came; gives the answer or None."""
        self._house.note(self.client_id, "take", packet)
        new, answer, wrong = self.notes.take(packet)
        if wrong:
            self._house.law.fault("reused", f"{self.client_id}: {wrong}")
        if new:
            stream = self._house.streams[packet.topic]
            self._house.law.arrived(self.client_id, stream, number_of(packet.payload), packet.dup)
        return answer

    def leaves(self):
        """It is about to end its session for good."""
        self._house.note(self.client_id, "leaves")
        self._house.law.forget(self.client_id)
        del self._house.receivers[self.client_id]


class Mourned:
    """A client that has nothing but a will, which is due when its connection is lost."""

    def __init__(self, house, client_id, version, stream):
        self.client_id, self.version, self.stream = client_id, version, stream
        self._house = house
        self._number = 0

    def connects(self, number):
        """It is about to connect with the will of that number."""
        self._house.note(self.client_id, "connects", number)
        self._number = number
        self._house.law.sent(self.stream, number)

    def joined(self, present):
        """CONNACK came: the will is accepted, and due unless it comes back in time (5, 3.1.2.5)."""
        self._house.note(self.client_id, "joined", present)
        self._house.law.acked(self.stream, self._number)
        self._house.goals[self.stream] = self._number


class House:
    """All halves by client id, the streams, and the law. `journal(client_id, method, arguments)` is told all.

    `streams` go to sessions, `retained` says what may stand on the topics of `kept`; with `cloud` there are
    `outward` streams, which go to the session CLOUD. `goals`: the number to reach, by stream. `refused` counts
    refusals by client and reason; they are a fault unless it `may_refuse`.
    """

    def __init__(self, *, cloud=False, journal=lambda _client_id, _method, _arguments: None):
        self.law = Law()
        self.goals = {}
        self.refused = Counter()
        self.may_refuse = False
        self.own = {name: _streams("m", name) for name in VERSIONS}
        self.kept = {name: _streams("r", name) for name in VERSIONS}
        self.streams = {stream.topic: stream for each in self.own.values() for stream in each}
        self.retained = {stream.topic: RetainedTopic() for each in self.kept.values() for stream in each}
        self.outward = {name: [Stream(f"c/{name}", 1, loose=True)] if cloud else [] for name in VERSIONS}
        wills = {name: Stream(f"m/{name}/will", 1) for name in VERSIONS}
        self.streams.update({stream.topic: stream for stream in wills.values()})
        self.senders = {f"pub{name}": Sender(self, f"pub{name}", v) for name, v in VERSIONS.items()}
        self.mourned = {
            f"will{name}": Mourned(self, f"will{name}", v, wills[name]) for name, v in VERSIONS.items()
        }
        self.receivers = {}
        for role in ("away", "slow"):
            for name, version in VERSIONS.items():
                self.receiver(f"{role}{name}", version)
        self._journal = journal
        self.law.subscribed(CLOUD, [stream for each in self.outward.values() for stream in each])

    def note(self, client_id, method, *arguments):
        """Write down what happens to a client."""
        self._journal(client_id, method, arguments)

    def receiver(self, client_id, version):
        """A subscriber's half, new or known."""
        if client_id not in self.receivers:
            self.receivers[client_id] = Receiver(self, client_id, version)
        return self.receivers[client_id]

    def play(self, client_id, method, arguments):
        """Do again what a journal holds."""
        half = self.senders.get(client_id) or self.mourned.get(client_id)
        if half is None:  # the name of a newcomer ends with the name of its version
            half = self.receiver(client_id, VERSIONS[client_id[-1]])
        getattr(half, method)(*arguments)


def _streams(prefix, name):
    return [Stream(f"{prefix}/{name}/{qos}/{n}", qos) for qos in (1, 2) for n in range(TOPICS_PER_STREAM)]
