"""Retained messages: the last one per topic (MQTT 5, 3.3.1.3). In memory here, durable through a keeper.

In a tree of topic levels, so that a new subscription costs what it finds and not what there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import inf
from typing import Final, Protocol

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.identity import Principal
from edgecore.base.message import Message
from edgecore.base.topic import matches
from edgecore.router.level_tree import LevelTree

# A retained message stays until somebody erases it, so its number and its size need an end. AWS
# allows 500,000 per account; a Pi's site has some per device. Rule when full: refuse the new one.
MAX_RETAINED: Final = 20_000
MAX_RETAINED_BYTES: Final = 64 * 1024 * 1024


class RetainedKeeper(Protocol):
    """Where retained messages are kept over a restart."""

    def save(self, message: Message) -> Commit:
        """Keep this message as the last one of its topic."""
        ...

    def erase(self, topic: str) -> Commit:
        """Forget the topic's message."""
        ...


class RetainedMessages:
    """The last retained message of each topic."""

    def __init__(self, keeper: RetainedKeeper | None = None, known: Iterable[Message] = ()) -> None:
        self._keeper = keeper
        self._messages: dict[str, Message] = {}
        self._own: dict[str, Message] = {}
        self._tree: LevelTree[Message] = LevelTree()
        self._bytes = 0
        self._soonest = inf  # no message expires before this; it may be earlier than the first that does
        for message in known:
            self._place(message)

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def bytes(self) -> int:
        """The topics and payloads of all, as MAX_RETAINED_BYTES bounds them."""
        return self._bytes

    def __iter__(self) -> Iterator[Message]:
        yield from self._messages.values()
        yield from self._own.values()

    def keep_in_memory(self, message: Message) -> None:
        """Keep a message of the core's own for as long as it runs: never on disk, and past the bounds.

        The topics are few fixed ones. Outside the count and the bytes of what others retain.
        """
        self._own[message.topic] = message

    def put(self, message: Message, now: float) -> Commit | None:
        """Keep the message, or erase its topic when the payload is empty (MQTT 5, 3.3.1.3).

        Raises RefusedError when the bound is reached, and nothing has expired at wall time `now`.
        """
        if not message.payload:
            return self._erase(message.topic) if message.topic in self._messages else None
        if not self._fits(message):
            self._expire(now)
        if not self._fits(message):
            raise RefusedError(
                f"retained messages are full ({len(self._messages)} topics, {self._bytes} bytes): "
                "erase some by publishing an empty retained payload"
            )
        self._place(message)
        return self._keeper.save(message) if self._keeper else None

    def forget(self, principal: Principal) -> tuple[Commit, ...]:
        """Erase what the principal left. Gives what must be durable, each commit once."""
        name = principal.id
        topics = [topic for topic, message in self._messages.items() if message.sender.id == name]
        erased = [self._erase(topic) for topic in topics]
        return tuple(dict.fromkeys(commit for commit in erased if commit is not None))

    def matching(self, topic_filter: str) -> Iterator[Message]:
        """All messages whose topic the filter matches, the core's own among them."""
        yield from (each for topic, each in self._own.items() if matches(topic_filter, topic))
        yield from self._tree.under(topic_filter)

    def _fits(self, message: Message) -> bool:
        old = self._messages.get(message.topic)
        if old is None and len(self._messages) >= MAX_RETAINED:
            return False
        freed = _size(old) if old is not None else 0
        return self._bytes - freed + _size(message) <= MAX_RETAINED_BYTES

    def _place(self, message: Message) -> None:
        old = self._messages.get(message.topic)
        self._bytes += _size(message) - (_size(old) if old is not None else 0)
        self._messages[message.topic] = message
        if message.expires_at is not None:
            self._soonest = min(self._soonest, message.expires_at)
        self._tree.put(message.topic, message)

    def _erase(self, topic: str) -> Commit | None:
        self._bytes -= _size(self._messages.pop(topic))
        self._tree.remove(topic)
        return self._keeper.erase(topic) if self._keeper else None

    def _expire(self, now: float) -> None:
        """Erase what has expired: nobody waits for its commit, for nobody would be given it anyway."""
        if now < self._soonest:
            return
        for topic in [topic for topic, message in self._messages.items() if message.expired(now)]:
            self._erase(topic)
        ends = (message.expires_at for message in self._messages.values() if message.expires_at is not None)
        self._soonest = min(ends, default=inf)


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload)
