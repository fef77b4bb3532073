"""What has passed through the door: packets, bytes, drops, and how long acknowledgements took.

Plain numbers, written once per read or write and not once per message. Knows no packets and no clock.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

# Seconds. A commit takes 0.1 to 0.6 ms on a disk and tens of ms on an SD card; above 10 s it is all one.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Latency:
    """A histogram in the form that Prometheus reads: how many took at most so many seconds."""

    __slots__ = ("_counts", "_sum")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one that took `seconds`."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._sum += seconds

    def status(self) -> dict[str, object]:
        """`buckets`: [upper bound as text, how many took at most that], the last "+Inf"; `sum`: seconds."""
        buckets: list[list[object]] = []
        total = 0
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self._counts, strict=True):
            total += count
            buckets.append([bound, total])
        return {"buckets": buckets, "sum": round(self._sum, 6)}


class Traffic:
    """Totals since this door opened. Bytes are those of MQTT, inside TLS.

    `received` and `sent` count packets of every type, `publishes_*` the PUBLISH packets among them;
    sent is what was handed to a connection. `sockets`: connections that came, also those that were turned
    away at once; `connects`: CONNECT packets. `dropped`: messages that sessions now over did not get.
    `acknowledged`: from the decoding of a QoS 1 or 2 PUBLISH that has to wait for a commit to the moment
    its PUBACK or PUBREC is made; at most one per device is timed at a time, the others are not sampled.
    """

    __slots__ = (
        "acknowledged",
        "bytes_received",
        "bytes_sent",
        "connects",
        "dropped",
        "most_connected",
        "publishes_received",
        "publishes_sent",
        "received",
        "sent",
        "sockets",
    )

    def __init__(self) -> None:
        self.sockets = 0
        self.connects = 0
        self.received = 0
        self.sent = 0
        self.publishes_received = 0
        self.publishes_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.dropped = 0
        self.most_connected = 0
        self.acknowledged = Latency()

    def status(self) -> dict[str, object]:
        """The totals by name."""
        return {
            "sockets": self.sockets,
            "connects": self.connects,
            "received": self.received,
            "sent": self.sent,
            "publishes_received": self.publishes_received,
            "publishes_sent": self.publishes_sent,
            "bytes_received": self.bytes_received,
            "bytes_sent": self.bytes_sent,
        }
