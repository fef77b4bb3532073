"""Retained messages: the last one per topic (MQTT 5, 3.3.1.3). In memory here, durable through a keeper."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError
from edgecore.base.identity import Principal
from edgecore.base.message import Message

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
        self._messages = {message.topic: message for message in known}
        self._own: dict[str, Message] = {}
        self._bytes = sum(_size(message) for message in self._messages.values())

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        yield from self._messages.values()
        yield from self._own.values()

    def keep_in_memory(self, message: Message) -> None:
        """Keep a message of the core's own for as long as it runs: never on disk, and past the bounds.

        The topics are few fixed ones. Outside the count and the bytes of what others retain.
        """
        self._own[message.topic] = message

    def put(self, message: Message) -> Commit | None:
        """Keep the message, or erase its topic when the payload is empty (MQTT 5, 3.3.1.3).

        Raises RefusedError when the bound is reached.
        """
        old = self._messages.get(message.topic)
        freed = _size(old) if old is not None else 0
        if not message.payload:
            if old is None:
                return None
            del self._messages[message.topic]
            self._bytes -= freed
            return self._keeper.erase(message.topic) if self._keeper else None
        grown = self._bytes - freed + _size(message)
        if (old is None and len(self._messages) >= MAX_RETAINED) or grown > MAX_RETAINED_BYTES:
            raise RefusedError(
                f"retained messages are full ({len(self._messages)} topics, {self._bytes} bytes): "
                "erase some by publishing an empty retained payload"
            )
        self._messages[message.topic] = message
        self._bytes = grown
        return self._keeper.save(message) if self._keeper else None

    def forget(self, principal: Principal) -> tuple[Commit, ...]:
        """Erase what the principal left. Gives what must be durable, each commit once."""
        topics = [topic for topic, message in self._messages.items() if message.sender.id == principal.id]
        commits: dict[Commit, None] = {}
        for topic in topics:
            self._bytes -= _size(self._messages.pop(topic))
            if self._keeper:
                commits[self._keeper.erase(topic)] = None
        return tuple(commits)


def _size(message: Message) -> int:
    return len(message.topic) + len(message.payload)
