"""What is said with the cloud about one shadow: events in, actions out. Pure, and a table.

One request at a time: a get after each connection and whenever something was missed, then pushes until
nothing is left to say. What the cloud announces is taken in as it comes. Nothing is sent while what was
taken in is not yet on disk, nor before the push itself is noted there.

    DOWN → SUBSCRIBING → RESTING ⇄ ASKING (a get) | NOTING → PUSHING | PAUSED (after a fault)
                                 | HOLDING (periodic)

`sync.py` does the actions; the laws are in tests/properties/test_shadow_histories.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from typing import Any, ClassVar, Final

from edgecore.base.group import SyncRule
from edgecore.shadow.announcement import Announcement
from edgecore.shadow.document import Document, JsonObject, same
from edgecore.shadow.events import (
    Action,
    Elapsed,
    Event,
    Hold,
    LinkDown,
    LinkUp,
    Local,
    LocalChanged,
    NoReply,
    NotSubscribed,
    Pause,
    Request,
    Said,
    Store,
    Stored,
    Subscribe,
    Subscribed,
)
from edgecore.shadow.reconcile import State
from edgecore.shadow.replica import (
    NEVER,
    Adoption,
    Mark,
    Push,
    Seen,
    adopt,
    in_step,
    judge,
    lags,
    landed,
    next_push,
    noted,
    patched,
)
from edgecore.shadow.requests import MAX_PAYLOAD
from edgecore.shadow.topics import Verb

NOT_FOUND: Final = 404
CONFLICT: Final = 409
THROTTLED: Final = 429
FAULT_FROM: Final = 500


class Phase(Enum):
    """Where the dialogue stands."""

    DOWN = "down"
    SUBSCRIBING = "subscribing"
    DEAF = "deaf"  # not allowed to listen: until the next connection
    RESTING = "resting"
    ASKING = "asking"
    NOTING = "noting"
    PUSHING = "pushing"
    PAUSED = "paused"
    HOLDING = "holding"


Act = Callable[["Dialogue", Any, Local], None]


class Dialogue:
    """One shadow's. `token` gives unguessable short texts.

    `mark` is in use, `stored` on disk. `_theirs`: the cloud's state at the mark's version, once `_known`.
    `_stale`: it must be got; `_missed`: so that it is of this version at least. `_sent`: the push in flight.
    `_unsure`: a copy of the pending push may have taken effect. `_denied`: it met another version than its
    own. `_refused`: the local version that the cloud refuses. `_busy`: we spoke since the last Hold.
    """

    def __init__(self, rule: SyncRule, token: Callable[[], str], mark: Mark = NEVER) -> None:
        self.rule = rule
        self.phase = Phase.DOWN
        self.mark = self.stored = mark
        self.problem = ""
        self.conflicts = 0
        self.oversized = 0
        self._token = token
        self._theirs: State = None
        self._known = False
        self._stale = True
        self._missed = 0
        self._asked = ""
        self._known_when_asked = 0
        self._sent: Push | None = None
        self._unsure = True
        self._denied = False
        self._refused = 0
        self._failures = 0
        self._ailing = False
        self._busy = False
        self._requests = self._stores = 0
        self._storing: dict[int, Mark] = {}
        self._actions: list[Action] = []

    def handle(self, event: Event, local: Local) -> list[Action]:
        """What is to be done about `event`, in order."""
        act = self.TABLE.get((self.phase, type(event))) or self.ANYWHERE.get(type(event))
        if act is not None:
            act(self, event, local)
            self._go_on(local)
        actions, self._actions = self._actions, []
        return actions

    def awaits(self, number: int) -> bool:
        """Whether the reply to that request is still awaited."""
        return self.phase in (Phase.ASKING, Phase.PUSHING) and number == self._requests

    def is_in_step(self, local: Local) -> bool:
        """Whether both sides are, as far as is known, as the rule wants them, and nothing is under way."""
        quiet = self.phase in (Phase.RESTING, Phase.HOLDING) and self._known and not self._storing
        settled = not self._is_stale() and self.mark.pending is None and self._next(local) is None
        return quiet and settled

    def lags(self, durable: Document) -> bool:
        """Whether the cloud, as we last knew it, lacks something of ours."""
        return lags(self.rule, self.mark, durable)

    # The link, and time

    def _link_up(self, _: LinkUp, local: Local) -> None:  # noqa: ARG002  the table's shape, here and below
        self.phase = Phase.SUBSCRIBING
        self._known, self._stale, self._missed = False, True, 0
        self._refused = self._failures = 0
        self._ailing = self._ailing and bool(self._storing)
        self._actions.append(Subscribe())

    def _link_down(self, _: LinkDown, local: Local) -> None:  # noqa: ARG002
        self._unsure = self._unsure or self.phase is Phase.PUSHING
        self.phase = Phase.DOWN

    def _subscribed(self, _: Subscribed, local: Local) -> None:  # noqa: ARG002
        self.phase, self._failures = Phase.RESTING, 0

    def _not_subscribed(self, event: NotSubscribed, local: Local) -> None:  # noqa: ARG002
        self.problem = event.problem
        if event.forbidden:
            self.phase = Phase.DEAF
        else:
            self._failures += 1
            self._actions.append(Pause(self._failures))

    def _subscribe_again(self, _: Elapsed, local: Local) -> None:  # noqa: ARG002
        self._actions.append(Subscribe())

    def _pause(self) -> None:
        self._failures += 1
        self.phase = Phase.PAUSED
        self._actions.append(Pause(self._failures))

    def _elapsed(self, _: Elapsed, local: Local) -> None:  # noqa: ARG002
        self.phase = Phase.RESTING

    # Our own side

    def _look(self, _: LocalChanged, local: Local) -> None:
        """Only see what is due now."""

    def _stored_one(self, event: Stored, local: Local) -> None:  # noqa: ARG002
        mark = self._storing.pop(event.number)
        if event.problem:
            self.problem = event.problem
            self._known, self._stale, self._unsure, self._ailing = False, True, True, True
        else:
            self.stored = mark
        if self._ailing:  # what is on disk counts: also of a store that came after the one that failed
            self.mark = self.stored

    def _noted(self, event: Stored, local: Local) -> None:
        self._stored_one(event, local)
        if not self._storing:
            self.phase = Phase.RESTING  # and from there the push, unless it was overtaken meanwhile

    def _store(self, adoption: Adoption) -> None:
        """Go on from the adoption's mark, and write it if it says anything new."""
        differs = adoption.document is not None or adoption.mark.differs(self.mark)
        self.mark = adoption.mark
        self.conflicts += adoption.conflicts
        if differs:
            self._stores += 1
            self._storing[self._stores] = adoption.mark
            self._actions.append(Store(self._stores, adoption))

    # What is due

    def _go_on(self, local: Local) -> None:
        if self.phase is not Phase.RESTING or self._storing:
            return
        if self._ailing:
            self._ailing = False
            self._pause()
        elif self._is_stale():
            self._ask()
        elif self.mark.pending is not None:
            self._send(self.mark.pending)
        else:
            self._settle(local)

    def _is_stale(self) -> bool:
        return self._stale or self._missed > self.mark.cloud_version

    def _settle(self, local: Local) -> None:
        if self.rule.direction == "cloudToDevice":  # what was changed here meanwhile does not stand
            self._adopt(self._theirs, self.mark.cloud_version, local)
        push = self._next(local)
        if push is not None:
            self.phase, self._unsure, self._denied = Phase.NOTING, False, False
            push = replace(push, token=self._token())
            self._store(Adoption(noted(self.rule, self.mark, push, local.durable)))
            return
        if not self._refused:
            self._store(Adoption(in_step(self.rule, self.mark, local.durable, local.now)))
        if self._busy and self.rule.every and not self._storing:
            self.phase, self._busy = Phase.HOLDING, False
            self._actions.append(Hold(self.rule.every))

    def _next(self, local: Local) -> Push | None:
        """What is to be pushed, without a token."""
        if self._refused:
            if local.durable.version == self._refused:
                return None
            self._refused = 0
        return next_push(self.rule, self.mark, self._theirs, local.durable)

    def _ask(self) -> None:
        self.phase = Phase.ASKING
        self._stale, self._missed = False, 0  # what is missed from now on makes it stale again
        self._asked, self._known_when_asked = self._token(), self.mark.cloud_version
        self._request("get", {"clientToken": self._asked})

    def _send(self, push: Push) -> None:
        self.phase, self._sent = Phase.PUSHING, push
        self._request(push.verb, push.body())

    def _request(self, verb: Verb, body: JsonObject) -> None:
        self._requests += 1
        self._busy = True
        self._actions.append(Request(self._requests, verb, body))

    # Replies

    def _no_reply(self, event: NoReply, local: Local) -> None:  # noqa: ARG002
        if not self.awaits(event.number):
            return
        self.problem = event.problem
        self._unsure = self._unsure or (self.phase is Phase.PUSHING and not event.unsent)
        self._stale = True
        self._pause()

    def _said(self, event: Said, local: Local) -> None:
        said = event.what
        own_get = self.phase is Phase.ASKING and said.clientToken == self._asked
        push = self._push_of(said.clientToken)
        match event.suffix:
            case "update/accepted":
                self._cloud_updated(said, push, local)
            case "delete/accepted":
                self._cloud_deleted(said, push, local)
            case "get/accepted" if own_get:
                self._cloud_is(said, local)
            case "get/rejected" if own_get:
                self._get_rejected(said, local)
            case "update/rejected" | "delete/rejected" if push is not None:
                self._push_rejected(said, push)

    def _push_of(self, token: str) -> Push | None:
        """The push to which a reply with that token is one."""
        if self.phase is Phase.PUSHING and self._sent is not None and self._sent.token == token:
            return self._sent
        pending = self.mark.pending
        return pending if pending is not None and pending.token == token else None

    def _answered(self, awaited: Phase) -> None:
        """All is well; if the reply was awaited, go on."""
        if self.phase is awaited:
            self.phase = Phase.RESTING
        self._failures, self.problem = 0, ""

    def _get_rejected(self, said: Announcement, local: Local) -> None:
        if said.code != NOT_FOUND:
            self.problem = _problem(said)
            self._stale = True
            self._pause()
            return
        self._answered(Phase.ASKING)
        # A tombstone has a version of its own; it may still be there.
        keep = self.mark.base is None and not self._denied
        if self._denied or not self._unsure:  # what the push depended on is gone, or it was never sent
            self._forget_push()
        self._adopt(None, self.mark.cloud_version if keep else 0, local)

    def _push_rejected(self, said: Announcement, push: Push) -> None:
        if said.code == CONFLICT or (said.code == NOT_FOUND and push.verb == "delete"):
            self._answered(Phase.PUSHING)
            if not self._unsure:
                self._forget_push()
            self._denied = True
            self._stale = self._stale or self.mark.cloud_version <= push.version
            return
        self.problem = _problem(said)
        if said.code == THROTTLED or said.code >= FAULT_FROM:
            self._unsure = self._unsure or said.code >= FAULT_FROM
            if self.phase is Phase.PUSHING:
                self._pause()
            return
        if self.phase is Phase.PUSHING:
            self.phase = Phase.RESTING
        self._refused = push.local_version
        self._forget_push()

    def _forget_push(self) -> None:
        """It has not taken effect, and will not."""
        self.mark = replace(self.mark, pending=None)
        self._denied = False

    # What the cloud is

    def _cloud_is(self, said: Announcement, local: Local) -> None:
        self._answered(Phase.ASKING)
        if said.version < self.mark.cloud_version and self.mark.cloud_version > self._known_when_asked:
            self._stale = True  # overtaken by an update that came while the reply was on its way
            return
        if not self._unsure:
            self._forget_push()
        self._denied = False
        state: JsonObject = {name: section for name, section in (said.state or {}).items() if name != "delta"}
        self._adopt(patched(None, state), said.version, local)

    def _cloud_updated(self, said: Announcement, push: Push | None, local: Local) -> None:
        if push is not None:
            self._answered(Phase.PUSHING)
        if self._known and Document(patched(self._theirs, said.state)).size() > MAX_PAYLOAD:
            # No publish could hold it, so the cloud has no such document: what it has is to be got.
            self.oversized += 1
            self._stale = True
        elif not self._known or (self.rule.every and push is None):
            if not self._is_echo(said):
                self._miss(said.version)
        elif push is not None and push == self.mark.pending and self._is_next_of(push, said):
            self._landed(push, patched(self._theirs, push.state), said.version, local)
        elif judge(self.mark, said.version) is Seen.NEXT:
            self._adopt(patched(self._theirs, said.state), said.version, local)
        elif not self._is_echo(said):
            self._miss(said.version)

    def _miss(self, version: int) -> None:
        """Something was missed, or is late, or the cloud lost its memory."""
        if version > self.mark.cloud_version:
            self._missed = max(self._missed, version)
        else:
            self._stale = True

    def _is_next_of(self, push: Push, said: Announcement) -> bool:
        return self.mark.cloud_version == push.version == said.version - 1

    def _is_echo(self, said: Announcement) -> bool:
        """Whether it is the version that we know, and says nothing else."""
        if not self._known or said.version != self.mark.cloud_version or self._theirs is None:
            return False
        return same(patched(self._theirs, said.state), self._theirs)

    def _cloud_deleted(self, said: Announcement, push: Push | None, local: Local) -> None:
        if push is not None:
            self._answered(Phase.PUSHING)
        if not self._known or (self.rule.every and push is None):
            self._stale = True
        elif push is not None:
            self._landed(push, None, said.version + 1, local)
        elif self._theirs is not None and said.version == self.mark.cloud_version:
            self._adopt(None, said.version + 1, local)
        elif self._theirs is not None:
            self._stale = True

    def _landed(self, push: Push, theirs: State, version: int, local: Local) -> None:
        self._theirs = theirs
        self._store(Adoption(landed(self.rule, self.mark, push, version, local.durable, local.now)))

    def _adopt(self, theirs: State, version: int, local: Local) -> None:
        adoption = adopt(self.rule, self.mark, local.newest, theirs, version, local.now)
        self._theirs, self._known = theirs, True
        self._store(adoption)

    # What an event means in a phase, before what it means anywhere. In neither table: nothing.
    TABLE: ClassVar[dict[tuple[Phase, type], Act]] = {
        (Phase.SUBSCRIBING, Subscribed): _subscribed,
        (Phase.SUBSCRIBING, NotSubscribed): _not_subscribed,
        (Phase.SUBSCRIBING, Elapsed): _subscribe_again,
        (Phase.RESTING, LocalChanged): _look,
        (Phase.NOTING, Stored): _noted,
        (Phase.PAUSED, Elapsed): _elapsed,
        (Phase.HOLDING, Elapsed): _elapsed,
    }
    ANYWHERE: ClassVar[dict[type, Act]] = {
        LinkUp: _link_up,
        LinkDown: _link_down,
        Stored: _stored_one,
        NoReply: _no_reply,
        Said: _said,
    }


def _problem(said: Announcement) -> str:
    return f"the cloud replied {said.code} {said.message}"
