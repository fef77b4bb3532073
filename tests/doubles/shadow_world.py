"""Cores and a cloud that share a thing's shadow, without loop, sockets or clocks: every step is the test's.

The core's side is the real one (documents, journal on a disk that can be cut, dialogue), the cloud's is the
simulator's own implementation. Between them a link that loses, delays, doubles and reorders as it is told.
"""

from __future__ import annotations

import json
from collections import deque

from turn_database import TurnDatabase

from edgecore.base.clock import ManualClock
from edgecore.shadow.dialogue import Dialogue
from edgecore.shadow.events import (
    Elapsed,
    LinkDown,
    LinkUp,
    LocalChanged,
    NoReply,
    Pause,
    Request,
    Subscribe,
    Subscribed,
)
from edgecore.shadow.exchange import Exchange
from edgecore.shadow.journal import ROOM, SCHEMA, Journal, read_contents
from edgecore.shadow.replica import NEVER
from edgecore.shadow.settings import ShadowSettings
from edgecore.shadow.shadows import Shadows
from edgecore.shadow.topics import ShadowId
from edgecore.sim.cloud import shadows as cloud_shadows
from edgecore.store.migrate import migrate

T = ShadowId("t")
KEY = cloud_shadows.Key("t")
PREFIX = len(T.prefix) + 1


class Cloud:
    """The simulated shadow service, and who listens to it.

    `faults`: what the next requests of cores meet: "429", "500", ... (nothing was done) or "500 done".
    """

    def __init__(self):
        self.now = 1_700_000_000
        self.service = cloud_shadows.Shadows(lambda key, shadow: None)
        self.links = []
        self.faults = []
        self.seq = 0  # grows with each accepted change
        self.backup = None

    @property
    def state(self):
        shadow = dict(self.service.items()).get(KEY)
        return shadow.state if shadow is not None and shadow.exists else None

    def request(self, verb, payload, link=None):
        """A request arrives; gives whether it changed anything."""
        token = json.loads(payload).get("clientToken") if payload else None
        fault = self.faults.pop(0) if self.faults and link is not None else ""
        if fault.isdigit():
            self._reject(link, verb, int(fault), token)
            return False
        replies = self.service.handle(KEY, verb, payload, self.now)
        changed = verb != "get" and replies[-1].topic.endswith("/accepted")
        self.seq += changed
        if fault == "500 done":
            link.hear(f"{verb}/rejected", {"code": 500, "message": "fault", "clientToken": token}, self.seq)
            replies = [reply for reply in replies if changed]
        for reply in replies:
            suffix = reply.topic[PREFIX:]
            if suffix in ("update/documents", "update/delta"):
                continue
            for each in self.links:
                each.hear(suffix, reply.document, self.seq)
        return changed

    def _reject(self, link, verb, code, token):
        link.hear(f"{verb}/rejected", {"code": code, "message": "fault", "clientToken": token}, self.seq)

    def keep_backup(self):
        self.backup = self.service.items()

    def restore(self):
        self.service = cloud_shadows.Shadows(lambda key, shadow: None)
        self.service.load(self.backup)


class Core:
    """A core. `inbox`: what the cloud said and it has not heard; `outbox`: what it said and did not arrive.

    `published`: what its devices were told.
    """

    def __init__(self, cloud, rule, name="c"):
        self.cloud, self.rule, self.name = cloud, rule, name
        self.database = TurnDatabase()
        migrate(self.database.connection, ROOM, SCHEMA)
        self.clock = ManualClock()
        self.runs = 0
        self.log = []  # the verbs of its requests
        self.pauses = []  # the number of each failure in a row
        self.hold_timers = False
        self.published = []
        self.known_at = {}
        self.carries = {}  # token -> the local version that a push carries
        self.learned = set()  # tokens of pushes that are known to have taken effect, because the reply came
        self.outbox = deque()  # outlives a run: what was sent may still arrive
        self.begin()

    def begin(self):
        self.runs += 1
        self.tokens = 0
        self.soon = deque()
        self.inbox = deque()
        self.timers = 0
        self.subscribed = False
        self.awaited = None
        self.taken_in = 0  # the documents' generation when the cloud was last taken in
        self.journal = Journal(self.database)
        contents = self.journal.take_over(read_contents(self.database.connection))
        self.shadows = Shadows(
            ShadowSettings(), self.journal, self._publish, self._changed, self.clock, self.soon.append
        )
        self.shadows.fill(contents)
        mark = contents.marks.get(T, NEVER)
        self.dialogue = Dialogue(self.rule, self._token, mark)
        self.exchange = Exchange(T, self.dialogue, self.shadows, self.clock, self._do)
        self.shadows.send_again(contents.notices)
        self.turn()

    def _token(self):
        self.tokens += 1
        return f"{self.name}{self.runs}-{self.tokens}"

    def _publish(self, topic, payload):
        self.published.append((topic[PREFIX:], payload))
        return ()

    def _changed(self, shadow):
        self.exchange.feed(LocalChanged())

    def _do(self, action):
        if isinstance(action, Subscribe):
            self.soon.append(self._subscribe)
        elif isinstance(action, Request):
            self.log.append(action.verb)
            if action.verb != "get":
                self.carries[action.body["clientToken"]] = self.dialogue.mark.pending.local_version
            self.awaited = action.number
            self.outbox.append((action.verb, json.dumps(action.body).encode()))
        else:
            self.timers += 1
            if isinstance(action, Pause):
                self.pauses.append(action.attempt)

    def _subscribe(self):
        if self.up:
            self.subscribed = True
            self.exchange.feed(Subscribed())

    @property
    def state(self):
        document = self.shadows.document(T)
        return None if document.deleted else document.state

    @property
    def version(self):
        return self.shadows.document(T).version

    @property
    def knows(self):
        """Up to which change of the cloud its document has taken in."""
        # What was taken in is already lost when a change before it could not be stored.
        lost = self.dialogue._storing and self.taken_in != self.generation
        return self.known_at.get(_key(self.dialogue.stored if lost else self.dialogue.mark), 0)

    @property
    def generation(self):
        lane = self.shadows._lanes.get(T)
        return 0 if lane is None else lane.generation

    @property
    def up(self):
        return self in self.cloud.links

    @property
    def waits(self):
        return self.awaited is not None and self.dialogue.awaits(self.awaited)

    # What may happen

    def edit(self, verb, payload):
        """A device asks; gives the Commit, None when it was refused."""
        return self.shadows.request(T, verb, payload)

    def go_up(self):
        if not self.up:
            self.cloud.links.append(self)
            self.exchange.feed(self.link_up())
            self.turn()

    @staticmethod
    def link_up():
        return LinkUp()

    def go_down(self, keep):
        if self.up:
            self.cloud.links.remove(self)
            self.inbox.clear()
            if not keep:
                self.outbox.clear()
            self.subscribed, self.timers = False, 0
            self.exchange.feed(LinkDown())

    def hear(self, suffix, document, seq):
        if self.subscribed:
            self.inbox.append((suffix, json.dumps(document).encode(), seq))

    def send(self):
        """The oldest request arrives at the cloud; gives it, and whether it changed anything."""
        verb, payload = self.outbox.popleft()
        return verb, json.loads(payload), self.cloud.request(verb, payload, self)

    def take(self):
        """The oldest message is heard."""
        suffix, payload, seq = self.inbox.popleft()
        before, knew = self.dialogue.mark, self.knows
        self.exchange.receive(suffix, payload)
        mark = self.dialogue.mark
        pending = before.pending
        if suffix == "update/accepted" and pending is not None and mark.pending is None:
            self.learned.update({pending.token} & {json.loads(payload).get("clientToken")})
        if mark is not before and not suffix.startswith(("update/rej", "delete/rej")):
            self.known_at[_key(mark)] = max(knew, seq)
            self.taken_in = self.generation
        self.turn()

    def time_out(self):
        self.exchange.feed(NoReply(self.awaited, "no reply"))
        self.turn()

    def elapse(self):
        """The time of what is waited for is over."""
        if self.timers and not self.hold_timers:
            self.timers -= 1
            self.exchange.feed(Elapsed())
            self.turn()

    def turn(self):
        while self.soon:
            self.soon.popleft()()
        if (
            self.dialogue.mark.pending is not None
        ):  # as it is again, when what was learned could not be stored
            self.learned.discard(self.dialogue.mark.pending.token)

    def write(self, how):
        if how == "all":
            while self.database.commit():
                self.turn()
        elif how == "hand over":
            self.database.hand_over()
        elif how == "sync":
            self.database.hand_over()
            self.database.sync()
        else:
            self.database.finish()
        self.turn()

    def power_cut(self, keep):
        self.go_down(keep)
        self.database = self.database.power_cut()
        self.begin()


def _key(mark):
    return mark.cloud_version, json.dumps(mark.base, sort_keys=True)


def quiet(*cores):
    """Let everything that is on its way arrive, until nothing is said any more."""
    for core in cores:
        core.go_up()
    for _ in range(60):
        said = [len(core.log) for core in cores]
        for core in cores:
            core.write("all")
            while core.outbox:
                core.send()
            while core.inbox:
                core.take()
            core.write("all")
            if core.waits and not core.outbox and not core.inbox:
                core.time_out()
            core.elapse()
            core.write("all")
        under_way = any(core.outbox or core.inbox or core.waits for core in cores)
        if said == [len(core.log) for core in cores] and not under_way:
            return
    raise AssertionError("they do not come to rest")
