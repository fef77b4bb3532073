"""The subscription table: which connected subscriber asked for which topic filter. A trie of levels.

Knows nothing of routes: whether a message may flow is decided in routes.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgecore.base.interfaces import Subscriber


class Subscription:
    """What one subscriber asked for with one topic filter (MQTT 5, 3.8.3.1)."""

    __slots__ = ("no_local", "qos", "retain_as_published", "subscriber", "topic_filter")

    def __init__(
        self,
        subscriber: Subscriber,
        topic_filter: str,
        qos: int,
        no_local: bool = False,
        retain_as_published: bool = False,
    ) -> None:
        self.subscriber = subscriber
        self.topic_filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published


class _Node:
    __slots__ = ("children", "subscriptions")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        # Keyed by the subscriber's identity: one subscription per (subscriber, filter).
        self.subscriptions: dict[int, Subscription] = {}


class SubscriptionTable:
    """All subscriptions. Adding one twice replaces it (MQTT 5, 3.8.4); removal leaves no empty node."""

    def __init__(self) -> None:
        self._root = _Node()
        self._filters: dict[int, set[str]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, subscription: Subscription) -> None:
        """Insert, or replace what the same subscriber asked for with the same filter."""
        node = self._root
        for level in subscription.topic_filter.split("/"):
            node = node.children.setdefault(level, _Node())
        key = id(subscription.subscriber)
        self._count += key not in node.subscriptions
        node.subscriptions[key] = subscription
        self._filters.setdefault(key, set()).add(subscription.topic_filter)

    def remove(self, subscriber: Subscriber, topic_filter: str) -> bool:
        """Remove; False when there was no such subscription."""
        key = id(subscriber)
        filters = self._filters.get(key)
        if filters is None or topic_filter not in filters:
            return False
        filters.discard(topic_filter)
        if not filters:
            del self._filters[key]
        self._count -= 1
        self._prune(key, topic_filter)
        return True

    def remove_all(self, subscriber: Subscriber) -> bool:
        """Remove everything of this subscriber; False when there was nothing."""
        filters = tuple(self._filters.get(id(subscriber), ()))
        for topic_filter in filters:
            self.remove(subscriber, topic_filter)
        return bool(filters)

    def match(self, topic: str) -> list[Subscription]:
        """All subscriptions whose filter matches the topic name."""
        found: list[Subscription] = []
        levels = topic.split("/")
        # MQTT 5, 4.7.2: a wildcard in the first level never matches a topic that starts with "$".
        self._collect(self._root, levels, 0, found, wild=not topic.startswith("$"))
        return found

    def __iter__(self) -> Iterator[Subscription]:
        stack = [self._root]
        while stack:
            node = stack.pop()
            yield from node.subscriptions.values()
            stack.extend(node.children.values())

    def _collect(
        self, node: _Node, levels: list[str], depth: int, found: list[Subscription], *, wild: bool
    ) -> None:
        children = node.children
        if wild and (rest := children.get("#")) is not None:
            found.extend(rest.subscriptions.values())
        if depth == len(levels):
            found.extend(node.subscriptions.values())
            return
        if (same := children.get(levels[depth])) is not None:
            self._collect(same, levels, depth + 1, found, wild=True)
        if wild and (any_level := children.get("+")) is not None:
            self._collect(any_level, levels, depth + 1, found, wild=True)

    def _prune(self, key: int, topic_filter: str) -> None:
        path = [self._root]
        levels = topic_filter.split("/")
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].subscriptions.pop(key)
        for index in range(len(levels) - 1, -1, -1):
            child = path[index + 1]
            if child.children or child.subscriptions:
                return
            del path[index].children[levels[index]]
