"""What one client has asked for, at the router and here (5, 3.8 to 3.11). Knows no connection and no disk."""

from __future__ import annotations

from collections.abc import Iterable

from edgecore.base.errors import TopicError
from edgecore.base.interfaces import Receiver
from edgecore.base.topic import SHARE_PREFIX
from edgecore.listener.records import SubscriptionRecord
from edgecore.mqtt.packets import SubscriptionOptions
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.router import Router


class Subscribing:
    """The subscriptions of one client. `receiver` takes the messages; at most `maximum` filters."""

    __slots__ = ("_maximum", "_receiver", "_router", "records")

    def __init__(self, router: Router, receiver: Receiver, maximum: int) -> None:
        self._router = router
        self._receiver = receiver
        self._maximum = maximum
        self.records: dict[str, SubscriptionRecord] = {}

    def subscribe(self, options: SubscriptionOptions, identifier: int) -> int:
        """Ask for messages; gives the reason code for SUBACK. A filter asked for again is replaced."""
        topic_filter = options.topic_filter
        if topic_filter not in self.records and len(self.records) >= self._maximum:
            return ReasonCode.QUOTA_EXCEEDED
        record = SubscriptionRecord(
            topic_filter, options.qos, options.no_local, options.retain_as_published, identifier
        )
        try:
            if not self._ask(record):
                return ReasonCode.NOT_AUTHORIZED
        except TopicError:
            return ReasonCode.TOPIC_FILTER_INVALID
        self.records[topic_filter] = record
        return options.qos

    def unsubscribe(self, topic_filter: str) -> int:
        """Take a subscription back; gives the reason code for UNSUBACK."""
        self._router.unsubscribe(self._receiver, topic_filter)
        known = self.records.pop(topic_filter, None)
        return ReasonCode.NO_SUBSCRIPTION_EXISTED if known is None else ReasonCode.SUCCESS

    def restore(self, records: Iterable[SubscriptionRecord]) -> None:
        """Take over what an earlier run had. What no route can deliver to now is asked for again later."""
        self.records = {record.topic_filter: record for record in records}
        self.renew()

    def renew(self) -> None:
        """Ask the router for everything anew: its routes may allow more than before."""
        for record in self.records.values():
            self._ask(record)

    def leave(self) -> None:
        """Take nothing more from the router; what was asked for is remembered."""
        self._router.unsubscribe_all(self._receiver)

    def send_retained(self, options: SubscriptionOptions, identifier: int, *, is_new: bool) -> None:
        """Deliver the retained messages that a subscription just granted is owed (5, 3.8.3.1 and 3.3.1.3).

        None for a shared one (5, 4.8.2).
        """
        handling, topic_filter = options.retain_handling, options.topic_filter
        if handling == 2 or (handling == 1 and not is_new) or topic_filter.startswith(SHARE_PREFIX):
            return
        identifiers = (identifier,) if identifier else ()
        for message, cap in self._router.retained_for(self._receiver, topic_filter):
            qos = min(message.qos, cap, options.qos)
            self._receiver.deliver(message, qos, retain=True, identifiers=identifiers)

    def _ask(self, record: SubscriptionRecord) -> bool:
        return self._router.subscribe(
            self._receiver,
            record.topic_filter,
            record.qos,
            no_local=record.no_local,
            retain_as_published=record.retain_as_published,
            identifier=record.identifier,
        )
