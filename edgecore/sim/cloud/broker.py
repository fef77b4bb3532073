"""The simulated cloud's message broker and where it meets the shadow service. Pure: no sockets.

Connections hand in what their clients send and are told, by `wake(client_id)`, that a session has
something to send. Time is monotonic seconds, but epoch seconds for shadow documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from edgecore.base.topic import split_share
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import SubscriptionOptions, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud import rules
from edgecore.sim.cloud.sessions import REDELIVERY_SECONDS, Published, Session
from edgecore.sim.cloud.shadows import Shadows, parse_topic

# Topics whose receivers are remembered: few are in use at one time; the bound is for a flood.
MAX_MEMO: Final = 4096

_Match = tuple[Session, SubscriptionOptions]
_Receivers = tuple[list[_Match], dict[str, list[_Match]]]


@dataclass(slots=True)
class _PendingWill:
    due: float
    client_id: str
    message: Published


class Broker:
    """All sessions, retained messages and shadows of the account."""

    def __init__(
        self, shadows: Shadows, wake: Callable[[str], None], redelivery: float = REDELIVERY_SECONDS
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Published] = {}
        self.published = 0
        self.ingested = 0
        self._shadows = shadows
        self._wake = wake
        self._redelivery = redelivery
        self._wills: list[_PendingWill] = []
        self._turns: dict[str, int] = {}
        self._memo: dict[str, _Receivers] = {}

    # -- sessions

    def open(self, client_id: str, version: int, clean: bool, now: float) -> tuple[Session, bool]:
        """The session of a client id, and whether it is resumed. Versions do not share sessions."""
        session = self.sessions.get(client_id)
        if session is not None and session.expires_at is not None and now >= session.expires_at:
            session = None
        if session is None or clean or session.version != version:
            self._end(client_id, now)
            session = self.sessions[client_id] = Session(client_id, version)
            self._memo.clear()
            return session, False
        # 5, 3.1.3.2.2: a client that comes back in time has its will withdrawn.
        self._wills = [will for will in self._wills if will.client_id != client_id]
        return session, True

    def lost(self, session: Session, expiry: int, will: Will | None, now: float) -> None:
        """The connection of a session is gone. `will` is None after an orderly DISCONNECT."""
        if self.sessions.get(session.client_id) is not session:
            return
        session.detach(now, expiry)
        if will is not None:
            due = now + min(will.properties.integer(ids.WILL_DELAY_INTERVAL), expiry)
            message = message_of(
                will.topic, will.payload, will.qos, will.retain, will.properties, due, session.client_id
            )
            self._wills.append(_PendingWill(due, session.client_id, message))
        if expiry == 0:
            self._end(session.client_id, now)
        self._send_wills(now)

    def tick(self, now: float) -> None:
        """Do what is due: session ends, delayed wills, redeliveries."""
        for session in tuple(self.sessions.values()):
            if session.expires_at is not None and now >= session.expires_at:
                self._end(session.client_id, now)
            elif session.online and session.overdue(now, self._redelivery):
                self._wake(session.client_id)
        self._send_wills(now)

    def _end(self, client_id: str, now: float) -> None:
        """Forget a session; its will is due at once (5, 3.1.3.2.2)."""
        if self.sessions.pop(client_id, None) is not None:
            self._memo.clear()
        for will in self._wills:
            if will.client_id == client_id:
                will.due = now

    def _send_wills(self, now: float) -> None:
        due = [will for will in self._wills if will.due <= now]
        self._wills = [will for will in self._wills if will.due > now]
        for will in due:
            # The shadow service ignores wills; subscribers and retained messages do not.
            self._route(will.message)

    # -- subscriptions

    def subscribe(self, session: Session, options: SubscriptionOptions, now: float) -> int:
        """Grant or refuse one filter; gives the SUBACK reason code. Retained messages follow."""
        refusal = rules.refuse_filter(split_share(options.topic_filter)[1])
        if refusal is not None:
            return refusal
        known = options.topic_filter in session.filters
        if not known and len(session.filters) >= rules.MAX_SUBSCRIPTIONS:
            return ReasonCode.QUOTA_EXCEEDED
        session.filters[options.topic_filter] = options
        self._memo.clear()
        if options.retain_handling == 0 or (options.retain_handling == 1 and not known):
            self._offer_retained(session, options, now)
        return options.qos

    def unsubscribe(self, session: Session, topic_filter: str) -> int:
        """Take a filter back; gives the UNSUBACK reason code."""
        if session.filters.pop(topic_filter, None) is None:
            return ReasonCode.NO_SUBSCRIPTION_EXISTED
        self._memo.clear()
        return ReasonCode.SUCCESS

    def _offer_retained(self, session: Session, options: SubscriptionOptions, now: float) -> None:
        """AWS: only for a filter that is exactly the retained topic, never for wildcards or shares."""
        message = self.retained.get(options.topic_filter)
        if message is not None and not message.expired(now):
            session.offer(message, min(message.qos, options.qos), retain=True)

    # -- messages

    def publish(self, message: Published, wall: int) -> None:
        """Take a client's message: to subscribers, to the shadow service and its replies too."""
        self.published += 1
        if rules.is_rule(message.topic):
            self.ingested += 1  # basic ingest goes to a rule; there are none here, as for an unknown rule
            return
        self._route(message)
        request = parse_topic(message.topic) if message.topic.startswith("$aws/things/") else None
        if request is not None:
            for reply in self._shadows.handle(*request, message.payload, wall):
                self._route(Published(reply.topic, reply.payload, 1))

    def _route(self, message: Published) -> None:
        if message.retain:
            self._retain(message)
        receivers, shares = self._receivers(message.topic)
        for session, options in receivers:
            if not (options.no_local and message.origin == session.client_id):
                self._offer(session, options, message, message.retain and options.retain_as_published)
        for topic_filter, members in shares.items():
            self._offer(*self._whose_turn(topic_filter, members), message, retain=False)

    def _offer(
        self, session: Session, options: SubscriptionOptions, message: Published, retain: bool
    ) -> None:
        session.offer(message, min(message.qos, options.qos), retain)
        self._wake(session.client_id)

    def _retain(self, message: Published) -> None:
        if message.payload:
            self.retained[message.topic] = message
        else:
            self.retained.pop(message.topic, None)

    def _receivers(self, topic: str) -> _Receivers:
        """Each session that gets the topic by its best subscription, and the share groups that do."""
        found = self._memo.get(topic)
        if found is None:
            if len(self._memo) >= MAX_MEMO:
                self._memo.clear()
            sessions = self.sessions.values()
            plain = [(session, best) for session in sessions if (best := _best(session, topic)) is not None]
            found = self._memo[topic] = (plain, _shares(sessions, topic))
        return found

    def _whose_turn(self, topic_filter: str, members: list[_Match]) -> _Match:
        """One member of a share group after the other; those that are online first."""
        turn = self._turns[topic_filter] = self._turns.get(topic_filter, -1) + 1
        online = [member for member in members if member[0].online] or members
        return online[turn % len(online)]

    def status(self) -> dict[str, object]:
        """Counts, for the line that the simulator prints at its end."""
        return {
            "sessions": len(self.sessions),
            "online": sum(session.online for session in self.sessions.values()),
            "published": self.published,
            "ingested": self.ingested,
            "retained": len(self.retained),
        }


def _best(session: Session, topic: str) -> SubscriptionOptions | None:
    matching = [
        options
        for topic_filter, options in session.filters.items()
        if not topic_filter.startswith("$share/") and rules.receives(topic_filter, topic)
    ]
    return max(matching, key=lambda options: options.qos, default=None)


def _shares(sessions: Iterable[Session], topic: str) -> dict[str, list[_Match]]:
    groups: dict[str, list[_Match]] = {}
    for session in sessions:
        for topic_filter, options in session.filters.items():
            share, below = split_share(topic_filter)
            if share and rules.receives(below, topic):
                groups.setdefault(topic_filter, []).append((session, options))
    return groups


def message_of(
    topic: str, payload: bytes, qos: int, retain: bool, properties: PropertyMap, now: float, origin: str
) -> Published:
    """A client's PUBLISH as a message: expiry within AWS's bounds, alias and identifiers left behind."""
    expiry = rules.message_expiry(properties)
    kept = PropertyMap({key: value for key, value in properties.items() if key in rules.FORWARDED})
    expires_at = None if expiry is None else now + expiry
    return Published(topic, payload, qos, retain, kept, expires_at, origin)
