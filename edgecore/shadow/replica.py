"""The decisions of synchronising one shadow with the cloud: what was seen, what to take, what to push. Pure.

A mark remembers the state that both sides last had in common. What is left to push is the difference
between it and the local document, so no log of updates is kept. A push is noted in the mark before it is
sent: when its outcome is never learned (a lost reply, a power cut), our own values in the cloud are known
for ours, and do not win over what was changed here since. Until the cloud's version moves it is sent again
as it was, so that all of its copies say the same and at most one takes effect.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from edgecore.base.group import SyncRule
from edgecore.shadow.document import SECTIONS, Document, JsonObject, Patch, merge, without_empty
from edgecore.shadow.reconcile import Merged, State, blend, difference, overlay, reconcile
from edgecore.shadow.requests import Reply, Request, deleted, notices
from edgecore.shadow.topics import Verb


@dataclass(frozen=True, slots=True)
class Push:
    """An update or a deletion of the cloud's shadow.

    `version`: the cloud's, on which it depends; 0: none is known. `state`: of an update. `local_version`: of
    the local document that it carries. `token`: by which the reply is known.
    """

    verb: Verb
    token: str
    version: int
    state: JsonObject | None
    local_version: int

    def body(self) -> JsonObject:
        """The request."""
        body: JsonObject = {} if self.verb == "delete" else {"state": self.state}
        # A version makes it impossible to overwrite what we have not seen. AWS says nothing of one for a
        # shadow that never existed, nor whether a deletion heeds it.
        if self.version:
            body["version"] = self.version
        return {**body, "clientToken": self.token}

    def outcome(self, base: State) -> State:
        """The cloud's state once it has taken effect."""
        return None if self.verb == "delete" else patched(base, self.state)


@dataclass(frozen=True, slots=True)
class Mark:
    """The last synchronisation.

    `base`: the state that both sides had, None when the shadow was not there (one way: the leader's).
    `cloud_version`: of the cloud's state (of the tombstone after a deletion; 0 when it is not known).
    `local_version`: of the local document that was merged with it. `synced_at`: epoch seconds.
    `pending`: what was sent to the cloud, or is about to be, and is not known to have taken effect.
    """

    base: State = None
    cloud_version: int = 0
    local_version: int = 0
    synced_at: int = 0
    pending: Push | None = None

    def differs(self, other: Mark) -> bool:
        """Whether more than the times differ: if not, nothing need be written."""
        return replace(self, synced_at=0) != replace(other, synced_at=0)


NEVER: Final = Mark()


class Seen(Enum):
    """How a version that the cloud announces relates to the one we know."""

    KNOWN = "known"
    NEXT = "next"
    GAP = "gap"


def judge(mark: Mark, version: int) -> Seen:
    """KNOWN: our echo, a redelivery, or a cloud that lost its memory. NEXT is applied, a GAP must be got."""
    if version <= mark.cloud_version:
        return Seen.KNOWN
    return Seen.NEXT if version == mark.cloud_version + 1 else Seen.GAP


def patched(base: State, patch: Patch | None) -> JsonObject:
    """The cloud's state after an update that it accepted; None clears both sections."""
    return without_empty(merge(base, dict.fromkeys(SECTIONS) if patch is None else patch))


def state_of(document: Document) -> State:
    """The document's state, None when it does not exist."""
    return None if document.deleted else document.state


# Taking in


@dataclass(frozen=True, slots=True)
class Adoption:
    """What taking in the cloud's state means here. `document` is None when ours need not change."""

    mark: Mark
    document: Document | None = None
    replies: tuple[Reply, ...] = ()
    conflicts: int = 0


def adopt(
    rule: SyncRule, mark: Mark, ours: Document, theirs: State, cloud_version: int, now: int
) -> Adoption:
    """Take in the cloud's state at `cloud_version` (None: it has no such shadow). `now`: epoch seconds."""
    base, pending = ancestor(mark, theirs, cloud_version)
    new = Mark(theirs, cloud_version, ours.version, now, pending)
    if rule.direction == "deviceToCloud":
        # The base is what we had, and what we had is not the cloud's to change.
        return Adoption(replace(new, base=mark.base))
    if rule.direction == "cloudToDevice":
        merged = Merged(overlay(mark.base, theirs, state_of(ours)))
    else:
        merged = reconcile(base, state_of(ours), theirs)
    document, replies = _become(ours, merged.state, now)
    if document is not None:
        new = replace(new, local_version=document.version)
    return Adoption(new, document, replies, merged.conflicts)


def ancestor(mark: Mark, theirs: State, version: int) -> tuple[State, Push | None]:
    """What `theirs` and our document last had in common, and the push that may still take effect."""
    if theirs is None:
        return _of_none(mark)
    if version < mark.cloud_version:
        # The cloud lost its memory (a backup; a shadow made again two days after its deletion). Desired
        # is the cloud's to say. What devices report is theirs, and was no change of the cloud.
        return {"desired": (mark.base or {}).get("desired", {})}, None
    push = mark.pending
    if push is None or (push.version and version == push.version):
        return mark.base, push
    landed = push.outcome(mark.base)
    if landed is None or (version == push.version + 1 and difference(landed, theirs)):
        return mark.base, None
    return (landed if version == push.version + 1 else blend(mark.base, landed, theirs)), None


def _of_none(mark: Mark) -> tuple[State, Push | None]:
    push = mark.pending
    if push is None:
        return mark.base, None
    if push.verb == "delete":
        return None, None  # by us or by another: there is nothing left to tell
    return mark.base, (push if mark.base is None else None)


def _become(ours: Document, state: State, now: int) -> tuple[Document | None, tuple[Reply, ...]]:
    """Our next document, so that its state is `state`, and what is published about it."""
    if state is None:
        if ours.deleted:
            return None, ()
        return ours.removed(), (deleted(ours, now, None),)
    patch = difference(ours.state, state)
    if not patch and not ours.deleted:
        return None, ()
    document = ours.updated(patch, now)
    return document, notices(ours, document, Request("update", state=patch), now)


# Pushing


def next_push(rule: SyncRule, mark: Mark, theirs: State, ours: Document) -> Push | None:
    """What the cloud, which has `theirs`, lacks; or None. Has no token yet. `ours` must be on disk."""
    wanted = _wanted(rule, mark, theirs, state_of(ours))
    if wanted is None:
        return None if theirs is None else Push("delete", "", mark.cloud_version, None, ours.version)
    if theirs is None:
        # Nothing is known to depend on: first an update without content takes a version.
        state = wanted if mark.cloud_version else {}
        return Push("update", "", mark.cloud_version, state, ours.version)
    patch = difference(theirs, wanted)
    return Push("update", "", mark.cloud_version, patch, ours.version) if patch else None


def _wanted(rule: SyncRule, mark: Mark, theirs: State, ours: State) -> State:
    if rule.direction == "cloudToDevice":
        return theirs
    return ours if rule.direction == "betweenDeviceAndCloud" else overlay(mark.base, ours, theirs)


def noted(rule: SyncRule, mark: Mark, push: Push, ours: Document) -> Mark:
    """The mark to store before `push` is sent."""
    base = mark.base
    if rule.direction == "deviceToCloud" and not ours.deleted:
        # All that we may have put there, so that it is removed there when it is removed here.
        base = without_empty(merge(base, ours.state))
    return replace(mark, base=base, pending=push)


def landed(rule: SyncRule, mark: Mark, push: Push, version: int, ours: Document, now: int) -> Mark:
    """The mark after `push` took effect; the cloud is at `version`."""
    base = push.outcome(mark.base)
    if rule.direction == "deviceToCloud" and base is not None:
        base = ours.state if ours.version == push.local_version else mark.base
    return Mark(base, version, push.local_version, now)


def in_step(rule: SyncRule, mark: Mark, ours: Document, now: int) -> Mark:
    """The mark when nothing is left to push. `ours` must be on disk."""
    if rule.direction == "deviceToCloud":
        return replace(mark, base=state_of(ours), local_version=ours.version, synced_at=now)
    return mark


def lags(rule: SyncRule, mark: Mark, ours: Document) -> bool:
    """Whether the cloud, as we last knew it, lacks something of ours."""
    if rule.direction == "cloudToDevice":
        return False
    state = state_of(ours)
    if state is None or mark.base is None:
        return mark.pending is not None or state is not mark.base
    return mark.pending is not None or bool(difference(mark.base, state))
