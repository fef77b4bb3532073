"""Joins a dialogue with this core's documents: stores what it takes in, hands on what it wants sent.

Knows no event loop: `outward` takes the actions that need the link or time. So everything that decides about
a synchronised shadow, and everything that is written of it, runs the same under the tests of its laws.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit, when_all_done
from edgecore.base.errors import RefusedError
from edgecore.shadow.announcement import read
from edgecore.shadow.dialogue import Dialogue
from edgecore.shadow.document import MAX_DEPTH
from edgecore.shadow.events import Action, Event, Local, Said, Store, Stored
from edgecore.shadow.shadows import Shadows
from edgecore.shadow.topics import ShadowId

log = logging.getLogger(__name__)


class Exchange:
    """One synchronised shadow while this process runs. `max_depth`: levels in what the cloud may say."""

    def __init__(
        self,
        shadow: ShadowId,
        dialogue: Dialogue,
        shadows: Shadows,
        clock: Clock,
        outward: Callable[[Action], None],
        max_depth: int = MAX_DEPTH,
    ) -> None:
        self.shadow = shadow
        self.dialogue = dialogue
        self._shadows = shadows
        self._clock = clock
        self._outward = outward
        self._max_depth = max_depth
        self._told = ""
        self._unreadable = 0

    @property
    def local(self) -> Local:
        """Our side of it, now."""
        newest, durable = self._shadows.document(self.shadow), self._shadows.durable(self.shadow)
        return Local(newest, durable, int(self._clock.now()))

    @property
    def unreadable(self) -> int:
        """Messages of the cloud that were none."""
        return self._unreadable + self.dialogue.oversized

    def feed(self, event: Event) -> list[Commit]:
        """Let the event happen; gives what is to be durable before the event is acknowledged."""
        commits = []
        for action in self.dialogue.handle(event, self.local):
            if isinstance(action, Store):
                commits.append(self._store(action))
            else:
                self._outward(action)
        self._tell()
        return commits

    def receive(self, suffix: str, payload: bytes) -> Commit | None:
        """Take in a message of the cloud; gives what must be durable before it is acknowledged."""
        try:
            said = read(payload, self._max_depth)
        except ValueError as error:
            if not self._unreadable:  # the first of each shadow is worth a line
                log.warning("shadow %s: %s from the cloud cannot be read: %s", self.shadow, suffix, error)
            self._unreadable += 1
            return None
        commits = self.feed(Said(suffix, said))
        if len(commits) < 2:
            return commits[0] if commits else None
        whole = Commit()
        when_all_done(commits, whole.resolve)
        return whole

    def _store(self, store: Store) -> Commit:
        try:
            commit = self._shadows.adopt(self.shadow, store.adoption)
        except RefusedError as error:  # the disk is far behind
            commit = Commit()
            commit.resolve(error)
        commit.when_done(partial(self._stored, store.number))
        return commit

    def _stored(self, number: int, error: Exception | None) -> None:
        self.feed(Stored(number, "" if error is None else str(error)))

    def _tell(self) -> None:
        problem = self.dialogue.problem
        if problem and problem != self._told:
            log.warning("shadow %s is not synchronised: %s", self.shadow, problem)
        self._told = problem
