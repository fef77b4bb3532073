"""What the live summary shows at one moment. Plain records, filled by the junction, read by the summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CameraView:
    """A camera: its newest frame, the objects in it, the sums of its lines."""

    name: str
    frame: int
    rate: float
    infer_ms: float
    objects: Sequence[Mapping[str, Any]]
    lines: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
    counts: Mapping[str, Mapping[str, Mapping[str, int]]]


@dataclass(frozen=True, slots=True)
class ControllerView:
    """A signal controller: what its lamps do, and whether its shadow is the same everywhere."""

    thing: str
    applied: Mapping[str, Any]
    converged: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of the junction. Times are seconds; `rates` are messages a second, newest last."""

    phase: str
    seconds: float
    remaining: float | None
    devices: int
    connected: int
    published: int
    acknowledged: int
    arrived: int
    duplicates: int
    outbox: int | None
    outbox_history: Sequence[int]
    rates: Sequence[float]
    cloud_connected: bool
    cameras: Sequence[CameraView]
    controllers: Sequence[ControllerView]
    timing: Mapping[str, Any]
    timings: int
    units: Mapping[str, str]
    restarts: int
    notes: Sequence[str] = field(default_factory=tuple)
