"""The subscription table: which subscriber asked for which topic filter.

Knows nothing of routes: whether a message may flow is decided in routes.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgecore.base.interfaces import Receiver
from edgecore.base.topic import split_share
from edgecore.router.level_tree import LevelTree

# Within one filter a subscriber stands once for itself and once in each share group that it joined.
_Key = int | tuple[str, int]


class Share:
    """A share group (MQTT 5, 4.8.2): who subscribed one "$share/NAME/FILTER". `turn` counts its messages."""

    __slots__ = ("members", "topic_filter", "turn")

    def __init__(self, topic_filter: str) -> None:
        self.topic_filter = topic_filter
        self.members = 0
        self.turn = 0


class Subscription:
    """What one subscriber asked for with one topic filter (MQTT 5, 3.8.3.1).

    `topic_filter` is as asked for; `share` is the same text when it is a shared one, else "".
    `identifier` is 0 when there is none.
    """

    __slots__ = (
        "identifier",
        "no_local",
        "qos",
        "retain_as_published",
        "share",
        "subscriber",
        "topic_filter",
    )

    def __init__(
        self,
        subscriber: Receiver,
        topic_filter: str,
        qos: int,
        no_local: bool = False,
        retain_as_published: bool = False,
        identifier: int = 0,
    ) -> None:
        self.subscriber = subscriber
        self.topic_filter = topic_filter
        self.share = topic_filter if split_share(topic_filter)[0] else ""
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.identifier = identifier


class SubscriptionTable:
    """All subscriptions. Adding one twice replaces it (MQTT 5, 3.8.4); removal leaves nothing behind."""

    def __init__(self) -> None:
        self._tree: LevelTree[dict[_Key, Subscription]] = LevelTree()
        self._filters: dict[int, set[str]] = {}
        self._shares: dict[str, Share] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def shared(self) -> int:
        """How many of them are memberships of share groups."""
        return sum(share.members for share in self._shares.values())

    def add(self, subscription: Subscription) -> None:
        """Insert, or replace what the same subscriber asked for with the same filter."""
        asked = subscription.topic_filter
        topic_filter = split_share(asked)[1]
        here = self._tree.get(topic_filter)
        if here is None:
            here = {}
            self._tree.put(topic_filter, here)
        identity = id(subscription.subscriber)
        key = _key(identity, subscription.share)
        if key not in here:
            self._count += 1
            self._filters.setdefault(identity, set()).add(asked)
            if subscription.share:
                self._shares.setdefault(asked, Share(asked)).members += 1
        here[key] = subscription

    def remove(self, subscriber: Receiver, topic_filter: str) -> bool:
        """Remove; False when there was no such subscription."""
        filters = self._filters.get(id(subscriber))
        if filters is None or topic_filter not in filters:
            return False
        filters.discard(topic_filter)
        if not filters:
            del self._filters[id(subscriber)]
        self._forget(id(subscriber), topic_filter)
        return True

    def remove_all(self, subscriber: Receiver) -> bool:
        """Remove everything of this subscriber; False when there was nothing."""
        filters = self._filters.pop(id(subscriber), None)
        if filters is None:
            return False
        for topic_filter in filters:
            self._forget(id(subscriber), topic_filter)
        return True

    def share(self, topic_filter: str) -> Share:
        """The share group of a "$share/NAME/FILTER" that somebody subscribed."""
        return self._shares[topic_filter]

    def match(self, topic: str) -> list[Subscription]:
        """All subscriptions whose filter matches the topic name, shared ones among them."""
        return [each for here in self._tree.matching(topic) for each in here.values()]

    def __iter__(self) -> Iterator[Subscription]:
        return (each for here in self._tree for each in here.values())

    def _forget(self, identity: int, asked: str) -> None:
        name, topic_filter = split_share(asked)
        if name:
            share = self._shares[asked]
            share.members -= 1
            if not share.members:
                del self._shares[asked]
        self._count -= 1
        here = self._tree.get(topic_filter)
        assert here is not None
        del here[_key(identity, asked if name else "")]
        if not here:
            self._tree.remove(topic_filter)


def _key(identity: int, share: str) -> _Key:
    return (share, identity) if share else identity
