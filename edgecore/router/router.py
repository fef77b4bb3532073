"""publish: authorise, retain, match, deliver. The only place where a message changes hands.

Promises, each held by a test: publish is synchronous and creates no task; every receiver sees one
order; a receiver that refuses or is slow affects only itself; a denied publish is observable; nothing
is delivered after unsubscribe returns; a target with no receiver is refused at QoS 1 and 2, never
acknowledged and lost; a share group gets one copy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.group import DeviceSpec, Row
from edgecore.base.identity import CORE, Principal
from edgecore.base.interfaces import Receipt, Receiver, Subscriber
from edgecore.base.message import EXACTLY_ONCE, Message
from edgecore.base.topic import matches, split_share
from edgecore.router.denials import Denials, Tell
from edgecore.router.plan import Delivery, Match, Plan, SharedDelivery, changed_by, to_port
from edgecore.router.retained import RetainedKeeper, RetainedMessages
from edgecore.router.routes import Grant, RouteTable
from edgecore.router.subscriptions import Subscription, SubscriptionTable

# Plans kept, one per (sender, topic) in use. At about 300 bytes each this is some 10 MB at the most;
# a site that uses more topics than this pays for a new look-up, not with memory.
MAX_PLANS: Final = 32_768
# Reasons of refusals that are counted apart; they name ports and queues, which are few.
MAX_REFUSED: Final = 1_000

# Where the core tells of itself, as Mosquitto names it. Figures of this run, so none outlives it.
SYS_PREFIX: Final = "$SYS/"

DENIED: Final = Receipt(allowed=False)


class Router:
    """The corridor. Implements base.interfaces.Bus; used by one thread only."""

    def __init__(
        self,
        clock: Clock,
        keeper: RetainedKeeper | None = None,
        retained: Iterable[Message] = (),
        tell: Tell | None = None,
    ) -> None:
        """Begin without routes. `tell` is given a line about denials, at most one a minute and principal."""
        self._clock = clock
        self._retained = RetainedMessages(keeper, retained)
        self._routes = RouteTable((), {})
        self._subscriptions = SubscriptionTable()
        self._ports: dict[str, Subscriber] = {}
        self._plans: dict[tuple[str, str] | tuple[str, str, int], Plan] = {}
        self.generation = 0
        # Grows with the rows: what was stored under this number need not be asked about by `permits`.
        self.rows_version = 0
        self.published = 0
        self.delivered = 0
        self.unrouted = 0
        self.refused: Counter[str] = Counter()
        self._denials = Denials(clock, tell)
        self.denied = self._denials.counts

    # What may flow ------------------------------------------------------------------------------

    def set_rows(self, rows: Iterable[Row], devices: Mapping[str, DeviceSpec]) -> None:
        """Make these the routes, at once, for every message from now on."""
        self._routes = RouteTable(rows, devices)
        self.rows_version += 1
        self.invalidate()

    def attach(self, target: str, subscriber: Subscriber) -> None:
        """Be the receiver for a route target that is not a device."""
        self._ports[target] = subscriber
        self.invalidate()

    def detach(self, target: str, subscriber: Subscriber) -> None:
        """Stop receiving for the target, if `subscriber` still holds it."""
        if self._ports.get(target) is subscriber:
            del self._ports[target]
            self.invalidate()

    def subscribe(
        self,
        subscriber: Receiver,
        topic_filter: str,
        qos: int,
        *,
        no_local: bool = False,
        retain_as_published: bool = False,
        identifier: int = 0,
    ) -> bool:
        """Ask for messages on a valid filter; False when no route could ever deliver one.

        A shared one is judged by what follows "$share/NAME/". It is owed no retained messages, and
        `no_local` with it is a protocol error: both are the transport's to know (MQTT 5, 4.8.2, 3.8.3.1).
        """
        if not self.may_subscribe(subscriber.principal, topic_filter):
            self._denials.note(subscriber.principal, "subscribe to", topic_filter)
            return False
        self._subscriptions.add(
            Subscription(subscriber, topic_filter, qos, no_local, retain_as_published, identifier)
        )
        self.invalidate()
        return True

    def may_subscribe(self, principal: Principal, topic_filter: str) -> bool:
        """What `subscribe` would answer now; nobody is denied anything by asking."""
        return self._routes.may_subscribe(principal, split_share(topic_filter)[1])

    def unsubscribe(self, subscriber: Receiver, topic_filter: str) -> bool:
        """Take a subscription back; False when there was none."""
        removed = self._subscriptions.remove(subscriber, topic_filter)
        if removed:
            self.invalidate()
        return removed

    def unsubscribe_all(self, subscriber: Receiver) -> None:
        """Forget everything that this subscriber asked for."""
        if self._subscriptions.remove_all(subscriber):
            self.invalidate()

    def invalidate(self) -> None:
        """Make every plan anew: something that plans rest on has changed.

        For a transport too, when a session that is kept gets or loses its connection.
        """
        self.generation += 1
        self._plans.clear()

    # What is kept -------------------------------------------------------------------------------

    def retained_for(self, subscriber: Subscriber, topic_filter: str) -> list[tuple[Message, int]]:
        """The retained messages that a new subscription is owed, each with its row's QoS cap.

        The caller adds the subscription's own identifier. Nothing for a shared subscription.
        """
        now = self._clock.now()
        owed = []
        known = {
            message.topic: message
            for published in self._routes.published_as(topic_filter)
            for message in self._retained.matching(published)
        }
        for message in known.values():
            if message.expired(now):
                continue
            best: Grant | None = None
            watched = Grant("", message.topic, EXACTLY_ONCE)  # permits nobody but operators
            for grant in (*self._routes.grants(message.sender, message.topic), watched):
                if (
                    (best is None or best.qos < grant.qos)
                    and self._routes.reaches(grant, subscriber.principal)
                    and matches(topic_filter, grant.topic)
                ):
                    best = grant
            if best is not None:
                owed.append((changed_by(best.topic, best.expiry, message, now), best.qos))
        return owed

    def permits(self, message: Message, receiver: Principal) -> bool:
        """Whether a stored message may still go to `receiver`, by the rows of now.

        Judged by (sender, topic that it was published on, receiver), and the topic that it would get
        there must be the one that it has. Need not be asked while `rows_version` is what it was when
        the message was planned.
        """
        if receiver.kind == "operator":
            return True
        topic = message.topic
        return any(
            grant.topic == topic and self._routes.reaches(grant, receiver)
            for grant in self._routes.grants(message.sender, message.origin or topic)
        )

    def forget(self, principal: Principal) -> tuple[Commit, ...]:
        """Erase what the principal retained; the commits say when that is durable."""
        return self._retained.forget(principal)

    # What flows ---------------------------------------------------------------------------------

    def plan_for(self, sender: Principal, topic: str, via: Receiver | None = None) -> Plan:
        """The plan for this sender and topic; valid while `generation` stays the same.

        `via`: the session by which the sender publishes. No-local keeps the message from that one only
        (MQTT 5, 3.8.3.1); when it is not given, from every session of the sender.
        """
        plan = self._known_plan(sender, topic, None)
        return plan if via is None or not plan.no_local else self._known_plan(sender, topic, via)

    def _known_plan(self, sender: Principal, topic: str, via: Receiver | None) -> Plan:
        # By identity: a session that has subscriptions changes the generation when it ends, and one
        # that has none has the same plan as whatever takes its place.
        key = (sender.id, topic) if via is None else (sender.id, topic, id(via))
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plan(sender, topic, via)
            if not self._routes.knows(sender):
                return plan  # a device that left the group, or whose thing changed: no plan for its successor
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def publish(self, message: Message, via: Receiver | None = None) -> Receipt:
        """Authorise, retain, match and deliver, synchronously. `via` as in `plan_for`."""
        self.published += 1
        sender = message.sender
        plan = self._plans.get((sender.id, message.topic)) or self.plan_for(sender, message.topic)
        if not plan.allowed:
            self._deliver(message, plan, [])  # to operators, who may see what flows nowhere
            if sender.kind == "camera":
                self.unrouted += 1  # it says all it sees; what nobody asked for is no attempt
            else:
                self._denials.note(sender, "publish on", message.topic)
            return DENIED
        if message.retain or plan.careful:
            return self._publish_with_care(message, plan, via)
        return self._deliver(message, plan, [])

    def reassign(self, share: str, message: Message, qos: int) -> Receipt:
        """Give a message that a departed member of a share group never acknowledged to another member.

        `share`, `message` and `qos` as they were handed to the member, which must have unsubscribed
        before. Chosen by the same rules, permission included; `receivers` is 0 when nobody is left. Not
        for a QoS 2 message that was sent already: no other may get it (MQTT 5, 4.8.2-5).
        """
        topic = message.topic
        grants = [
            replace(grant, expiry=None)  # which the message bears since it was first handed over
            for grant in self._routes.grants(message.sender, message.origin or topic)
            if grant.topic == topic
        ]
        matches, _ = self._matches(message.sender, topic, grants, None)
        for group in self._to_subscribers(topic, matches)[1]:
            if group.topic_filter != share:
                continue
            try:
                commit = group.deliver(message, qos, message.retain)
            except RefusedError as error:
                return self._refuse(str(error), 1)
            self.delivered += 1
            return Receipt(allowed=True, receivers=1, commits=() if commit is None else (commit,))
        return Receipt(allowed=bool(grants))

    def status(self) -> dict[str, object]:
        """Counts for `edgecore status` and the metrics."""
        return {
            "published": self.published,
            "delivered": self.delivered,
            "unrouted": self.unrouted,
            "denied": dict(self.denied),
            "denied_by_kind": self._denials.by_kind(),
            "refused": dict(self.refused),
            "subscriptions": len(self._subscriptions),
            "shared_subscriptions": self._subscriptions.shared,
            "retained": len(self._retained),
            "retained_bytes": self._retained.bytes,
            "ports": sorted(self._ports),
        }

    def _publish_with_care(self, message: Message, plan: Plan, via: Receiver | None) -> Receipt:
        """Publish what is retained, what no-local is about, or what a row sends where nobody receives now."""
        if plan.no_local and via is not None:
            plan = self._known_plan(message.sender, message.topic, via)
        if plan.missing:
            refused = self._refuse(f"{plan.missing[0]} is not running", len(plan.all))
            if message.qos:
                return refused
        commits: list[Commit] = []
        if message.retain and message.sender == CORE and message.topic.startswith(SYS_PREFIX):
            self._retained.keep_in_memory(message)
        elif message.retain and not message.topic.startswith("$"):  # AWS: none on reserved topics
            try:
                kept = self._retained.put(message, self._clock.now())
            except RefusedError as error:
                return self._refuse(str(error), len(plan.all))
            if kept is not None:
                commits.append(kept)
        return self._deliver(message, plan, commits)

    def _deliver(self, message: Message, plan: Plan, commits: list[Commit]) -> Receipt:
        qos = message.qos
        retain = message.retain
        refusal = ""
        for delivery in plan.all:
            cap = delivery.qos
            try:
                commit = delivery.deliver(message, min(cap, qos), retain and delivery.retain_as_published)
            except RefusedError as error:
                refusal = str(error)
                continue
            if commit is not None and commit not in commits:
                commits.append(commit)
        self.delivered += len(plan.all)
        if refusal:
            return self._refuse(refusal, len(plan.all))
        if commits:
            return Receipt(allowed=True, receivers=len(plan.all), commits=tuple(commits))
        return plan.receipt

    def _plan(self, sender: Principal, topic: str, via: Receiver | None) -> Plan:
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
                deliveries.append(to_port(port, grant, topic, self._clock))
        matches, no_local = self._matches(sender, topic, grants, via)
        singly, shared = self._to_subscribers(topic, matches)
        # The core and its shadows answer whether or not somebody listens; operators may publish anything.
        allowed = bool(grants) or sender.kind in ("core", "shadow", "operator")
        return Plan(allowed, (*deliveries, *singly), shared, tuple(missing), no_local)

    def _to_subscribers(
        self, topic: str, matches: Iterable[Match]
    ) -> tuple[list[Delivery], tuple[SharedDelivery, ...]]:
        """One delivery per subscriber and per share group."""
        singly: list[Delivery] = []
        groups: dict[str, list[tuple[Receiver, Delivery]]] = {}
        for match in matches:
            share = match.subscription.share
            delivery = match.delivery(topic, self._clock)
            if share:
                groups.setdefault(share, []).append((match.subscription.subscriber, delivery))
            else:
                singly.append(delivery)
        table = self._subscriptions
        return singly, tuple(SharedDelivery(table.share(share), members) for share, members in groups.items())

    def _matches(
        self, sender: Principal, topic: str, grants: Iterable[Grant], via: Receiver | None
    ) -> tuple[Iterable[Match], bool]:
        """Whoever asked for the message and may have it, once for itself and once in each share group.

        And whether no-local kept it from somebody.
        """
        found: dict[tuple[str, int], Match] = {}
        no_local = False
        watched = Grant("", topic, EXACTLY_ONCE)  # permits nobody but operators, who may see anything
        for grant in (*(grant for grant in grants if grant.for_devices), watched):
            for subscription in self._subscriptions.match(grant.topic):
                receiver = subscription.subscriber
                if not self._routes.reaches(grant, receiver.principal):
                    continue
                if subscription.no_local and receiver.principal == sender:
                    no_local = True
                    if via is None or via is receiver:
                        continue
                key = (subscription.share, id(receiver))
                known = found.get(key)
                if known is None:
                    found[key] = Match(grant, subscription)
                else:
                    known.add(grant, subscription)
        return found.values(), no_local

    def _refuse(self, reason: str, receivers: int) -> Receipt:
        self.refused[reason if len(self.refused) < MAX_REFUSED else "other"] += 1
        return Receipt(allowed=True, receivers=receivers, refused=reason)
