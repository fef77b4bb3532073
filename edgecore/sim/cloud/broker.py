"""The simulated cloud's message broker and where it meets the services. Pure: no sockets.

Connections hand in what their clients send and are told, by `wake(client_id)`, that a session has
something to send. Time is monotonic seconds; `epoch` is what epoch seconds are ahead of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgecore.base.topic import split_share
from edgecore.mqtt import properties as ids
from edgecore.mqtt.packets import SubscriptionOptions, Will
from edgecore.mqtt.properties import PropertyMap
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.sim.cloud import rules, shares
from edgecore.sim.cloud.access import Account
from edgecore.sim.cloud.faults import Faults
from edgecore.sim.cloud.jobs import Jobs
from edgecore.sim.cloud.limits import NONE, UNLIMITED, Buckets, Limits
from edgecore.sim.cloud.policy import Statement
from edgecore.sim.cloud.presence import Event, Presence
from edgecore.sim.cloud.services import Services
from edgecore.sim.cloud.sessions import REDELIVERY_SECONDS, Published, Session
from edgecore.sim.cloud.shadows import Key, Reply, Shadows
from edgecore.sim.cloud.shares import Shares

# Topics whose receivers are remembered: few are in use at one time; the bound is for a flood.
MAX_MEMO: Final = 4096
# The newest messages that went to rules, for tests to look at.
MAX_INGESTED: Final = 1000

_Match = tuple[Session, SubscriptionOptions]
_Receivers = tuple[list[_Match], dict[str, list[_Match]]]


@dataclass(slots=True)
class _PendingWill:
    due: float
    client_id: str
    message: Published


class Broker:
    """All sessions, retained messages and services of the account."""

    def __init__(
        self,
        shadows: Shadows,
        wake: Callable[[str], None],
        redelivery: float = REDELIVERY_SECONDS,
        limits: Limits = NONE,
        account: Account | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, Published] = {}
        self.retained_at: dict[str, float] = {}
        self.ingested: deque[Published] = deque(maxlen=MAX_INGESTED)
        self.account = account or Account()
        self.faults = faults or Faults()
        self.presence = Presence()
        self.jobs = Jobs()
        self.services = Services(shadows, self.jobs)
        self.epoch = 0.0
        self.throttled = 0
        self._published = 0
        self._ingested = 0
        self._usual = limits
        self._wake = wake
        self._redelivery = redelivery
        self._wills: list[_PendingWill] = []
        self._shares = Shares()
        self._memo: dict[str, _Receivers] = {}
        self._watched: bool | None = None
        self._apply_limits()

    @property
    def limits(self) -> Limits:
        """The rate limits that hold now."""
        return self._limits

    def change_faults(self, name: str | None, value: str | None = None, *, on: bool = True) -> None:
        """Put a fault on or off (all of them for None). Raises EdgecoreError."""
        if on and name is not None:
            self.faults.set(name, value)
        else:
            self.faults.clear(name)
        self.account.deny(tuple(denial(one) for one in self.faults.state.deny))
        self._apply_limits()

    def _apply_limits(self) -> None:
        self._limits = limits = self.faults.state.limits(self._usual)
        self.unlimited = limits.publishes == limits.retained == UNLIMITED
        self.connects = Buckets(limits.connects)
        self.retains = Buckets(limits.retained)
        self.handed = Buckets(limits.shared)
        self.services.limit(limits.shadow)

    def wall(self, now: float) -> float:
        """Epoch seconds at monotonic `now`, as the cloud's clock has it."""
        return now + self.epoch + self.faults.state.skew

    # -- sessions

    def open(self, client_id: str, version: int, clean: bool, now: float) -> tuple[Session, bool]:
        """The session of a client id, and whether it is resumed. Versions do not share sessions."""
        session = self.sessions.get(client_id)
        if session is not None and session.expires_at is not None and now >= session.expires_at:
            session = None
        if session is None or clean or session.version != version:
            self._end(client_id, now)
            session = self.sessions[client_id] = Session(client_id, version)
            self._changed()
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
        """Do what is due: session ends, delayed wills, redeliveries, replays, timers of jobs."""
        for session in tuple(self.sessions.values()):
            if session.expires_at is not None and now >= session.expires_at:
                self._end(session.client_id, now)
            elif session.online and (session.overdue(now, self._redelivery) or session.replaying):
                self._wake(session.client_id)
        self._send_wills(now)
        self.hand_out(now)
        self.announce(self.jobs.tick(int(self.wall(now))), now)

    def hand_out(self, now: float) -> None:
        """Give those that are online what waits in their share groups."""
        for client_id in self._shares.hand_out(self.sessions.values(), self.handed, now):
            self._wake(client_id)

    def forget(self, client_id: str, now: float) -> None:
        """End a session whose connection is gone."""
        self._end(client_id, now)

    def _end(self, client_id: str, now: float) -> None:
        """Forget a session; its will is due at once (5, 3.1.3.2.2)."""
        if self.sessions.pop(client_id, None) is not None:
            self._changed()
            self._shares.forget(one for session in self.sessions.values() for one in session.filters)
        for will in self._wills:
            if will.client_id == client_id:
                will.due = now

    def _send_wills(self, now: float) -> None:
        due = [will for will in self._wills if will.due <= now]
        self._wills = [will for will in self._wills if will.due > now]
        for will in due:
            # The shadow service ignores wills; subscribers and retained messages do not.
            self._route(will.message, now)

    # -- subscriptions

    def subscribe(self, session: Session, options: SubscriptionOptions, now: float) -> int:
        """Grant or refuse one filter; gives the SUBACK reason code. Retained messages follow."""
        refusal = rules.refuse_filter(options.topic_filter)
        if refusal is not None:
            return refusal
        known = options.topic_filter in session.filters
        if not known and self._too_many(session, options.topic_filter):
            return ReasonCode.QUOTA_EXCEEDED
        session.filters[options.topic_filter] = options
        self._changed()
        if options.retain_handling == 0 or (options.retain_handling == 1 and not known):
            self._offer_retained(session, options, now)
        return options.qos

    def _too_many(self, session: Session, topic_filter: str) -> bool:
        if len(session.filters) >= rules.MAX_SUBSCRIPTIONS:
            return True
        is_shared = topic_filter.startswith("$share/")
        return is_shared and shares.refuse_member(self.sessions.values(), topic_filter)

    def unsubscribe(self, session: Session, topic_filter: str) -> bool:
        """Take a filter back; gives whether it was there."""
        if session.filters.pop(topic_filter, None) is None:
            return False
        self._changed()
        return True

    def _changed(self) -> None:
        """Sessions or filters are others now."""
        self._memo.clear()
        self._watched = None

    def _offer_retained(self, session: Session, options: SubscriptionOptions, now: float) -> None:
        """AWS: only for a filter that is exactly the retained topic, never for wildcards or shares."""
        message = self.retained.get(options.topic_filter)
        if message is not None and not message.expired(now):
            session.offer(message, min(message.qos, options.qos), retain=True)

    # -- messages

    def publish(self, message: Published, now: float) -> None:
        """Take a client's message: to subscribers, to the services and their replies too."""
        self._published += 1
        if rules.is_rule(message.topic):
            # Basic ingest goes past the broker to a rule; there are none here, as for an unknown rule.
            self._ingested += 1
            self.ingested.append(message)
            return
        self._route(message, now)
        if not message.topic.startswith("$aws/things/"):
            return
        answer = self.services.answer(message.topic, message.payload, now, int(self.wall(now)))
        self._answer(message.origin, answer.direct)
        self.announce(answer.published, now)

    def ask_shadow(self, key: Key, operation: str, payload: bytes, now: float) -> Reply:
        """A request over HTTPS: its answer. What it changed is told on MQTT, a failure is not."""
        replies = self.services.ask_shadow(key, operation, payload, now, int(self.wall(now)))
        if operation != "get" and replies[-1].topic.endswith("/accepted"):
            self.announce(replies, now)
        return replies[-1]

    def announce(self, replies: list[Reply], now: float) -> None:
        """Publish what a service says."""
        for reply in replies:
            self._route(Published(reply.topic, reply.payload, 1), now)

    def tell(self, events: list[Event], now: float) -> None:
        """Publish lifecycle events, where anybody listens to any."""
        if self._watched is None:
            filters = {one for session in self.sessions.values() for one in session.filters}
            self._watched = any(split_share(one)[1].startswith("$aws/events/") for one in filters)
        if self._watched:
            for event in events:
                self._route(Published(event.topic, event.payload, 1), now)

    def _answer(self, client_id: str, replies: list[Reply]) -> None:
        """Replies straight to the client that asked, subscribed or not."""
        session = self.sessions.get(client_id)
        for reply in replies if session is not None else ():
            assert session is not None, "the loop is empty without one"
            best = _best(session, reply.topic)
            session.offer(Published(reply.topic, reply.payload, 1), best.qos if best else 0, retain=False)
            self._wake(client_id)

    def _route(self, message: Published, now: float) -> None:
        if message.retain:
            self._retain(message, now)
        receivers, groups = self._receivers(message.topic)
        for session, options in receivers:
            if not (options.no_local and message.origin == session.client_id):
                self._offer(session, options, message, message.retain and options.retain_as_published)
        for group, members in groups.items():
            chosen = self._shares.choose(group, members)
            if chosen is not None:
                self._offer(*chosen, message, retain=False)
            elif message.qos:
                self._shares.keep(group, message)

    def _offer(
        self, session: Session, options: SubscriptionOptions, message: Published, retain: bool
    ) -> None:
        session.offer(message, min(message.qos, options.qos), retain)
        self._wake(session.client_id)

    def _retain(self, message: Published, now: float) -> None:
        if message.payload:
            self.retained[message.topic] = message
            self.retained_at[message.topic] = self.wall(now)
        else:
            self.retained.pop(message.topic, None)
            self.retained_at.pop(message.topic, None)

    def _receivers(self, topic: str) -> _Receivers:
        """Each session that gets the topic by its best subscription, and the share groups that do."""
        found = self._memo.get(topic)
        if found is None:
            if len(self._memo) >= MAX_MEMO:
                self._memo.clear()
            sessions = self.sessions.values()
            plain = [(session, best) for session in sessions if (best := _best(session, topic)) is not None]
            found = self._memo[topic] = (plain, shares.groups_of(sessions, topic))
        return found

    def status(self) -> dict[str, object]:
        """Counts, for the control door and the line that the simulator prints at its end."""
        return {
            "sessions": len(self.sessions),
            "online": sum(session.online for session in self.sessions.values()),
            "published": self._published,
            "ingested": self._ingested,
            "retained": len(self.retained),
            "throttled": self.throttled,
            "waiting": self._shares.waiting,
        }


def _best(session: Session, topic: str) -> SubscriptionOptions | None:
    matching = [
        options
        for topic_filter, options in session.filters.items()
        if not topic_filter.startswith("$share/") and rules.receives(topic_filter, topic)
    ]
    return max(matching, key=lambda options: options.qos, default=None)


def message_of(
    topic: str, payload: bytes, qos: int, retain: bool, properties: PropertyMap, now: float, origin: str
) -> Published:
    """A client's PUBLISH as a message: expiry within AWS's bounds, alias and identifiers left behind."""
    if not properties:
        return Published(topic, payload, qos, retain, origin=origin)
    expiry = rules.message_expiry(properties)
    kept = PropertyMap({key: value for key, value in properties.items() if key in rules.FORWARDED})
    expires_at = None if expiry is None else now + expiry
    return Published(topic, payload, qos, retain, kept, expires_at, origin)


def denial(value: str) -> Statement:
    """A statement that denies ACTION or ACTION=RESOURCE."""
    action, _, resource = value.partition("=")
    return Statement(allows=False, actions=(action,), resources=(resource or "*",))
