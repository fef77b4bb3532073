"""The decisions of synchronising one shadow with the cloud: what was seen, what to take, what to push. Pure.

A mark remembers the cloud's state at a version, all of whose changes the local document has taken in.
So it is the common ancestor of both sides, and what is left to push is the difference between the mark
and the local document: no log of updates is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgecore.shadow.document import SECTIONS, Document, JsonObject, Patch, merge, without_empty
from edgecore.shadow.reconcile import State, difference, reconcile
from edgecore.shadow.requests import Reply, Request, deleted, notices
from edgecore.shadow.topics import Verb


@dataclass(frozen=True, slots=True)
class Mark:
    """The last synchronisation. `base`: the cloud's state then, None when the shadow was not there.

    `cloud_version`: of that state (of the tombstone after a deletion; 0 when it is not known).
    `local_version`: of the local document that was merged with it. `synced_at`: epoch seconds.
    """

    base: State = None
    cloud_version: int = 0
    local_version: int = 0
    synced_at: int = 0

    def differs(self, other: Mark) -> bool:
        """Whether more than the times differ: if not, nothing need be written."""
        mine = (self.base, self.cloud_version, self.local_version)
        return mine != (other.base, other.cloud_version, other.local_version)


NEVER: Final = Mark()


class Seen(Enum):
    """How a version that the cloud announces relates to the one we know."""

    KNOWN = "known"
    NEXT = "next"
    GAP = "gap"


def judge(mark: Mark, version: int) -> Seen:
    """KNOWN is dropped (our own echo, a redelivery), NEXT applied, a GAP needs a full synchronisation."""
    if version <= mark.cloud_version:
        return Seen.KNOWN
    return Seen.NEXT if version == mark.cloud_version + 1 else Seen.GAP


def patched(base: State, patch: Patch | None) -> JsonObject:
    """The cloud's state after an update that it accepted; None clears both sections."""
    return without_empty(merge(base, dict.fromkeys(SECTIONS) if patch is None else patch))


def state_of(document: Document) -> State:
    """The document's state, None when it does not exist."""
    return None if document.deleted else document.state


@dataclass(frozen=True, slots=True)
class Adoption:
    """What taking in the cloud's state means here. `document` is None when ours need not change."""

    mark: Mark
    document: Document | None = None
    replies: tuple[Reply, ...] = ()
    conflicts: int = 0


def adopt(mark: Mark, ours: Document, theirs: State, cloud_version: int, now: int) -> Adoption:
    """Take in the cloud's state at `cloud_version`: merge it into our document. `now`: epoch seconds."""
    merged = reconcile(mark.base, state_of(ours), theirs)
    document, replies = _become(ours, merged.state, now)
    new = Mark(theirs, cloud_version, (document or ours).version, now)
    return Adoption(new, document, replies, merged.conflicts)


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


@dataclass(frozen=True, slots=True)
class Push:
    """A request to the cloud, without its token. `local_version`: of the document that it carries."""

    verb: Verb
    body: JsonObject
    local_version: int


def next_push(mark: Mark, ours: Document) -> Push | None:
    """What the cloud lacks, or None. An update carries the cloud's version, so that it cannot overwrite."""
    if ours.deleted:
        return None if mark.base is None else Push("delete", {}, ours.version)
    if mark.base is None:
        # A version is only known of a tombstone; AWS says nothing of one for what never existed.
        known = {"version": mark.cloud_version} if mark.cloud_version else {}
        return Push("update", {"state": ours.state, **known}, ours.version)
    patch = difference(mark.base, ours.state)
    if not patch:
        return None
    return Push("update", {"state": patch, "version": mark.cloud_version}, ours.version)
