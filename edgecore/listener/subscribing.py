"""What one client has asked for, at the router and here (5, 3.8 to 3.11). Knows no connection and no disk."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edgecore.base.errors import RefusedError, TopicError
from edgecore.base.interfaces import Receiver
from edgecore.base.topic import SHARE_PREFIX, check_filter, split_share
from edgecore.listener.records import SubscriptionRecord
from edgecore.mqtt.packets import SubscriptionOptions
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.router import Router

# All filters of one client together. A session's record holds them, and is written at every change; with the
# number of filters alone it could be megabytes. AWS allows 256 bytes for each.
MAX_FILTERS_BYTES: Final = 64 * 1024


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
        if topic_filter not in self.records and not self._has_room(topic_filter):
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

    def restore(self, records: Iterable[SubscriptionRecord]) -> list[SubscriptionRecord]:
        """Take over what an earlier run had; gives what is no subscription: a bit may have flipped on disk.

        What no route can deliver to now is asked for again later.
        """
        found = list(records)
        self.records = {record.topic_filter: record for record in found if _is_valid(record)}
        self.renew()
        return [record for record in found if not _is_valid(record)]

    def renew(self) -> None:
        """Ask the router for everything anew: its routes may allow more than before, or less.

        The client asks for nothing now, so that nothing is denied to it.
        """
        for record in self.records.values():
            if self._router.may_subscribe(self._receiver.principal, record.topic_filter):
                self._ask(record)
            else:
                self._router.unsubscribe(self._receiver, record.topic_filter)

    def leave(self) -> None:
        """Take nothing more from the router; what was asked for is remembered."""
        self._router.unsubscribe_all(self._receiver)

    def send_retained(self, options: SubscriptionOptions, identifier: int, *, is_new: bool) -> str:
        """Deliver the retained messages that a subscription just granted is owed (5, 3.8.3.1 and 3.3.1.3).

        None for a shared one (5, 4.8.2). Gives why some found no room, or "".
        """
        handling, topic_filter = options.retain_handling, options.topic_filter
        if handling == 2 or (handling == 1 and not is_new) or topic_filter.startswith(SHARE_PREFIX):
            return ""
        identifiers = (identifier,) if identifier else ()
        refusal = ""
        for message, cap in self._router.retained_for(self._receiver, topic_filter):
            qos = min(message.qos, cap, options.qos)
            try:
                self._receiver.deliver(message, qos, retain=True, identifiers=identifiers)
            except RefusedError as error:
                refusal = str(error)
        return refusal

    def _has_room(self, topic_filter: str) -> bool:
        used = sum(len(known.encode()) for known in self.records)
        fits = used + len(topic_filter.encode()) <= MAX_FILTERS_BYTES
        return fits and len(self.records) < self._maximum

    def _ask(self, record: SubscriptionRecord) -> bool:
        return self._router.subscribe(
            self._receiver,
            record.topic_filter,
            record.qos,
            no_local=record.no_local,
            retain_as_published=record.retain_as_published,
            identifier=record.identifier,
        )


def _is_valid(record: SubscriptionRecord) -> bool:
    try:
        check_filter(split_share(record.topic_filter)[1])
    except TopicError:
        return False
    return 0 <= record.qos <= 2
