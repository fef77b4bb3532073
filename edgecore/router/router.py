"""publish: authorise, retain, match, deliver. The only place where a message changes hands.

Promises, each held by a test: publish is synchronous and creates no task; every receiver sees one
order; a receiver that refuses or is slow affects only itself; a denied publish is observable; nothing
is delivered after unsubscribe returns; a target with no receiver is refused at QoS 1 and 2, never
acknowledged and lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.identity import CORE, Principal
from edgecore.base.interfaces import Receipt, Subscriber
from edgecore.base.message import EXACTLY_ONCE, Message
from edgecore.base.topic import matches
from edgecore.router.retained import RetainedKeeper, RetainedMessages
from edgecore.router.routes import Grant, RouteTable
from edgecore.router.subscriptions import Subscription, SubscriptionTable

# Plans kept, one per (sender, topic) in use. At about 300 bytes each this is some 10 MB at the most;
# a site that uses more topics than this pays for a new look-up, not with memory.
MAX_PLANS: Final = 32_768
# Principals whose denials are counted apart; a device decides nothing but its own count.
MAX_DENIED: Final = 1_000

# Where the core tells of itself, as Mosquitto names it. Figures of this run, so none outlives it.
SYS_PREFIX: Final = "$SYS/"

DENIED: Final = Receipt(allowed=False)


class Delivery:
    """One receiver of one (sender, topic): what to hand it, and how.

    `qos` is the cap by row and subscription; `topic` and `expiry` what the row changes (None: as it
    was); `retain_as_published` the subscription's option.
    """

    __slots__ = ("deliver", "expiry", "qos", "retain_as_published", "subscriber", "topic")

    def __init__(self, subscriber: Subscriber, grant: Grant, topic: str, qos: int, rap: bool) -> None:
        self.subscriber = subscriber
        self.deliver = subscriber.deliver
        self.qos = qos
        self.topic = grant.topic if grant.topic != topic else None
        self.expiry = grant.expiry
        self.retain_as_published = rap


class Plan:
    """What happens to every message of one sender on one topic, until routes or subscriptions change.

    `missing` names the ports that a row leads to and where nobody receives. `plain`: no delivery
    changes anything in the message and none is a port, so that a transport may forward bytes.
    """

    __slots__ = ("allowed", "deliveries", "missing", "plain", "receipt")

    def __init__(self, allowed: bool, deliveries: tuple[Delivery, ...], missing: tuple[str, ...]) -> None:
        self.allowed = allowed
        self.deliveries = deliveries
        self.missing = missing
        self.plain = allowed and not missing and all(_is_plain(each) for each in deliveries)
        # The receipt of a publish with nothing to wait for: the same for each message of the plan.
        self.receipt = Receipt(allowed=allowed, receivers=len(deliveries))


class Router:
    """The corridor. Implements base.interfaces.Bus; used by one thread only."""

    def __init__(
        self,
        clock: Clock,
        keeper: RetainedKeeper | None = None,
        retained: Iterable[Message] = (),
    ) -> None:
        self._clock = clock
        self._retained = RetainedMessages(keeper, retained)
        self._routes = RouteTable((), {})
        self._subscriptions = SubscriptionTable()
        self._ports: dict[str, Subscriber] = {}
        self._plans: dict[tuple[str, str], Plan] = {}
        self.generation = 0
        self.published = 0
        self.delivered = 0
        self.unrouted = 0
        self.refused: Counter[str] = Counter()
        self.denied: Counter[str] = Counter()

    # What may flow ------------------------------------------------------------------------------

    def set_rows(self, rows: Iterable[Row], devices: Mapping[str, DeviceSpec]) -> None:
        """Make these the routes, at once, for every message from now on."""
        self._routes = RouteTable(rows, devices)
        self._changed()

    def attach(self, target: str, subscriber: Subscriber) -> None:
        """Be the receiver for a route target that is not a device."""
        self._ports[target] = subscriber
        self._changed()

    def detach(self, target: str, subscriber: Subscriber) -> None:
        """Stop receiving for the target, if `subscriber` still holds it."""
        if self._ports.get(target) is subscriber:
            del self._ports[target]
            self._changed()

    def subscribe(
        self,
        subscriber: Subscriber,
        topic_filter: str,
        qos: int,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
    ) -> bool:
        """Ask for messages on a valid filter; False when no route could ever deliver one."""
        if not self._routes.may_subscribe(subscriber.principal, topic_filter):
            self._deny(subscriber.principal)
            return False
        self._subscriptions.add(Subscription(subscriber, topic_filter, qos, no_local, retain_as_published))
        self._changed()
        return True

    def unsubscribe(self, subscriber: Subscriber, topic_filter: str) -> bool:
        """Take a subscription back; False when there was none."""
        removed = self._subscriptions.remove(subscriber, topic_filter)
        if removed:
            self._changed()
        return removed

    def unsubscribe_all(self, subscriber: Subscriber) -> None:
        """Forget everything that this subscriber asked for."""
        if self._subscriptions.remove_all(subscriber):
            self._changed()

    def retained_for(self, subscriber: Subscriber, topic_filter: str) -> list[tuple[Message, int]]:
        """The retained messages that a new subscription is owed, each with its row's QoS cap."""
        now = self._clock.now()
        owed = []
        for message in self._retained:
            if message.expired(now):
                continue
            watched = Grant("", message.topic, EXACTLY_ONCE)
            for grant in (*self._routes.grants(message.sender, message.topic), watched):
                if grant.permits(subscriber.principal) and matches(topic_filter, grant.topic):
                    owed.append((_changed_by(grant.topic, grant.expiry, message, now), grant.qos))
                    break
        return owed

    # What flows ---------------------------------------------------------------------------------

    def plan_for(self, sender: Principal, topic: str) -> Plan:
        """The plan for this sender and topic; valid while `generation` stays the same."""
        key = (sender.id, topic)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._plan(sender, topic)
        return plan

    def publish(self, message: Message) -> Receipt:
        """Authorise, retain, match and deliver, synchronously."""
        self.published += 1
        sender = message.sender
        plan = self._plans.get((sender.id, message.topic)) or self.plan_for(sender, message.topic)
        if not plan.allowed:
            self._deliver(message, plan, [])  # to operators, who may see what flows nowhere
            if sender.kind == "camera":
                self.unrouted += 1  # it says all it sees; what nobody asked for is no attempt
            else:
                self._deny(sender)
            return DENIED
        if message.retain or plan.missing:
            return self._publish_with_care(message, plan)
        return self._deliver(message, plan, [])

    def status(self) -> dict[str, object]:
        """Counts for `edgecore status` and the metrics."""
        return {
            "published": self.published,
            "delivered": self.delivered,
            "unrouted": self.unrouted,
            "denied": dict(self.denied),
            "denied_by_kind": self._denied_by_kind(),
            "refused": dict(self.refused),
            "subscriptions": len(self._subscriptions),
            "retained": len(self._retained),
            "ports": sorted(self._ports),
        }

    def _publish_with_care(self, message: Message, plan: Plan) -> Receipt:
        """Publish what is retained, or what a row sends where nobody receives now."""
        if plan.missing:
            refused = self._refuse(f"{plan.missing[0]} is not running", plan)
            if message.qos:
                return refused
        commits: list[Commit] = []
        if message.retain and message.sender == CORE and message.topic.startswith(SYS_PREFIX):
            self._retained.keep_in_memory(message)
        elif message.retain and not message.topic.startswith("$"):  # AWS: none on reserved topics
            try:
                kept = self._retained.put(message)
            except RefusedError as error:
                return self._refuse(str(error), plan)
            if kept is not None:
                commits.append(kept)
        return self._deliver(message, plan, commits)

    def _deliver(self, message: Message, plan: Plan, commits: list[Commit]) -> Receipt:
        qos = message.qos
        retain = message.retain
        refusal = ""
        for delivery in plan.deliveries:
            each = message
            if delivery.topic is not None or delivery.expiry is not None:
                each = _changed_by(
                    delivery.topic or message.topic, delivery.expiry, message, self._clock.now()
                )
            cap = delivery.qos
            try:
                commit = delivery.deliver(each, min(cap, qos), retain and delivery.retain_as_published)
            except RefusedError as error:
                refusal = str(error)
                continue
            if commit is not None and commit not in commits:
                commits.append(commit)
        self.delivered += len(plan.deliveries)
        if refusal:
            return self._refuse(refusal, plan)
        if commits:
            return Receipt(allowed=True, receivers=len(plan.deliveries), commits=tuple(commits))
        return plan.receipt

    def _plan(self, sender: Principal, topic: str) -> Plan:
        grants = self._routes.grants(sender, topic)
        deliveries: list[Delivery] = []
        missing: list[str] = []
        for grant in grants:
            if grant.for_devices:
                continue
            port = self._ports.get(grant.target)
            if port is None:
                missing.append(grant.target)
            else:
                deliveries.append(Delivery(port, grant, topic, grant.qos, rap=True))
        deliveries.extend(self._to_subscribers(sender, topic, grants))
        # The core and its shadows answer whether or not somebody listens; operators may publish anything.
        allowed = bool(grants) or sender.kind in ("core", "shadow", "operator")
        return Plan(allowed, tuple(deliveries), tuple(missing))

    def _to_subscribers(self, sender: Principal, topic: str, grants: tuple[Grant, ...]) -> list[Delivery]:
        """One delivery per subscriber, at the highest QoS that any row and subscription give."""
        best: dict[int, Delivery] = {}
        watched = Grant("", topic, EXACTLY_ONCE)  # permits nobody but operators, who may see anything
        for grant in (*(grant for grant in grants if grant.for_devices), watched):
            for subscription in self._subscriptions.match(grant.topic):
                receiver = subscription.subscriber
                if not grant.permits(receiver.principal):
                    continue
                if subscription.no_local and receiver.principal == sender:
                    continue
                qos = min(grant.qos, subscription.qos)
                known = best.get(id(receiver))
                if known is None or known.qos < qos:
                    rap = subscription.retain_as_published
                    best[id(receiver)] = Delivery(receiver, grant, topic, qos, rap)
        return list(best.values())

    def _refuse(self, reason: str, plan: Plan) -> Receipt:
        self.refused[reason if len(self.refused) < MAX_DENIED else "other"] += 1
        return Receipt(allowed=True, receivers=len(plan.deliveries), refused=reason)

    def _deny(self, principal: Principal) -> None:
        known = principal.id in self.denied or len(self.denied) < MAX_DENIED
        self.denied[principal.id if known else "other"] += 1

    def _denied_by_kind(self) -> dict[str, int]:
        kinds: Counter[str] = Counter()
        for principal, count in self.denied.items():
            kinds[principal.partition(":")[0]] += count
        return dict(kinds)

    def _changed(self) -> None:
        self.generation += 1
        self._plans.clear()


def _is_plain(delivery: Delivery) -> bool:
    return (
        delivery.topic is None
        and delivery.expiry is None
        and delivery.subscriber.principal.kind in ("device", "operator")
    )


def _changed_by(topic: str, expiry: float | None, message: Message, now: float) -> Message:
    if topic == message.topic and expiry is None:
        return message
    ends = message.expires_at
    if expiry is not None:
        ends = now + expiry if ends is None else min(ends, now + expiry)
    return message.moved(topic, ends)
