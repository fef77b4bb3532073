"""The documents in memory, and the order of their replies.

A request is carried out at once on the newest document in memory, its change joins the store's group,
and its replies leave after the commit, in order per shadow. When a commit fails, the changes that were
built on it fail too, and the document falls back to the last one that is on disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit, when_all_done
from edgecore.base.errors import RefusedError
from edgecore.shadow.document import NOTHING, Document
from edgecore.shadow.journal import Change, Contents, Journal, Notice
from edgecore.shadow.replica import Adoption
from edgecore.shadow.requests import (
    INTERNAL,
    TOO_MANY,
    Rejection,
    Reply,
    Request,
    carry_out,
    rejected,
    understand,
)
from edgecore.shadow.settings import ShadowSettings
from edgecore.shadow.topics import ShadowId, Verb

Publish = Callable[[str, bytes], Sequence[Commit]]


class _Pending(msgspec.Struct, eq=False, gc=False):
    """A request that awaits its turn to be answered. A get is computed then, on what is on disk."""

    request: Request
    ready: bool
    replies: tuple[Reply, ...] = ()
    notice: int = 0


@dataclass(slots=True)
class _Lane:
    """One shadow: the newest document, the one on disk, and the answers on their way.

    `generation` grows when `document` falls back to `durable`: later failures of changes that were
    built on the failed one change nothing more.
    """

    shadow: ShadowId
    document: Document = NOTHING
    durable: Document = NOTHING
    generation: int = 0
    waiting: deque[_Pending] = field(default_factory=deque)


class Shadows:
    """All shadows of this core.

    `changed` is called after each change of a document became durable. `soon` runs something after the turn
    that is under way; by default the loop's call_soon.
    """

    def __init__(
        self,
        settings: ShadowSettings,
        journal: Journal,
        publish: Publish,
        changed: Callable[[ShadowId], None],
        clock: Clock,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._publish = publish
        self._changed = changed
        self._clock = clock
        self._soon = soon or asyncio.get_running_loop().call_soon
        self._lanes: dict[ShadowId, _Lane] = {}

    def fill(self, contents: Contents) -> None:
        """Begin with what an earlier run left."""
        for shadow, document in contents.documents.items():
            self._lanes[shadow] = _Lane(shadow, document, document)

    def document(self, shadow: ShadowId) -> Document:
        """The newest document, whether or not it is on disk yet."""
        lane = self._lanes.get(shadow)
        return NOTHING if lane is None else lane.document

    def durable(self, shadow: ShadowId) -> Document:
        """The document that is on disk."""
        lane = self._lanes.get(shadow)
        return NOTHING if lane is None else lane.durable

    def documents(self) -> Iterator[tuple[ShadowId, Document]]:
        """Every shadow that exists."""
        return ((lane.shadow, lane.document) for lane in self._lanes.values() if not lane.document.deleted)

    def request(self, shadow: ShadowId, verb: Verb, payload: bytes) -> Commit | None:
        """Carry out a request; gives the Commit of what it changed. Publishes nothing before it returns.

        Raises RefusedError when too much waits for the disk.
        """
        lane = self._lane(shadow)
        most = self._settings.max_waiting
        if len(lane.waiting) >= most:
            raise RefusedError(f"shadow {shadow}: {most} requests wait for the disk")
        try:
            request = understand(verb, payload, self._settings.max_depth)
        except Rejection as refusal:
            reply = rejected(verb, (refusal.code, refusal.text), refusal.token)
            self._answer(lane, _Pending(Request(verb), ready=True, replies=(reply,)))
            return None
        if verb == "get":
            self._answer(lane, _Pending(request, ready=True))
            return None
        return self._change(lane, request)

    def adopt(self, shadow: ShadowId, adoption: Adoption) -> Commit:
        """Make what came from the cloud the document, together with its mark. Raises RefusedError."""
        lane = self._lane(shadow)
        change = Change(shadow, lane.document.version, adoption.document, adoption.mark, adoption.replies)
        if adoption.document is None:
            return self._journal.write(change)[1]
        return self._store(lane, Request("update"), change)

    def send_again(self, notices: Sequence[Notice]) -> None:
        """Publish what an earlier run may not have sent."""
        for notice in notices:
            self._send(notice.shadow, notice.replies, notice.id)

    def _lane(self, shadow: ShadowId) -> _Lane:
        """Its lane, or a new one that is kept once something waits in it."""
        return self._lanes.get(shadow) or _Lane(shadow)

    # Changing

    def _change(self, lane: _Lane, request: Request) -> Commit | None:
        document = lane.document
        now = int(self._clock.now())
        outcome = carry_out(lane.shadow, request, document, now, self._settings.document_bytes)
        replies = outcome.replies
        if document.version == 0 and outcome.document is not None and self._is_full():
            outcome, replies = type(outcome)(), (rejected(request.verb, TOO_MANY, request.token),)
        if outcome.document is None:
            self._answer(lane, _Pending(request, ready=True, replies=replies))
            return None
        return self._store(
            lane, request, Change(lane.shadow, document.version, outcome.document, None, replies)
        )

    def _is_full(self) -> bool:
        return len(self._lanes) >= self._settings.max_documents

    def _store(self, lane: _Lane, request: Request, change: Change) -> Commit:
        assert change.document is not None  # callers store documents
        notice, commit = self._journal.write(change)
        pending = _Pending(request, ready=False, replies=change.replies, notice=notice)
        lane.document = change.document
        self._wait(lane, pending)
        if commit.resolved:  # the store is closed: fail without publishing from within a delivery
            self._settle(lane, pending, change.document, lane.generation, commit.error)
            self._pump_soon(lane)
        else:
            commit.when_done(partial(self._stored, lane, pending, change.document, lane.generation))
        return commit

    def _stored(
        self, lane: _Lane, pending: _Pending, document: Document, generation: int, error: Exception | None
    ) -> None:
        self._settle(lane, pending, document, generation, error)
        self._pump(lane)
        self._changed(lane.shadow)

    def _settle(
        self, lane: _Lane, pending: _Pending, document: Document, generation: int, error: Exception | None
    ) -> None:
        pending.ready = True
        if error is None:
            lane.durable = document
            return
        pending.replies = (rejected(pending.request.verb, INTERNAL, pending.request.token),)
        pending.notice = 0
        if generation == lane.generation:
            lane.generation += 1
            lane.document = lane.durable

    # Answering

    def _answer(self, lane: _Lane, pending: _Pending) -> None:
        self._wait(lane, pending)
        self._pump_soon(lane)

    def _wait(self, lane: _Lane, pending: _Pending) -> None:
        lane.waiting.append(pending)
        self._lanes[lane.shadow] = lane

    def _pump_soon(self, lane: _Lane) -> None:
        self._soon(partial(self._pump, lane))

    def _pump(self, lane: _Lane) -> None:
        """Send what is ready, in order. A get sees exactly the changes before it."""
        while lane.waiting and lane.waiting[0].ready:
            pending = lane.waiting.popleft()
            replies = pending.replies
            if pending.request.verb == "get" and not replies:
                replies = self._get(lane, pending.request)
            self._send(lane.shadow, replies, pending.notice)
        if not lane.waiting and lane.document.version == 0:
            self._lanes.pop(lane.shadow, None)  # asked for, but never made

    def _get(self, lane: _Lane, request: Request) -> tuple[Reply, ...]:
        return carry_out(lane.shadow, request, lane.durable, int(self._clock.now()), 0).replies

    def _send(self, shadow: ShadowId, replies: Sequence[Reply], notice: int) -> None:
        prefix = shadow.prefix
        commits: list[Commit] = []
        for reply in replies:
            commits += self._publish(f"{prefix}/{reply.suffix}", reply.payload)
        if not notice:
            return
        if commits:
            when_all_done(commits, partial(self._sent, notice))
        else:
            self._journal.sent((notice,))

    def _sent(self, notice: int, error: Exception | None) -> None:
        if error is None:
            self._journal.sent((notice,))
