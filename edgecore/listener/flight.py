"""A row whose messages are on their way to the client: what was sent of it, what is still awaited. Pure."""

from __future__ import annotations

from edgecore.listener.backlog import Entry
from edgecore.listener.bodies import QOS, count_of
from edgecore.mqtt.outbound import FIRST_ANSWER
from edgecore.mqtt.packets import PUBCOMP


class Flight:
    """One row, sent in part or whole.

    `position`: the next message to send on this connection. `awaited`: the packet type that answers next;
    `released`: the client has the message (QoS 2), and the disk knows it; `releasing`: the disk will.
    `again`: it was sent before, or may have been.
    """

    __slots__ = ("_done", "again", "awaited", "count", "entry", "position", "released", "releasing")

    def __init__(self, entry: Entry, *, again: bool = False, released: bool = False) -> None:
        self.entry = entry
        self.count = count_of(entry.flags)
        self.awaited = PUBCOMP if released else FIRST_ANSWER[entry.flags & QOS]
        self.again = again
        self.released = released
        self.releasing = False
        self.position = 0
        self._done: set[int] = set()

    @property
    def sent(self) -> bool:
        """Whether nothing is left to be sent on this connection."""
        return self.position >= self.count

    def take(self) -> int:
        """The index of the next message to send: one that was not acknowledged. Ask only until `sent`."""
        index = self.position
        self.position += 1
        self._skip()
        return index

    def finish(self, packet_id: int) -> bool:
        """Note an acknowledgement; True when it was the last of the row."""
        self._done.add(packet_id - self.entry.packet_id)
        return len(self._done) == self.count

    def start_again(self) -> None:
        """Begin on a new connection with what was not acknowledged."""
        self.again = True
        self.position = 0
        if not self.released:
            self.awaited = FIRST_ANSWER[self.entry.flags & QOS]
        self._skip()

    def unacknowledged(self) -> range | list[int]:
        """The packet identifiers that are not free yet."""
        first = self.entry.packet_id
        ids = range(first, first + self.count)
        return [each for each in ids if each - first not in self._done] if self._done else ids

    def _skip(self) -> None:
        while self.position < self.count and self.position in self._done:
            self.position += 1
