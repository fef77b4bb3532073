"""The sessions that outlive their connections, and the wills: when each begins, waits and ends.

Knows no packets and no sockets. Times that must survive a restart are counted in the core's own age, the
seconds that it has run so far: a Pi's wall clock may begin at 1970, and nothing may end early because of
it. What passes while the core is off is not counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from edgecore.base import identity
from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.base.group import DeviceSpec
from edgecore.base.identity import Principal
from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import is_row
from edgecore.listener.crowd import Crowd
from edgecore.listener.orphan_wills import WILL_GRACE, OrphanWills
from edgecore.listener.pool import Pool
from edgecore.listener.reassigning import Reassigning, inherited
from edgecore.listener.records import SessionRecord, WillRecord, decode_session
from edgecore.listener.settings import MAX_IN_FLIGHT, ListenerSettings
from edgecore.listener.shelf import Bounds
from edgecore.listener.stored_session import Connection, StoredSession
from edgecore.mqtt.inbound import Inbound
from edgecore.router import Router
from edgecore.store import Loaded, SessionStore

_log = logging.getLogger(__name__)

# Seconds between notes of the core's age: what a power cut may add to the life of a session.
AGE_INTERVAL: Final = 3600.0
# The row in which the age stands; sessions' keys begin at 1.
AGE_KEY: Final = 0


@dataclass(frozen=True, slots=True)
class Opening:
    """What a CONNECT begins with.

    `session`: the one that is kept, or None; `present`: it was there before. `will_key`: the row of the
    will of a session that is not kept, or 0. `commits`: what must be durable before CONNACK.
    """

    session: StoredSession | None
    present: bool
    will_key: int
    commits: tuple[Commit, ...]


class KeptSessions:
    """All kept sessions, by (principal, client id): a client id alone is no key to anything."""

    def __init__(self, store: SessionStore, router: Router, settings: ListenerSettings, clock: Clock) -> None:
        self._store = store
        self._router = router
        self._settings = settings
        self._clock = clock
        self._pool = Pool(settings.sessions_bytes)
        # The window of an earlier run may have been any that there can be.
        self._bounds = Bounds(settings.session_records, settings.session_bytes, MAX_IN_FLIGHT)
        self._sessions: dict[tuple[str, str], StoredSession] = {}
        self._untold: dict[int, StoredSession] = {}  # by key: the disk could not be told what they are now
        self._ending: dict[tuple[str, str], Commit] = {}  # their ends are not durable yet
        self._reassigning = Reassigning(store, router, self._pool, clock)
        self.wills = OrphanWills(store, self._publish, clock)
        self._devices = Crowd()
        self._born = clock.monotonic()
        self._age_noted = 0.0
        self._lost: Counter[str] = Counter()
        self._expired = 0

    async def open(self) -> None:
        """Take over what an earlier run left. Raises StoreError. Once, when the router has its routes."""
        self.restore(await self._store.open())

    # A connection begins and ends -----------------------------------------------------------------

    def begin(
        self,
        connection: Connection,
        principal: Principal,
        client_id: str,
        *,
        clean: bool,
        expiry: int,
        will: WillRecord | None,
    ) -> Opening:
        """What this client goes on with: its session, a new one that is kept, or none.

        Raises RefusedError when no more sessions can be kept.
        """
        name = principal.id, client_id
        session = self._sessions.get(name)
        if session is None and expiry:
            self._check_room(principal)
        commits = list(self.wills.come_back(principal, client_id))
        if name in self._ending:
            commits.append(self._ending[name])  # that there is none must be true after a power cut, too
        if session is not None and clean:
            commits.append(self.discard(session))
            session = None
        if session is None and not expiry:
            key = 0
            if will is not None:
                key, commit = self.wills.keep(principal, client_id, will)
                commits.append(commit)
            return Opening(None, present=False, will_key=key, commits=tuple(commits))
        present = session is not None
        session = session or self._make(self._store.new_key(), principal, client_id, [])
        session.rename(principal)
        session.connection, session.expiry, session.will = connection, expiry, will
        session.ended = session.expires_at = session.will_at = None
        session.inbound.reconnect()
        try:
            # Also where nothing is new: all commits that are under way for this session come before this one.
            # And also on a full disk: whoever comes for the messages that fill it must get them.
            commits.append(self._renew(session) if present and will is None else self.save(session))
        except RefusedError:
            self.end(session, expiry if present else 0, lost=False)
            raise
        return Opening(session, present, 0, tuple(commits))

    def end(self, session: StoredSession, expiry: int, *, lost: bool) -> None:
        """Note that the connection is gone. `expiry`: as the client said last. `lost`: its will is due."""
        session.connection = None
        session.outbound.detach()
        session.expiry = expiry
        if not lost:
            session.will = None
        if not expiry:
            self.discard(session)
            return
        now = self._clock.monotonic()
        session.ended = now - self._born
        session.expires_at = now + expiry
        if session.will is not None:
            session.will_at = now + session.will.delay
            self._publish_due_will(session, now)
        self._tell(session)
        self._router.invalidate()

    def stop(self, session: StoredSession) -> None:
        """Note that the core takes the connection away because it stops: as after a power cut."""
        now = self._clock.monotonic()
        session.connection = None
        session.outbound.detach()
        session.expires_at = now + session.expiry
        if session.will is not None:
            session.will_at = now + max(session.will.delay, WILL_GRACE)

    def holds(self, principal: Principal, client_id: str) -> bool:
        """Whether a session of that client is kept."""
        return (principal.id, client_id) in self._sessions

    def save(self, session: StoredSession) -> Commit:
        """Let the disk know what the session is now."""
        return self._store.save(session.key, session.record())

    def _renew(self, session: StoredSession) -> Commit:
        """The same where its record has not grown: this needs no room on the disk."""
        return self._store.renew(session.key, session.record())

    def _tell(self, session: StoredSession) -> None:
        """Let the disk know what the session is now; if it takes nothing now, at a later sweep."""
        self._untold.pop(session.key, None)
        try:
            self.save(session).when_done(partial(self._told, session))
        except RefusedError:
            self._untold[session.key] = session

    def _told(self, session: StoredSession, error: Exception | None) -> None:
        if error is not None and self._sessions.get((session.principal.id, session.client_id)) is session:
            self._untold[session.key] = session

    def discard(self, session: StoredSession) -> Commit:
        """End the session. A will that waits is due now (5, 3.1.2.5); what others may have goes to them."""
        self._sessions.pop((session.principal.id, session.client_id), None)
        self._untold.pop(session.key, None)
        self._devices.leave(session.principal.id)
        self._lost.update(session.outbound.lost)
        session.subscribing.leave()
        if session.will is not None and session.connection is None:
            self._publish(session.will, session.principal)
        session.connection = None
        rows, for_others = session.outbound.clear()
        name = session.principal.id, session.client_id
        commit = self._ending[name] = self._store.discard(session.key, rows)
        commit.when_done(partial(self._ended, name, commit))
        self._reassigning.take(for_others)
        return commit

    def _ended(self, name: tuple[str, str], commit: Commit, _error: Exception | None) -> None:
        if self._ending.get(name) is commit:
            del self._ending[name]

    # QoS 2 from the client ------------------------------------------------------------------------

    def take(self, session: StoredSession, packet_id: int) -> Commit:
        """Remember the identifier of a QoS 2 PUBLISH. Raises RefusedError."""
        return self._store.insert_incoming(session.key, packet_id)

    def let_go(self, session: StoredSession, packet_id: int) -> Commit:
        """Forget it: PUBREL came."""
        return self._store.erase_incoming(session.key, packet_id)

    # Time, and what others decide -----------------------------------------------------------------

    def sweep(self) -> None:
        """Publish the wills that are due, end the sessions whose time is over, note the core's age."""
        now = self._clock.monotonic()
        for session in list(self._sessions.values()):
            if session.expires_at is not None and now >= session.expires_at:
                _log.info("session expired device=%s client_id=%r", session.principal.id, session.client_id)
                self._expired += 1
                self.discard(session)
            elif self._publish_due_will(session, now) or session.key in self._untold:
                self._tell(session)
        self.wills.sweep(now)
        self._reassigning.go_on()
        age = now - self._born
        if age - self._age_noted >= AGE_INTERVAL:
            self._note_age(age)

    def _note_age(self, age: float) -> None:
        try:
            self._store.save(AGE_KEY, msgspec.msgpack.encode(age))
            self._age_noted = age
        except RefusedError:
            pass  # at the next sweep

    def forget(self, principal: Principal) -> None:
        """End all sessions of a device that was revoked, and its wills with them."""
        for session in [each for each in self._sessions.values() if each.principal.id == principal.id]:
            session.will = None
            self.discard(session)
        self.wills.forget(principal)

    def review(self, admits: Callable[[str], DeviceSpec | None]) -> None:
        """Follow a new group: who has left it gets nothing more, who has come back does."""
        for session in self._sessions.values():
            spec = admits(session.principal.name)
            if spec is None:
                session.subscribing.leave()
            else:
                session.rename(identity.device(spec.name, spec.thing))
                session.subscribing.renew()
        self.wills.review(admits)

    def status(self) -> dict[str, object]:
        """Counts for `edgecore status` and the metrics."""
        sessions = self._sessions.values()
        lost = sum((each.outbound.lost for each in sessions), self._lost + self._reassigning.lost)
        return {
            "sessions": len(sessions),
            "away": sum(each.connection is None for each in sessions),
            "expired": self._expired,
            "queued": sum(each.outbound.queued for each in sessions),
            "in_flight": sum(each.outbound.in_flight for each in sessions),
            "bytes": self._pool.bytes,
            "dropped": dict(lost),
        }

    # What an earlier run left ---------------------------------------------------------------------

    def restore(self, loaded: Loaded) -> None:
        """Make sessions of rows; what cannot be read is logged and goes."""
        records = dict(_readable(loaded))
        self._resume_age(loaded, records)
        incoming: dict[int, list[int]] = {}
        for key, packet_id in loaded.incoming:
            incoming.setdefault(key, []).append(packet_id)
        by_key: dict[int, StoredSession] = {}
        for key, record in records.items():
            if record.expiry:
                by_key[key] = self._restore(key, record, incoming.get(key, []))
            elif record.will is not None:
                self.wills.wait(key, Principal(*record.principal), record.client_id, record.will)
        for_others = self._restore_messages(loaded, records, by_key)
        for key in {*incoming, *(key for key, _ in loaded.sessions)} - by_key.keys() - {AGE_KEY}:
            if key not in records or records[key].will is None:
                self._store.discard(key, ())
        for key, session in by_key.items():
            self._subscribe_again(session, records[key])
        self._reassigning.take(for_others)

    def _resume_age(self, loaded: Loaded, records: Mapping[int, SessionRecord]) -> None:
        """The core is as old as it last noted, or as it was when the last connection ended after that."""
        noted = next((bytes_ for key, bytes_ in loaded.sessions if key == AGE_KEY), None)
        ends = (record.ended for record in records.values() if record.ended is not None)
        self._age_noted = max((_age(noted), *ends))
        self._born = self._clock.monotonic() - self._age_noted

    def _restore(self, key: int, record: SessionRecord, incoming: list[int]) -> StoredSession:
        session = self._make(key, Principal(*record.principal), record.client_id, incoming)
        now = self._clock.monotonic()
        age = now - self._born
        was_connected = record.ended is None
        session.expiry, session.will = record.expiry, record.will
        session.ended = age if record.ended is None else record.ended
        away = age - session.ended
        session.expires_at = now + max(0.0, record.expiry - away)
        if record.will is not None:
            delay = max(record.will.delay, WILL_GRACE) if was_connected else record.will.delay - away
            session.will_at = now + max(0.0, delay)
        return session

    def _restore_messages(
        self, loaded: Loaded, records: Mapping[int, SessionRecord], by_key: Mapping[int, StoredSession]
    ) -> list[Entry]:
        """Sort the messages: to their sessions; gives those that others may have whose session is no more."""
        nobodys, for_others = list(loaded.messages.unusable), []
        for row in loaded.messages:
            session = by_key.get(row.session)
            if session is not None and is_row(row.packet_id, row.flags):
                record = records[row.session]
                # While it was connected anything may have been sent; the disk does not know of each.
                session.outbound.restore(row, sent=record.ended is None or row.id <= record.sent_to)
                continue
            entry = inherited(row) if session is None else None
            if entry is None:
                nobodys.append(row.id)
            else:
                for_others.append(entry)
                self._pool.bytes += entry.size
        if nobodys:
            self._store.erase(nobodys)
        return for_others

    def _subscribe_again(self, session: StoredSession, record: SessionRecord) -> None:
        for lost in session.subscribing.restore(record.subscriptions):
            _log.error("a subscription is lost key=%d filter=%r", session.key, lost.topic_filter[:128])
        if record.ended is None:
            self.save(session)  # only now that all is here again: it is the whole record that is written

    # Inside ---------------------------------------------------------------------------------------

    def _check_room(self, principal: Principal) -> None:
        settings = self._settings
        if len(self._sessions) >= settings.max_sessions:
            raise RefusedError(f"{len(self._sessions)} sessions are kept: listener.max_sessions is reached")
        if self._devices.count(principal.id) >= settings.max_connections_per_device:
            raise RefusedError(
                f"{self._devices.count(principal.id)} sessions of {principal} are kept: "
                "listener.max_connections_per_device is reached"
            )

    def _make(self, key: int, principal: Principal, client_id: str, incoming: list[int]) -> StoredSession:
        session = StoredSession(
            key,
            principal,
            client_id,
            self._router,
            self._store,
            self._bounds,
            self._pool,
            Inbound(self._settings.receive_maximum, incoming),
            self._settings.max_subscriptions,
        )
        self._sessions[principal.id, client_id] = session
        self._devices.enter(principal.id)
        return session

    def _publish_due_will(self, session: StoredSession, now: float) -> bool:
        will, at = session.will, session.will_at
        if will is None or at is None or now < at:
            return False
        session.will = session.will_at = None
        self._publish(will, session.principal)
        return True

    def _publish(self, will: WillRecord, sender: Principal) -> None:
        self._router.publish(will.message(sender, self._clock.now()))


def _readable(loaded: Loaded) -> Iterator[tuple[int, SessionRecord]]:
    for key, data in loaded.sessions:
        if key == AGE_KEY:
            continue
        try:
            yield key, decode_session(data)
        except StoreError as error:
            _log.error("a session is lost key=%d reason=%r", key, str(error))


def _age(data: bytes | None) -> float:
    try:
        return msgspec.msgpack.decode(data, type=float) if data is not None else 0.0
    except msgspec.DecodeError:
        return 0.0
