"""One session's bytes on their way to its connection, and what happens while the client does not read them.

    messages wait in the session, and are dropped or kept on disk beyond its bounds (mqtt, stored_outbound)
    answers too many for it -> nothing more is read of it: TCP holds it back
    memory too much for all -> who takes most is disconnected (unread)

Knows no packets; the session says when it may write.
"""

from __future__ import annotations

from typing import Final

from edgecore.listener.door import Door
from edgecore.listener.unread import ENTRY_OVERHEAD, Slow
from edgecore.listener.wire import HIGH_WATER, Wire
from edgecore.mqtt.server_session import LIVE, ServerSession

# Answers (PUBACK, PINGRESP, SUBACK ...) that wait for a client that does not read; beyond it we do not read
# either. Some hundred thousand are in the socket then: no client that keeps to a window comes here.
MAX_UNREAD_ANSWERS: Final = 1024


class Outlet:
    """Where a session writes. `session` is told when it takes memory that others need.

    `holds`: whether anything is stuck, or was when `account` was last called.
    """

    __slots__ = (
        "_memory",
        "_most",
        "_mqtt",
        "_session",
        "_stuck",
        "_traffic",
        "_unread",
        "_waits",
        "_wire",
        "holds",
    )

    def __init__(self, wire: Wire, mqtt: ServerSession, session: Slow, door: Door) -> None:
        self._wire = wire
        self._mqtt = mqtt
        self._session = session
        self._memory = door.unread
        self._traffic = door.sessions.traffic
        # Bytes that messages for a client that does not read never take: beyond it are answers.
        self._most = door.settings.max_unsent + door.settings.max_packet_size
        self._waits = False  # the session wants nothing to be read
        self._unread = False  # the client does not read its answers
        self._stuck = 0  # bytes that may be in the socket, while it takes no more
        self.holds = False

    def write(self) -> None:
        """Send what has gathered, if the connection takes it."""
        mqtt = self._mqtt
        if not mqtt.outgoing:
            return
        wire = self._wire
        if wire.blocked:
            self._hold(unread=self._unread or mqtt.answers > MAX_UNREAD_ANSWERS or mqtt.unsent > self._most)
            return
        traffic = self._traffic
        traffic.sent += len(mqtt.outgoing) + mqtt.joined
        traffic.publishes_sent += mqtt.publishes
        traffic.bytes_sent += mqtt.unsent
        data = mqtt.take()
        wire.send(data)
        if self._wire.blocked:
            self._stuck = HIGH_WATER + len(data)
            self.holds = True
        else:
            self._stuck = 0
        if self._unread:
            self._hold(unread=False)

    def account(self) -> None:
        """Let the house know what memory waits for this client; the session may be told to end."""
        mqtt = self._mqtt
        self.holds = mqtt.state is LIVE and bool(self._stuck or mqtt.outbound.queued)
        if self.holds:
            gathered = mqtt.unsent + ENTRY_OVERHEAD * len(mqtt.outgoing)
            self._memory.note(self._session, self._stuck + gathered + mqtt.outbound.held_bytes)
        else:
            self._memory.forget(self._session)

    def hold_reading(self, *, hold: bool) -> None:
        """Stop or go on reading, as the session wants."""
        self._waits = hold
        self._wire.hold_reading(hold or self._unread)

    def forget(self) -> None:
        """Note that the session is over."""
        self._memory.forget(self._session)

    def _hold(self, *, unread: bool) -> None:
        if unread is not self._unread:
            self._unread = unread
            self._wire.hold_reading(unread or self._waits)
