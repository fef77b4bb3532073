"""Synchronises shadows with the cloud over a CloudLink. Decides nothing itself: see replica.py.

While the link is up, the service runs one task per shadow (`follow`): it subscribes, gets, merges, pushes,
and then waits for changes of either side; so at most one request per shadow is in flight, and what changes
meanwhile goes with the next. What the cloud announces is taken in as it arrives, and acknowledged after it
is durable here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Final

import msgspec

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import (
    CloudError,
    PermanentCloudError,
    RefusedError,
    StoreError,
)
from edgecore.base.interfaces import CloudLink
from edgecore.shadow.announcement import Announcement, read
from edgecore.shadow.document import Document, JsonObject
from edgecore.shadow.journal import Change, Journal
from edgecore.shadow.reconcile import State
from edgecore.shadow.replica import NEVER, Mark, Push, Seen, adopt, judge, next_push, patched
from edgecore.shadow.requests import MAX_PAYLOAD
from edgecore.shadow.settings import ShadowSettings
from edgecore.shadow.shadows import Shadows
from edgecore.shadow.topics import ShadowId

log = logging.getLogger(__name__)

# What is asked of the cloud per shadow. AWS discourages shadow/#, and allows 50 subscriptions a connection.
SUBSCRIPTIONS: Final = ("update/accepted", "update/rejected", "delete/accepted", "get/+")
NOT_FOUND: Final = 404
CONFLICT: Final = 409
THROTTLED: Final = 429
FAULT_FROM: Final = 500


class _Step(Enum):
    """What a step of a shadow's task came to."""

    IDLE = "idle"
    DONE = "done"
    RETRY = "retry"


@dataclass(slots=True)
class _Replica:
    """One synchronised shadow while this process runs.

    `stale`: what the cloud has must be got. `stored`: the mark that is on disk. `storing`: what came from
    the cloud and is not durable yet. `refused`: the local version that the cloud refuses. `unreadable`:
    announcements that were none.
    """

    shadow: ShadowId
    mark: Mark = NEVER
    stored: Mark = NEVER
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stale: bool = True
    token: str = ""
    sent: Push | None = None
    known_when_sent: int = 0
    reply: asyncio.Future[Announcement] | None = None
    storing: Commit | None = None
    refused: int = 0
    problem: str = ""
    conflicts: int = 0
    unreadable: int = 0


class ShadowSync:
    """Keeps the shadows `ids` the same here and in the cloud. `token` gives unguessable short texts."""

    def __init__(
        self,
        settings: ShadowSettings,
        ids: Sequence[ShadowId],
        shadows: Shadows,
        journal: Journal,
        link: CloudLink,
        clock: Clock,
        random: Callable[[], float],
        token: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._shadows = shadows
        self._journal = journal
        self._link = link
        self._clock = clock
        self._random = random
        self._token = token
        self._replicas = {shadow: _Replica(shadow) for shadow in ids}
        self._slots = asyncio.Semaphore(settings.requests_in_flight)
        self._up = asyncio.Event()
        self._down = asyncio.Event()

    def fill(self, marks: Mapping[ShadowId, Mark]) -> None:
        """Begin with the marks of an earlier run."""
        for shadow, replica in self._replicas.items():
            replica.mark = replica.stored = marks.get(shadow, NEVER)

    def changed(self, shadow: ShadowId) -> None:
        """The local document of `shadow` has changed."""
        replica = self._replicas.get(shadow)
        if replica is not None:
            replica.wake.set()

    def status(self) -> dict[str, object]:
        """How many shadows are synchronised, which lag behind, and what hinders them."""
        replicas = self._replicas.values()
        return {
            "link": "up" if self._link.connected else "down",
            "synced": len(replicas),
            "pending": sum(self._is_pending(replica) for replica in replicas),
            "last_synced": max((replica.mark.synced_at for replica in replicas), default=0) or None,
            "conflicts": sum(replica.conflicts for replica in replicas),
            "unreadable": sum(replica.unreadable for replica in replicas),
            "problems": {str(replica.shadow): replica.problem for replica in replicas if replica.problem},
        }

    def _is_pending(self, replica: _Replica) -> bool:
        return next_push(replica.mark, self._shadows.durable(replica.shadow)) is not None

    # Connections

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Know whether the link is up, within the context."""
        unwatch = self._link.watch(self._link_changed)
        self._link_changed(self._link.connected)
        try:
            yield
        finally:
            unwatch()

    async def connected(self) -> None:
        """Wait until the link is up."""
        while not self._up.is_set():  # it may go down again before this task runs
            await self._up.wait()
        self._down.clear()

    async def disconnected(self) -> None:
        """Wait until the link that was up has gone down."""
        await self._down.wait()
        log.info("shadow sync: the link is down; local shadows go on")

    def _link_changed(self, connected: bool) -> None:
        if connected:
            self._up.set()
        else:
            self._up.clear()
            self._down.set()

    # One shadow

    async def follow(self, shadow: ShadowId) -> None:
        """Subscribe, get, and push what the cloud lacks: a task per shadow, for as long as the link is up."""
        replica = self._replicas[shadow]
        replica.stale = True
        replica.refused = 0
        delays = self._delays()
        subscribed = False
        while True:
            replica.wake.clear()
            try:
                if not subscribed:
                    await self._subscribe(replica)
                    subscribed = True
                step = await self._step(replica)
            except (CloudError, StoreError) as error:
                self._note(replica, str(error))
                step = _Step.RETRY
                if isinstance(error, PermanentCloudError) and not subscribed:
                    return  # not allowed to listen: the next connection tries again
            if step is _Step.RETRY:
                await asyncio.sleep(next(delays))
                continue
            delays = self._delays()
            if step is _Step.IDLE:
                await replica.wake.wait()

    def _delays(self) -> Iterator[float]:
        return self._settings.retry.delays(self._random)

    async def _subscribe(self, replica: _Replica) -> None:
        prefix = len(replica.shadow.prefix) + 1

        def receive(topic: str, payload: bytes) -> Commit | None:
            return self._receive(replica, topic[prefix:], payload)

        async with self._slots:
            for suffix in SUBSCRIPTIONS:
                await self._link.subscribe(replica.shadow.topic(suffix), receive)

    async def _step(self, replica: _Replica) -> _Step:
        """One request, if one is due."""
        if not await self._is_stored(replica):
            return _Step.RETRY
        async with self._slots:
            push = None if replica.stale else self._due(replica)
            if not replica.stale and push is None:
                return _Step.IDLE
            reply = await self._request(replica, push)
        return self._judge_reply(replica, push, reply)

    async def _is_stored(self, replica: _Replica) -> bool:
        """Wait until what came from the cloud is durable here: nothing is pushed before."""
        commit = replica.storing
        if commit is None:
            return True
        stored = asyncio.Event()
        commit.when_done(lambda _: stored.set())
        await stored.wait()
        replica.storing = None
        return commit.error is None

    def _due(self, replica: _Replica) -> Push | None:
        document = self._shadows.durable(replica.shadow)
        if replica.refused and document.version == replica.refused:
            return None
        return next_push(replica.mark, document)

    async def _request(self, replica: _Replica, push: Push | None) -> Announcement | None:
        """Send `push`, or a get; gives the cloud's reply, None when there was none in time."""
        token = self._token()
        verb, body = (push.verb, push.body) if push is not None else ("get", {})
        replica.token, replica.sent, replica.known_when_sent = token, push, replica.mark.cloud_version
        replica.reply = asyncio.get_running_loop().create_future()
        if push is None:
            replica.stale = False  # a gap that is met from now on makes it stale again
        try:
            async with asyncio.timeout(self._settings.reply_timeout):
                payload = msgspec.json.encode({**body, "clientToken": token})
                await self._link.publish(replica.shadow.topic(verb), payload)
                return await replica.reply
        except TimeoutError:
            return None
        except BaseException:
            replica.stale = True
            raise
        finally:
            replica.token, replica.sent, replica.reply = "", None, None

    def _judge_reply(self, replica: _Replica, push: Push | None, reply: Announcement | None) -> _Step:
        if reply is None:
            self._note(replica, "the cloud did not reply")
        elif reply.code == 0 or (push is None and reply.code == NOT_FOUND):
            replica.problem = ""
            return _Step.DONE
        elif push is not None and reply.code == CONFLICT:
            replica.stale = True
            return _Step.DONE
        else:
            self._note(replica, f"the cloud replied {reply.code} {reply.message}")
            if push is not None and reply.code != THROTTLED and reply.code < FAULT_FROM:
                replica.refused = push.local_version
                return _Step.DONE
        replica.stale = True
        return _Step.RETRY

    def _note(self, replica: _Replica, problem: str) -> None:
        if problem != replica.problem:
            log.warning("shadow %s is not synchronised: %s", replica.shadow, problem)
        replica.problem = problem

    # What the cloud says

    def _receive(self, replica: _Replica, suffix: str, payload: bytes) -> Commit | None:
        """Take in a message; gives what must be durable before it is acknowledged."""
        try:
            said = read(payload)
        except ValueError as error:
            self._refuse(replica, suffix, str(error))
            return None
        own = bool(replica.token) and said.clientToken == replica.token
        try:
            commit = self._take_in(replica, suffix, said, own)
        except RefusedError as error:
            # The disk is far behind: get it all again, after a delay.
            replica.storing = commit = Commit()
            commit.resolve(error)
            self._get_again(replica)
        if own and replica.reply is not None and not replica.reply.done():
            replica.reply.set_result(said)
        return commit

    def _refuse(self, replica: _Replica, suffix: str, reason: str) -> None:
        """Count what is no announcement; the first of each shadow is worth a line."""
        if not replica.unreadable:
            log.warning("shadow %s: %s from the cloud cannot be read: %s", replica.shadow, suffix, reason)
        replica.unreadable += 1

    def _take_in(self, replica: _Replica, suffix: str, said: Announcement, own: bool) -> Commit | None:
        match suffix:
            case "update/accepted":
                return self._cloud_updated(replica, said, own)
            case "delete/accepted":
                return self._cloud_deleted(replica, said, own)
            case "get/accepted" if own:
                return self._cloud_is(replica, said)
            case "get/rejected" if own and said.code == NOT_FOUND:
                return self._adopt(replica, None, 0)
        return None

    def _cloud_updated(self, replica: _Replica, said: Announcement, own: bool) -> Commit | None:
        seen = judge(replica.mark, said.version)
        if seen is Seen.GAP:
            self._get_again(replica)
        if seen is not Seen.NEXT:
            return None
        theirs = patched(replica.mark.base, said.state)
        if Document(theirs).size() > MAX_PAYLOAD:
            # No publish could hold it, so the cloud has no such document: what it has is to be got.
            self._refuse(replica, "update/accepted", f"the document would be above {MAX_PAYLOAD} bytes")
            self._get_again(replica)
            return None
        if own and replica.sent is not None:
            return self._pushed(replica, theirs, said.version, replica.sent)
        return self._adopt(replica, theirs, said.version)

    def _cloud_deleted(self, replica: _Replica, said: Announcement, own: bool) -> Commit | None:
        mark = replica.mark
        if own and replica.sent is not None:
            return self._pushed(replica, None, said.version + 1, replica.sent)
        if mark.base is None or said.version < mark.cloud_version:
            return None
        if said.version > mark.cloud_version:
            self._get_again(replica)
            return None
        return self._adopt(replica, None, said.version + 1)

    def _cloud_is(self, replica: _Replica, said: Announcement) -> Commit | None:
        if said.version < replica.mark.cloud_version and replica.mark.cloud_version > replica.known_when_sent:
            # Overtaken by an update that came while the reply was on its way.
            self._get_again(replica)
            return None
        state: JsonObject = {name: section for name, section in (said.state or {}).items() if name != "delta"}
        return self._adopt(replica, patched(None, state), said.version)

    def _get_again(self, replica: _Replica) -> None:
        replica.stale = True
        replica.wake.set()

    def _adopt(self, replica: _Replica, theirs: State, version: int) -> Commit | None:
        ours = self._shadows.document(replica.shadow)
        adoption = adopt(replica.mark, ours, theirs, version, int(self._clock.now()))
        replica.conflicts += adoption.conflicts
        commit = None
        if adoption.document is not None or adoption.mark.differs(replica.mark):
            commit = self._shadows.adopt(replica.shadow, adoption)
        self._remember(replica, adoption.mark, commit)
        return commit

    def _pushed(self, replica: _Replica, theirs: State, version: int, push: Push) -> Commit:
        mark = Mark(theirs, version, push.local_version, int(self._clock.now()))
        _, commit = self._journal.write(Change(replica.shadow, mark=mark))
        self._remember(replica, mark, commit)
        return commit

    def _remember(self, replica: _Replica, mark: Mark, commit: Commit | None) -> None:
        """Go on from `mark`; if it cannot be stored, fall back to the one on disk and get all again."""
        replica.mark = mark
        replica.wake.set()
        if commit is not None:
            replica.storing = commit
            commit.when_done(partial(self._stored, replica, mark))

    def _stored(self, replica: _Replica, mark: Mark, error: Exception | None) -> None:
        if error is None:
            replica.stored = mark
            return
        self._note(replica, str(error))
        replica.mark = replica.stored
        self._get_again(replica)
