"""What all connections of one listener share. A record: it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecore.base.clock import Clock
from edgecore.listener.refusals import Refusals
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.turn import Turn
from edgecore.listener.unread import Unread
from edgecore.router import Router


@dataclass(frozen=True, slots=True)
class Door:
    """The bounds, who may send what to whom, who is here, who was turned away, what waits for the slow."""

    settings: ListenerSettings
    router: Router
    sessions: Sessions
    refusals: Refusals
    turn: Turn
    clock: Clock
    unread: Unread = field(default_factory=Unread)
