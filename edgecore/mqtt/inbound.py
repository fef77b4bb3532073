"""QoS 1 and 2 from one client: acknowledgements in the order of receipt, QoS 2 identifiers.

An acknowledgement may have to wait for a commit; those behind it then wait too (5, 4.6: PUBACK and
PUBREC are sent in the order in which the PUBLISH packets came). The identifiers of QoS 2 outlive the
connection where the session does; what is owed on a connection ends with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum

from edgecore.base.errors import RemoteProtocolError
from edgecore.mqtt.reason_codes import ReasonCode
from edgecore.mqtt.runs import AckedRun


class Known(Enum):
    """What is known of a QoS 2 identifier."""

    NEW = "new"
    TAKING = "taking"  # its PUBLISH is here, its PUBREC is not sent yet
    TAKEN = "taken"  # PUBREC was sent
    LETTING_GO = "letting go"  # PUBREL is here, its PUBCOMP waits for a commit


class Pending:
    """One acknowledgement that is owed. `reason_code` is None until it is known.

    `run`: the packets of a whole run of QoS 1 that it stands for, whose first has `packet_id`; else None.
    """

    __slots__ = ("packet_id", "qos", "reason_code", "run")

    def __init__(
        self, packet_id: int, qos: int, reason_code: int | None = None, run: AckedRun | None = None
    ) -> None:
        self.packet_id = packet_id
        self.qos = qos
        self.reason_code = reason_code
        self.run = run


class Inbound:
    """What we owe to the client. `receive_maximum` bounds it (5, 3.2.2.3.3).

    `taken`: QoS 2 identifiers that an earlier run or connection took and the client has not released.
    """

    __slots__ = ("_acks", "_ids", "_maximum", "_owed", "_receive_maximum")

    def __init__(self, receive_maximum: int, taken: Iterable[int] = ()) -> None:
        self._receive_maximum = self._maximum = receive_maximum
        self._owed: deque[Pending] = deque()
        self._acks = 0  # PUBACKs among what is owed; a PUBREC that is owed counts by its identifier
        self._ids = dict.fromkeys(taken, Known.TAKEN)

    @property
    def full(self) -> bool:
        """Whether as much is unacknowledged as may be."""
        return self.room <= 0

    @property
    def room(self) -> int:
        """How many more may be unacknowledged."""
        return self._maximum - self._acks - len(self._ids)

    @property
    def waiting(self) -> bool:
        """Whether acknowledgements wait for a commit."""
        return bool(self._owed)

    def reconnect(self) -> None:
        """Begin on a new connection: what was owed on the old one is owed no more.

        The client's quota begins anew, too, whatever it has not released (5, 4.9). Beside it that much may
        stand which it had sent before, and not more, however often it comes back.
        """
        self._owed.clear()
        self._acks = 0
        self._maximum = self._receive_maximum + min(len(self._ids), self._receive_maximum)

    def begin(self, packet_id: int) -> Known:
        """Take a QoS 2 PUBLISH; gives what was known of its identifier.

        Raises 0x93 when more are unreleased than were announced. A peer that never releases them is
        bounded by this in 3.1.1 too, where nothing is announced (facts: CVE-2023-28366 of a peer).
        """
        known = self._ids.get(packet_id)
        if known is not None:
            return known
        if len(self._ids) >= self._maximum:
            raise receive_maximum_exceeded(self._receive_maximum)
        self._ids[packet_id] = Known.TAKING
        return Known.NEW

    def owe(self, packet_id: int, qos: int, reason_code: int | None = None) -> Pending:
        """Put an acknowledgement in line."""
        pending = Pending(packet_id, qos, reason_code)
        self._owed.append(pending)
        self._acks += qos == 1
        return pending

    def owe_run(self, run: AckedRun) -> Pending:
        """Put the acknowledgements of a run in line."""
        pending = Pending(run.highs[0] << 8 | run.lows[0], 1, None, run)
        self._owed.append(pending)
        self._acks += run.number
        return pending

    def due(self) -> list[Pending]:
        """The acknowledgements that may be sent now, in order; they leave the line."""
        ready = []
        owed = self._owed
        while owed and owed[0].reason_code is not None:
            pending = owed.popleft()
            self._acks -= pending.run.number if pending.run is not None else pending.qos == 1
            ready.append(pending)
        return ready

    def sent(self, packet_id: int, failed: bool) -> None:
        """Note that the PUBREC of a QoS 2 id is decided; a failed one frees the id (5, 4.3.3)."""
        if failed:
            self._ids.pop(packet_id, None)
        else:
            self._ids[packet_id] = Known.TAKEN

    def release(self, packet_id: int) -> Known:
        """Take a PUBREL; gives what was known of its id. The id is free once `released` is called.

        Raises RemoteProtocolError when its PUBREC was not sent.
        """
        known = self._ids.get(packet_id, Known.NEW)
        if known is Known.TAKING:
            raise RemoteProtocolError(
                ReasonCode.PROTOCOL_ERROR, f"PUBREL for packet {packet_id} came before its PUBREC"
            )
        if known is Known.TAKEN:
            self._ids[packet_id] = Known.LETTING_GO
        return known

    def released(self, packet_id: int) -> None:
        """Free the id."""
        self._ids.pop(packet_id, None)


def receive_maximum_exceeded(maximum: int) -> RemoteProtocolError:
    """The error for a peer that sends on without waiting (5, 3.3.4)."""
    return RemoteProtocolError(
        ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, f"more than {maximum} messages are unacknowledged"
    )
