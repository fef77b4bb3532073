"""A plan: what happens to every message of one sender on one topic. Made once, used for each message.

Says how to hand a message over, and which member of a share group gets it. Who may receive is decided in
routes.py, who asked in subscriptions.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import attrgetter

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.interfaces import Receipt, Receiver, Subscriber
from edgecore.base.message import EXACTLY_ONCE, Message
from edgecore.router.routes import Grant
from edgecore.router.subscriptions import Share, Subscription

Take = Callable[[Message, int, bool], Commit | None]


class Delivery:
    """One receiver of one (sender, topic): how to hand it a message.

    `deliver`: how the subscriber takes one, with what the row changes in it, the identifiers and the
    share. `qos` is the cap by row and subscription; `retain_as_published` the subscription's option;
    `identifiers` those of all its subscriptions that match. `plain`: the message stays as it is and is
    for a client, so that its bytes may be forwarded.
    """

    __slots__ = ("deliver", "identifiers", "plain", "qos", "retain_as_published", "subscriber")

    def __init__(
        self,
        subscriber: Subscriber,
        deliver: Take,
        qos: int,
        rap: bool,
        plain: bool,
        identifiers: tuple[int, ...] = (),
    ) -> None:
        self.subscriber = subscriber
        self.deliver = deliver
        self.qos = qos
        self.retain_as_published = rap
        self.plain = plain
        self.identifiers = identifiers


def to_port(port: Subscriber, grant: Grant, topic: str, clock: Clock) -> Delivery:
    """The delivery to a route target that is not a device, of a message published on `topic`."""
    take = _altering(port.deliver, grant, topic, clock)
    return Delivery(port, take, grant.qos, rap=True, plain=False)


def _altering(take: Take, grant: Grant, topic: str, clock: Clock) -> Take:
    """`take`, after the row's `as` and `expiry`; `take` itself where it has none."""
    if grant.topic == topic and grant.expiry is None:
        return take

    def altered(message: Message, qos: int, retain: bool) -> Commit | None:
        return take(changed_by(grant.topic, grant.expiry, message, clock.now()), qos, retain)

    return altered


class Match:
    """How one receiver gets a message: by the row and the subscription that give it the highest QoS."""

    __slots__ = ("_identifiers", "grant", "qos", "subscription")

    def __init__(self, grant: Grant, subscription: Subscription) -> None:
        self.grant = grant
        self.subscription = subscription
        self.qos = min(grant.qos, subscription.qos)
        self._identifiers: dict[int, int] = {}  # by the identity of the subscription
        self._note(subscription)

    def add(self, grant: Grant, subscription: Subscription) -> None:
        """Take another pair of row and subscription into account."""
        self._note(subscription)
        qos = min(grant.qos, subscription.qos)
        if qos > self.qos:
            self.grant, self.subscription, self.qos = grant, subscription, qos

    def delivery(self, topic: str, clock: Clock) -> Delivery:
        """The delivery of a message that was published on `topic`.

        One copy carries every identifier, an equal one twice (MQTT 5, 3.3.4).
        """
        subscription = self.subscription
        receiver, share = subscription.subscriber, subscription.share
        identifiers = tuple(self._identifiers.values())
        take: Take = receiver.deliver
        if share:
            take = partial(receiver.deliver, identifiers=identifiers, share=share)
        elif identifiers:
            take = partial(receiver.deliver, identifiers=identifiers)
        altering = _altering(take, self.grant, topic, clock)
        is_plain = altering == receiver.deliver and receiver.principal.kind in ("device", "operator")
        rap = subscription.retain_as_published
        return Delivery(receiver, altering, self.qos, rap, is_plain, identifiers)

    def _note(self, subscription: Subscription) -> None:
        if subscription.identifier:
            self._identifiers[id(subscription)] = subscription.identifier


class SharedDelivery:
    """A share group's delivery: each message is handed to one member (MQTT 5, 4.8.2).

    Members take turns: connected ones first, then those whose session is only kept, and of these first
    the ones that would queue it. A member that refuses is passed over. Looks like a Delivery to `publish`.
    """

    __slots__ = ("_away", "_live", "_share", "qos", "retain_as_published")

    def __init__(self, share: Share, members: Sequence[tuple[Receiver, Delivery]]) -> None:
        self._share = share
        self._live = tuple(each for each in members if each[0].connected)
        self._away = tuple(each for each in members if not each[0].connected)
        self.qos = EXACTLY_ONCE
        self.retain_as_published = True

    @property
    def topic_filter(self) -> str:
        """The group's "$share/NAME/FILTER"."""
        return self._share.topic_filter

    @property
    def members(self) -> tuple[Delivery, ...]:
        """Those that may get the message."""
        return tuple(delivery for _, delivery in (*self._live, *self._away))

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:
        """Hand the message to the member that is due. Raises RefusedError when none takes it."""
        refusal = RefusedError("no member of the share group takes the message")
        for member in self._in_turn():
            try:
                return member.deliver(message, min(member.qos, qos), retain and member.retain_as_published)
            except RefusedError as error:
                refusal = error
        raise refusal

    def _in_turn(self) -> Iterator[Delivery]:
        """Yield members as they are due. Who was connected when the plan was made only gives the order."""
        turn = self._share.turn
        self._share.turn += 1
        away: list[Delivery] = []
        for members in (self._live, self._away):
            for index in range(len(members)):
                receiver, delivery = members[(turn + index) % len(members)]
                if receiver.connected:
                    yield delivery
                else:
                    away.append(delivery)
        yield from sorted(away, key=attrgetter("qos"), reverse=True)


class Plan:
    """What happens to every message of one sender on one topic, until routes or subscriptions change.

    `deliveries` have one receiver each, `shared` choose one per message; `all` are both. `missing` names
    the ports that a row leads to and where nobody receives. `plain`: no delivery changes anything in the
    message and none is a port or a share group, so that a transport may forward bytes. `no_local`: it
    depends on the session that publishes. `careful`: it asks for more than to deliver.
    """

    __slots__ = (
        "all",
        "allowed",
        "careful",
        "deliveries",
        "missing",
        "no_local",
        "plain",
        "receipt",
        "shared",
    )

    def __init__(
        self,
        allowed: bool,
        deliveries: tuple[Delivery, ...],
        shared: tuple[SharedDelivery, ...],
        missing: tuple[str, ...],
        no_local: bool,
    ) -> None:
        self.allowed = allowed
        self.deliveries = deliveries
        self.shared = shared
        self.all: tuple[Delivery | SharedDelivery, ...] = (*deliveries, *shared)
        self.missing = missing
        self.no_local = no_local
        self.careful = bool(missing) or no_local
        self.plain = allowed and not missing and not shared and all(each.plain for each in deliveries)
        # The receipt of a publish with nothing to wait for: the same for each message of the plan.
        self.receipt = Receipt(allowed=allowed, receivers=len(self.all))


def changed_by(topic: str, expiry: float | None, message: Message, now: float) -> Message:
    """The message under a row's topic and expiry."""
    if topic == message.topic and expiry is None:
        return message
    ends = message.expires_at
    if expiry is not None:
        ends = now + expiry if ends is None else min(ends, now + expiry)
    return message.moved(topic, ends)
