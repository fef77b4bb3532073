"""What every unit says of itself, as Prometheus metrics. A table, and one walk over it. Pure.

Names follow Prometheus' practice: base units, counters end in `_total`. A unit that is down, or does
not know a value, has no sample; it is never reported as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edgecore import __version__

Statuses = Mapping[str, Mapping[str, object]]
Kind = Literal["counter", "gauge"]

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST


@dataclass(frozen=True, slots=True)
class Source:
    """Where a metric's value stands: the key path in a unit's status.

    With a `label`, the path leads to a table and each of its keys is a value of that label; with
    `field`, the value is that field of the table's entry. An entry that is a table of numbers counts as
    their sum.
    """

    name: str
    kind: Kind
    help: str
    unit: str
    path: tuple[str, ...]
    label: str = ""
    field: str = ""


def _traffic(name: str, words: str, field: str) -> Source:
    return Source(f"edgecore_listener_{name}", "counter", words, "listener", ("traffic", field))


def _kept(name: str, kind: Kind, words: str, field: str, label: str = "") -> Source:
    return Source(f"edgecore_kept_{name}", kind, words, "listener", ("kept", field), label)


def _per_function(name: str, kind: Kind, words: str, field: str) -> Iterator[Source]:
    yield Source(f"edgecore_function_{name}", kind, words, "lambdas", ("functions",), "function", field)


def _per_camera(name: str, kind: Kind, words: str, field: str) -> Iterator[Source]:
    yield Source(f"edgecore_camera_{name}", kind, words, "inference", ("cameras",), "camera", field)


SOURCES: Final = (
    Source("edgecore_messages_published", "counter", "Messages published.", "router", ("published",)),
    Source("edgecore_messages_delivered", "counter", "Deliveries to receivers.", "router", ("delivered",)),
    Source("edgecore_messages_denied", "counter", "No route.", "router", ("denied",), "principal"),
    Source("edgecore_denials", "counter", "No route.", "router", ("denied_by_kind",), "principal_kind"),
    Source("edgecore_messages_refused", "counter", "Queue full.", "router", ("refused",), "reason"),
    Source("edgecore_subscriptions", "gauge", "Subscriptions held.", "router", ("subscriptions",)),
    Source(
        "edgecore_shared_subscriptions",
        "gauge",
        "Memberships of share groups.",
        "router",
        ("shared_subscriptions",),
    ),
    Source("edgecore_retained_messages", "gauge", "Retained messages.", "router", ("retained",)),
    Source("edgecore_retained_bytes", "gauge", "Bytes retained.", "router", ("retained_bytes",)),
    Source("edgecore_listener_connections", "gauge", "Connections open.", "listener", ("connections",)),
    Source(
        "edgecore_listener_port_connections",
        "gauge",
        "Connections open, by the port's name in ports.json.",
        "listener",
        ("connections_by_port",),
        "port",
    ),
    _traffic("opened_connections", "Connections that came.", "sockets"),
    _traffic("received_connects", "CONNECT packets from clients.", "connects"),
    Source("edgecore_listener_sessions", "gauge", "Sessions held.", "listener", ("sessions",)),
    Source("edgecore_listener_connected", "gauge", "Clients let in.", "listener", ("connected",)),
    Source("edgecore_listener_queued_messages", "gauge", "For a place in flight.", "listener", ("queued",)),
    Source("edgecore_listener_in_flight_messages", "gauge", "Not acknowledged.", "listener", ("in_flight",)),
    _traffic("received_packets", "MQTT packets from clients.", "received"),
    _traffic("sent_packets", "MQTT packets to clients.", "sent"),
    _traffic("received_publishes", "PUBLISH packets from clients.", "publishes_received"),
    _traffic("sent_publishes", "PUBLISH packets to clients.", "publishes_sent"),
    _traffic("received_bytes", "MQTT bytes from clients, inside TLS.", "bytes_received"),
    _traffic("sent_bytes", "MQTT bytes to clients, inside TLS.", "bytes_sent"),
    Source("edgecore_listener_dropped_messages", "counter", "For slow devices.", "listener", ("dropped",)),
    Source("edgecore_listener_refused", "counter", "Not let in.", "listener", ("refused",), "reason"),
    Source(
        "edgecore_listener_refused_connects",
        "counter",
        "CONNECTs answered with a failure, by its name in MQTT.",
        "listener",
        ("refused_connects",),
        "reason",
    ),
    Source(
        "edgecore_listener_takeovers",
        "counter",
        "Connections that gave way to a newer one of their client.",
        "listener",
        ("takeovers",),
    ),
    Source(
        "edgecore_listener_waiting_passwords",
        "gauge",
        "Passwords that wait for their check.",
        "listener",
        ("passwords_waiting",),
    ),
    _kept("sessions", "gauge", "Sessions that outlive their connections.", "sessions"),
    _kept("sessions_away", "gauge", "Kept sessions whose clients are away.", "away"),
    _kept("expired_sessions", "counter", "Sessions whose time was over.", "expired"),
    _kept("queued_messages", "gauge", "Kept messages that wait.", "queued"),
    _kept("in_flight_messages", "gauge", "Kept messages sent and not acknowledged.", "in_flight"),
    _kept("bytes", "gauge", "Bytes that kept messages take.", "bytes"),
    _kept("dropped_messages", "counter", "Kept messages that were given up.", "dropped", "reason"),
    Source("edgecore_store_commits", "counter", "Transactions committed.", "store", ("commits",)),
    Source("edgecore_store_works", "counter", "Works done in transactions.", "store", ("works",)),
    Source("edgecore_store_failed_works", "counter", "Works that failed.", "store", ("failed",)),
    Source("edgecore_store_waiting_works", "gauge", "Works waiting for the disk.", "store", ("waiting",)),
    Source("edgecore_store_disk_full", "gauge", "1 while the disk is full.", "store", ("disk_full",)),
    Source(
        "edgecore_store_salvaged_rows",
        "gauge",
        "Rows that were salvaged of a damaged file, which is kept.",
        "store",
        ("salvaged",),
        "file",
    ),
    Source("edgecore_shadow_documents", "gauge", "Shadows held.", "shadow", ("documents",)),
    Source("edgecore_shadow_pending", "gauge", "Shadows not yet synced.", "shadow", ("pending",)),
    Source("edgecore_shadow_conflicts", "counter", "Conflicts settled.", "shadow", ("conflicts",)),
    *_per_function("queued_events", "gauge", "Events that wait.", "queued"),
    *_per_function("queued_bytes", "gauge", "Bytes that wait.", "queued_bytes"),
    *_per_function("invocations", "counter", "Handler calls.", "invocations"),
    *_per_function("workers_started", "counter", "Worker processes started.", "workers_started"),
    *_per_camera("frames", "counter", "Frames seen.", "frames"),
    *_per_camera("crossings", "counter", "Line crossings counted.", "crossings"),
    *_per_camera("published_messages", "counter", "Messages published.", "published"),
    *_per_camera("failed_messages", "counter", "Messages that failed.", "failed"),
    Source("edgecore_uplink_connected", "gauge", "1 while connected.", "uplink", ("connected",)),
    Source("edgecore_outbox_messages", "gauge", "Messages that wait.", "uplink", ("outbox", "records")),
    Source("edgecore_outbox_bytes", "gauge", "Bytes that wait.", "uplink", ("outbox", "bytes")),
    Source("edgecore_outbox_sent_messages", "counter", "Acknowledged there.", "uplink", ("outbox", "sent")),
    Source("edgecore_outbox_dropped_messages", "counter", "Lost.", "uplink", ("outbox", "dropped"), "reason"),
    Source("edgecore_uplink_received_messages", "counter", "From there.", "uplink", ("inbound", "received")),
    Source("edgecore_uplink_dropped_messages", "counter", "No cloud.", "uplink", ("dropped",), "reason"),
    Source("edgecore_deployment", "gauge", "The active deployment.", "deployments", ("active",)),
    Source("edgecore_api_requests", "counter", "Requests to the control API.", "api", ("requests",)),
)


# The one histogram. What it times stands in listener.traffic: Traffic.
LATENCY: Final = "edgecore_listener_acknowledgement_seconds"
_LATENCY_HELP: Final = (
    "From a PUBLISH at QoS 1 or 2 that waits for a commit to its PUBACK or PUBREC; one per device at a time."
)


class StatusCollector(Collector):
    """Gives the metrics of one look at the statuses."""

    def __init__(self, statuses: Statuses, sources: Iterable[Source] = SOURCES) -> None:
        self._statuses = statuses
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """All metrics that have a sample."""
        info = GaugeMetricFamily("edgecore_info", "Which edgecore this is.", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        yield from _units(self._statuses)
        for source in self._sources:
            samples = list(_samples(source, self._statuses.get(source.unit, {}).get("status")))
            if samples:
                yield _family(source, samples)
        yield from _latency(_at(self._statuses.get("listener", {}).get("status"), ("acknowledged",)))


def exposition(statuses: Statuses) -> bytes:
    """The text that Prometheus reads."""
    registry = CollectorRegistry()
    registry.register(StatusCollector(statuses))
    return generate_latest(registry)


def _units(statuses: Statuses) -> Iterator[Metric]:
    up = GaugeMetricFamily("edgecore_unit_up", "1 while the unit runs.", labels=["unit"])
    restarts = CounterMetricFamily("edgecore_unit_restarts", "Restarts after a crash.", labels=["unit"])
    for name, status in statuses.items():
        up.add_metric([name], float(status.get("state") == "running"))
        count = status.get("restarts")
        if isinstance(count, int):
            restarts.add_metric([name], count)
    return iter((up, restarts))


def _latency(found: object) -> Iterator[Metric]:
    """Yield the histogram, if the listener gives it."""
    if isinstance(found, Mapping) and found.get("buckets"):
        buckets = [(str(bound), float(count)) for bound, count in found["buckets"]]
        yield HistogramMetricFamily(LATENCY, _LATENCY_HELP, buckets, float(found["sum"]))


def _samples(source: Source, status: object) -> Iterator[tuple[str, float]]:
    """(label's value or "", number) for each sample that the status holds."""
    found = _at(status, source.path)
    if not source.label:
        found = {"": found}
    if not isinstance(found, Mapping):
        return
    for label, value in found.items():
        number = value.get(source.field) if source.field and isinstance(value, Mapping) else value
        if isinstance(number, Mapping):
            number = sum(each for each in number.values() if isinstance(each, int | float))
        if isinstance(number, int | float):
            yield str(label), float(number)


def _at(status: object, path: tuple[str, ...]) -> object:
    for key in path:
        status = status.get(key) if isinstance(status, Mapping) else None
    return status


def _family(source: Source, samples: list[tuple[str, float]]) -> Metric:
    made = CounterMetricFamily if source.kind == "counter" else GaugeMetricFamily
    family = made(source.name, source.help, labels=[source.label] if source.label else [])
    for label, number in samples:
        family.add_metric([label] if source.label else [], number)
    return family
