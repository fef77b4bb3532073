"""What the cloud sends: to shadow sync or to the router, acknowledged once it is durable here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from functools import partial

from edgecore.base.clock import Clock
from edgecore.base.commit import Commit, when_all_done
from edgecore.base.identity import CLOUD
from edgecore.base.interfaces import Bus
from edgecore.base.message import Message
from edgecore.uplink.acceptance import refuse_incoming
from edgecore.uplink.client import Incoming
from edgecore.uplink.link import Link
from edgecore.uplink.mapping import is_shadow_topic

_log = logging.getLogger(__name__)


class Inbound:
    """Takes each message and sees to its PUBACK.

    A message that could not be kept is not acknowledged: the cloud sends it again, at AWS for an hour
    at most.
    """

    def __init__(self, bus: Bus, link: Link, clock: Clock) -> None:
        self.received = 0
        self.dropped: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self._bus = bus
        self._link = link
        self._clock = clock

    def take(self, incoming: Incoming) -> None:
        """Hand a message on."""
        self.received += 1
        refused = refuse_incoming(incoming)
        if refused:
            # It would be refused each time it came: acknowledged, so that it does not come again.
            self.dropped[refused] += 1
            incoming.acknowledge()
        elif is_shadow_topic(incoming.topic):
            self._to_receivers(incoming)
        else:
            self._to_bus(incoming)

    def _to_receivers(self, incoming: Incoming) -> None:
        commits = self._link.receive(incoming.topic, incoming.payload)
        if commits is None:
            # A kept session delivers before shadow sync has subscribed; sync then reads all anew.
            self.dropped["shadow message without a receiver"] += 1
            commits = []
        self._acknowledge(incoming, commits)

    def _to_bus(self, incoming: Incoming) -> None:
        receipt = self._bus.publish(self._message(incoming))
        if receipt.refused:
            self._withhold(incoming, receipt.refused)
        elif not receipt.allowed:
            self.dropped["no route"] += 1
            incoming.acknowledge()
        else:
            self._acknowledge(incoming, receipt.commits)

    def _message(self, incoming: Incoming) -> Message:
        """RETAIN is not taken over: AWS sets it only on the first delivery, so a copy here would age."""
        expires_at = None if incoming.expires_in is None else self._clock.now() + incoming.expires_in
        return Message(
            incoming.topic,
            incoming.payload,
            incoming.qos,
            CLOUD,
            expires_at=expires_at,
            properties=incoming.properties,
        )

    def _acknowledge(self, incoming: Incoming, commits: Iterable[Commit]) -> None:
        when_all_done(commits, partial(self._durable, incoming))

    def _durable(self, incoming: Incoming, error: Exception | None) -> None:
        if error is None:
            incoming.acknowledge()
        else:
            self._withhold(incoming, str(error))

    def _withhold(self, incoming: Incoming, reason: str) -> None:
        if not self.withheld[reason]:
            _log.warning("a message from the cloud on %s is not acknowledged: %s", incoming.topic, reason)
        self.withheld[reason] += 1

    def status(self) -> dict[str, object]:
        """What came in, what of it was dropped, and what was left unacknowledged."""
        return {"received": self.received, "dropped": dict(self.dropped), "withheld": dict(self.withheld)}
