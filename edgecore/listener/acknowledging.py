"""What a publisher is told of its QoS 1 and 2 messages: now, or after the commits that it waits for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit, when_all_done
from edgecore.base.interfaces import Receipt
from edgecore.listener.traffic import Traffic
from edgecore.mqtt.inbound import Pending
from edgecore.mqtt.packets import V5
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.runs import AckedRun
from edgecore.mqtt.server_session import LIVE, ServerSession


class Connection(Protocol):
    """What acknowledging needs of the connection's session."""

    def stir(self) -> None:
        """Send what has gathered at the end of this turn."""
        ...

    def hold_reading(self, hold: bool) -> None:
        """Stop or go on reading."""
        ...

    def let_go(self, packet_id: int) -> None:
        """Forget a QoS 2 identifier, on disk too: its message was not taken."""
        ...

    def not_stored(self, reason: str) -> None:
        """End the connection without an acknowledgement: 3.1.1 has no word for a refusal."""
        ...


class Acknowledging:
    """The acknowledgements of one connection."""

    __slots__ = ("_clock", "_connection", "_mqtt", "_timed", "_traffic")

    def __init__(self, mqtt: ServerSession, connection: Connection, traffic: Traffic, clock: Clock) -> None:
        self._mqtt = mqtt
        self._connection = connection
        self._traffic = traffic
        self._clock = clock
        self._timed: Pending | None = None

    def answer(self, packet_id: int, qos: int, receipt: Receipt) -> None:
        """Acknowledge by what became of the publish."""
        mqtt = self._mqtt
        if receipt.refused:
            if qos == 2:
                self._connection.let_go(packet_id)
            self._refuse(packet_id, qos, receipt.refused)
        elif receipt.commits:
            self._later(mqtt.hold(packet_id, qos), receipt.commits)
        elif not receipt.allowed and mqtt.version == V5:
            mqtt.acknowledge(packet_id, qos, ReasonCode.NOT_AUTHORIZED)
        else:
            mqtt.acknowledge(packet_id, qos)

    def answer_run(self, run: AckedRun, commits: Sequence[Commit]) -> None:
        """Acknowledge a run of QoS 1 packets: now, or after the commits."""
        if commits:
            self._later(self._mqtt.hold_run(run), commits)
        else:
            self._mqtt.acknowledge_run(run)

    def _later(self, pending: Pending, commits: Sequence[Commit]) -> None:
        began = 0.0
        if self._timed is None:
            self._timed, began = pending, self._clock.monotonic()
        when_all_done(commits, partial(self._durable, pending, began))
        if self._mqtt.congested:
            self._connection.hold_reading(hold=True)

    def _refuse(self, packet_id: int, qos: int, reason: str) -> None:
        if self._mqtt.version == V5:
            self._mqtt.acknowledge(packet_id, qos, ReasonCode.QUOTA_EXCEEDED)
            return
        if qos == 2:
            self._mqtt.taken(packet_id, failed=True)
        self._connection.not_stored(reason)

    def _durable(self, pending: Pending, began: float, error: Exception | None) -> None:
        """Settle what waited for commits; called by the store, perhaps after the connection is gone.

        `began`: when the one that is timed came, by the monotonic clock.
        """
        mqtt = self._mqtt
        if pending is self._timed:
            self._timed = None
            if error is None:
                self._traffic.acknowledged.observe(self._clock.monotonic() - began)
        if error is not None and pending.qos == 2:
            self._connection.let_go(pending.packet_id)
        if mqtt.state is not LIVE:
            if pending.qos == 2:
                mqtt.taken(pending.packet_id, failed=error is not None)
            return
        if error is not None and mqtt.version != V5:
            self._refuse(pending.packet_id, pending.qos, str(error))
            return
        mqtt.settle(pending, ReasonCode.SUCCESS if error is None else ReasonCode.QUOTA_EXCEEDED)
        if not mqtt.congested:
            self._connection.hold_reading(hold=False)
        self._connection.stir()
