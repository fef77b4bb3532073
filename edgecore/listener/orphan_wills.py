"""The wills of clients whose sessions are not kept: on disk while they are connected, and afterwards.

A power cut, or a core that stops, says nothing of a client: its will waits until it has had time to come
back. Knows no packets and no sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgecore.base import identity
from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.group import DeviceSpec
from edgecore.base.identity import Principal
from edgecore.listener.records import VERSION, SessionRecord, WillRecord, encode_session
from edgecore.store import SessionStore

# After a restart devices come back by themselves, within a minute with the usual back-off. A will that is
# published before would say "lost" of one that is not (5, 3.1.2.5 lets a server put wills off after a
# failure).
WILL_GRACE: Final = 60.0

Publish = Callable[[WillRecord, Principal], None]


@dataclass(slots=True)
class _Orphan:
    """A will whose client is not here. `key`: its row. `at`: when it is due, in monotonic seconds."""

    key: int
    principal: Principal
    will: WillRecord
    at: float


class OrphanWills:
    """By (principal, client id), as sessions are."""

    def __init__(self, store: SessionStore, publish: Publish, clock: Clock) -> None:
        self._store = store
        self._publish = publish
        self._clock = clock
        self._waiting: dict[tuple[str, str], _Orphan] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def keep(self, principal: Principal, client_id: str, will: WillRecord) -> tuple[int, Commit]:
        """Let the disk have the will of a client that connects; gives its row. Raises RefusedError."""
        key = self._store.new_key()
        who = principal.kind, principal.name, principal.thing
        record = SessionRecord(VERSION, who, client_id, 0, None, (), will)
        return key, self._store.save(key, encode_session(record))

    def drop(self, key: int) -> None:
        """Forget a will by its row: it was published, or is not due."""
        self._store.discard(key, ())

    def wait(self, key: int, principal: Principal, client_id: str, will: WillRecord) -> None:
        """Give the client of that will time to come back: the core, or a power cut, took its connection."""
        earlier = self._waiting.pop((principal.id, client_id), None)
        if earlier is not None:
            self.drop(earlier.key)
        at = self._clock.monotonic() + WILL_GRACE
        self._waiting[principal.id, client_id] = _Orphan(key, principal, will, at)

    def come_back(self, principal: Principal, client_id: str) -> tuple[Commit, ...]:
        """Forget the will of a client that is here again."""
        orphan = self._waiting.pop((principal.id, client_id), None)
        return () if orphan is None else (self._store.discard(orphan.key, ()),)

    def sweep(self, now: float) -> None:
        """Publish those that are due. `now`: monotonic seconds."""
        for name, orphan in list(self._waiting.items()):
            if now >= orphan.at:
                del self._waiting[name]
                self._publish(orphan.will, orphan.principal)
                self.drop(orphan.key)

    def forget(self, principal: Principal) -> None:
        """Forget the wills of a device that was revoked."""
        for name in [name for name in self._waiting if name[0] == principal.id]:
            self.drop(self._waiting.pop(name).key)

    def review(self, admits: Callable[[str], DeviceSpec | None]) -> None:
        """Follow a new group: a device may have been given another thing."""
        for orphan in self._waiting.values():
            spec = admits(orphan.principal.name)
            if spec is not None:
                orphan.principal = identity.device(spec.name, spec.thing)
