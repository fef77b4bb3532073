"""A CONNECT on its way to its CONNACK: whose it is, whether it may come in, what it goes on with.

Each may take its time: a password is verified elsewhere, a session has to be durable. What the client sends
behind its CONNECT waits here, and no more is read. Knows no bytes, and not what coming in means.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from edgecore.base.commit import Commit, when_all_done
from edgecore.base.errors import NotAuthorizedError, RefusedError
from edgecore.base.identity import Principal
from edgecore.listener.credential import Credential, reason_of
from edgecore.listener.door import Door
from edgecore.mqtt.packets import Connect
from edgecore.mqtt.reason_codes import ReasonCode


class Connection(Protocol):
    """What a CONNECT needs of the connection that it came on."""

    @property
    def over(self) -> bool:
        """Whether it has ended meanwhile."""
        ...

    @property
    def principal(self) -> Principal:
        """Whose it is, once it has come in."""
        ...

    def come_in(self, packet: Connect, principal: Principal) -> Sequence[Commit]:
        """Be that client from now on. Gives what must be durable before CONNACK. Raises RefusedError."""
        ...

    def accept(self, packet: Connect) -> None:
        """Answer with success."""
        ...

    def refuse(self, reason_code: ReasonCode, text: str) -> None:
        """Answer with a failure."""
        ...

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading."""
        ...

    def catch_up(self, early: Sequence[tuple[int, bytes]]) -> None:
        """Deal with the packets that came behind CONNECT, now that it is answered."""
        ...


class Entering:
    """One CONNECT. `waiting`: it is not answered yet; what follows it is for `put_off`."""

    __slots__ = ("_connection", "_credential", "_early", "_held", "_router", "_turn", "waiting")

    def __init__(self, connection: Connection, credential: Credential, door: Door) -> None:
        self._connection = connection
        self._credential = credential
        self._router = door.router
        self._turn = door.turn
        self._early: list[tuple[int, bytes]] = []
        self._held = False
        self.waiting = False

    def begin(self, packet: Connect) -> None:
        """Ask whose it is, and go on: now, or when that is known."""
        self.waiting = True
        self._credential.identify(packet, partial(self._identified, packet))
        if self.waiting:
            self._held = True
            self._connection.hold_reading(hold=True)

    def put_off(self, first_byte: int, body: bytes) -> None:
        """Keep a packet that came behind CONNECT."""
        self._early.append((first_byte, body))

    def _identified(self, packet: Connect, found: Principal | NotAuthorizedError) -> None:
        if self._connection.over:
            return
        try:
            if isinstance(found, NotAuthorizedError):
                raise found
            self._check_will(packet, found)
            commits = self._connection.come_in(packet, found)
        except NotAuthorizedError as error:
            self._refuse(reason_of(error), str(error))
        except RefusedError as error:
            self._refuse(ReasonCode.QUOTA_EXCEEDED, str(error))
        else:
            if commits:
                when_all_done(commits, partial(self._durable, packet))
            else:
                self._opened(packet, None)

    def _check_will(self, packet: Connect, principal: Principal) -> None:
        will = packet.will
        if will is not None and not self._router.plan_for(principal, will.topic).allowed:
            raise NotAuthorizedError(
                f"{principal} may not publish its will on {will.topic!r}: no route allows it"
            )

    def _durable(self, packet: Connect, error: Exception | None) -> None:
        """Go on when everybody who waits for this group of works has been told.

        Whatever was under way for this client on an earlier connection is in this group or in one before;
        but who waits for it may be told after us.
        """
        self._turn.later(partial(self._opened, packet, error))

    def _opened(self, packet: Connect, error: Exception | None) -> None:
        connection = self._connection
        if connection.over:
            return
        if error is not None:
            self._refuse(ReasonCode.SERVER_UNAVAILABLE, str(error))
        elif not self._credential.admits(connection.principal):
            self._refuse(ReasonCode.NOT_AUTHORIZED, "the device is no longer admitted")
        else:
            connection.accept(packet)
            self._answered()

    def _refuse(self, reason_code: ReasonCode, text: str) -> None:
        self._connection.refuse(reason_code, text)
        self._answered()

    def _answered(self) -> None:
        self.waiting = False
        if not self._held:
            return  # at once: the packets behind it are still on their way
        self._held = False
        self._connection.hold_reading(hold=False)
        early, self._early = self._early, []
        self._connection.catch_up(early)
