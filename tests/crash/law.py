"""The law of durability over what publishers were told and what subscribers got. Pure.

A *stream* is one topic with one publisher and one QoS; its messages are numbered from 1. A *line* is one
stream into one session. What the law forbids:

- lost: acknowledged (PUBACK, or PUBREC at QoS 2) and never arrived;
- duplicated: arrived twice at QoS 2;
- disordered: a first arrival after that of a later number (5, 4.6);
- repeated: a further arrival at QoS 1 on one connection that the publisher did not cause by sending again;
- alien: arrived and never sent;
- session_lost: a session that was to be kept was not there (5, 3.1.2.4);
- reused: a packet identifier given to another message before it was free (5, 2.2.1);
- retained: a retained message that is older than what was acknowledged on its topic, or made up;
- refused: a message that was refused though nothing was full; stalled: something did not come in time;
- complaint: an error in the broker's own log, or a file that it set aside; not_started: it did not start;
- device: one whose making or revocation was reported, and that is not known or known again.

While the broker refuses (`refusing`: a full disk), a message that is taken overtakes one that was not: 3.1.1 has no word
for a refusal, so that what was sent behind it on the same connection is on its way. These are counted.

Arrivals again at QoS 1 after a connection was lost are MQTT's own price and are only counted (`unmarked`: those
among them without DUP, where the broker did not know any more that it had sent the message). Numbers that the publisher gave up,
because its own session was lost, may arrive or not.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

FAULTS = (
    "lost",
    "duplicated",
    "disordered",
    "repeated",
    "alien",
    "session_lost",
    "reused",
    "retained",
    "refused",
    "stalled",
    "complaint",
    "not_started",
    "device",
)
# Descriptions of faults that one verdict keeps: enough to begin with, however many there are.
MAX_EXAMPLES = 20


@dataclass(frozen=True)
class Stream:
    """One topic with one publisher and one QoS. `loose`: towards the cloud, at least once in any order."""

    topic: str
    qos: int
    loose: bool = False


@dataclass
class Verdict:
    """Counts of one round or of many: what was done, and each kind of fault."""

    counts: Counter = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def broken(self):
        """The faults that were found, by kind."""
        return {kind: self.counts[kind] for kind in FAULTS if self.counts[kind]}

    def fault(self, kind, text, number=1):
        """Note a fault."""
        self.counts[kind] += number
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{kind}: {text}")

    def add(self, other):
        """Take in another verdict."""
        self.counts += other.counts
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]


@dataclass
class _Sent:
    """What the publisher did on a stream since the last close."""

    last: int = 0
    acked: set[int] = field(default_factory=set)
    times: Counter = field(default_factory=Counter)


@dataclass
class _Line:
    """What of a stream came to a session: all up to `high` but `missing`. Below `start` it had no claim."""

    start: int = 0
    high: int = 0
    missing: set[int] = field(default_factory=set)
    times: Counter = field(default_factory=Counter)  # arrivals on the present connection, by number


class Law:
    """Takes what happens, in order, and gives a Verdict at each `close`."""

    def __init__(self):
        self.refusing = False
        self._sent = {}
        self._lines = {}
        self._verdict = Verdict()

    def fault(self, kind, text):
        """Note a fault that was seen elsewhere."""
        self._verdict.fault(kind, text)

    def count(self, what, number=1):
        """Count what is no fault."""
        self._verdict.counts[what] += number

    # What publishers did

    def sent(self, stream, number):
        """The publisher sent the message, for the first time or again."""
        of = self._sent.setdefault(stream, _Sent())
        of.times[number] += 1
        if number > of.last:
            of.last = number
            self.count("sent")

    def acked(self, stream, number):
        """The publisher was told that the message is accepted."""
        self._sent[stream].acked.add(number)
        self.count("acked")

    def last_sent(self, stream):
        """The highest number sent."""
        return self._sent[stream].last if stream in self._sent else 0

    def last_acked(self, stream):
        """The highest number acknowledged since the last `close`, or 0."""
        return max(self._sent[stream].acked, default=0) if stream in self._sent else 0

    # What subscribers got

    def subscribed(self, session, streams):
        """The session's subscription was granted: from now on it has a claim on these streams."""
        for stream in streams:
            start = self.last_sent(stream)
            self._lines[session, stream] = _Line(start, start)

    def reconnected(self, session):
        """The session goes on on another connection."""
        for (name, _), line in self._lines.items():
            if name == session:
                line.times.clear()

    def forget(self, session):
        """The session has no claim any more: it ended as it should."""
        self._lines = {key: line for key, line in self._lines.items() if key[0] != session}

    def arrived(self, session, stream, number, dup):
        """The session got the message as a PUBLISH with that DUP flag."""
        line = self._lines.get((session, stream))
        if number > self.last_sent(stream) or number < 1:
            self.fault("alien", f"{session} got {stream.topic} {number}, which was never sent")
            return
        if line is None or number <= line.start:
            return  # MQTT lets a server send before SUBACK; there is no claim to it
        self.count("arrived")
        line.times[number] += 1
        if number > line.high:
            line.missing.update(range(line.high + 1, number))
            line.high = number
        elif number in line.missing:
            line.missing.discard(number)
            if self.refusing:
                self.count("overtaken")
            elif not stream.loose:
                self.fault("disordered", f"{session} got {stream.topic} {number} after {line.high}")
        else:
            self._again(session, stream, line, number, dup)

    def _again(self, session, stream, line, number, dup):
        where = f"{session} got {stream.topic} {number} again"
        if stream.qos == 2:
            self.fault("duplicated", where)
            return
        self.count("redelivered")
        published = max(1, self._sent[stream].times[number])
        if line.times[number] > published and not stream.loose:
            self.fault("repeated", f"{where} on the same connection, though it was not published again")
        elif not dup and published == 1:
            self.count("unmarked")

    def reached(self, session, goals):
        """Whether the session has got what `goals` names (stream -> number) or something after it."""
        return all(
            self._lines[session, stream].high >= number
            for stream, number in goals.items()
            if (session, stream) in self._lines
        )

    def behind(self, session, goals):
        """How many streams have not reached their goal, for a message."""
        return sum(not self.reached(session, {stream: goal}) for stream, goal in goals.items())

    # The end of a round

    def close(self):
        """Judge what is acknowledged and not there; begin anew with the numbers going on."""
        for (session, stream), line in self._lines.items():
            of = self._sent.get(stream)
            if of is None:
                continue
            absent = [n for n in of.acked if n > line.start and (n > line.high or n in line.missing)]
            self.count("expected", sum(n > line.start for n in of.acked))
            if absent:
                first, last = min(absent), max(absent)
                text = f"{session}: {len(absent)} of {stream.topic}, between {first} and {last}"
                self._verdict.fault("lost", text, len(absent))
                line.missing.update(range(line.high + 1, last + 1))
                line.high = max(line.high, last)
            line.times.clear()
        for of in self._sent.values():
            of.acked.clear()
            of.times.clear()
        verdict, self._verdict = self._verdict, Verdict()
        return verdict


@dataclass
class RetainedTopic:
    """The retained messages set on one topic by one publisher: which may be found there?

    Message `number` erases when it is in `erased`. Acknowledged and later ones may stand there, no older.
    """

    acked: int = 0
    sent: int = 0
    erased: set[int] = field(default_factory=set)

    def may_hold(self, found):
        """Whether the number found (None for nothing) is allowed."""
        if found is None:
            return self.acked == 0 or any(self.acked <= n <= self.sent for n in self.erased)
        return max(1, self.acked) <= found <= self.sent and found not in self.erased
