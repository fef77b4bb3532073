"""Whether everything agrees: what devices were promised against what arrived, copies against copies.

Pure. Values come in, tallies and the reasons of a disagreement go out; how they were gathered is not
known here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from typing import Any, Final

from edgecore.sim.controller import State, unreported
from edgecore.sim.crossings import Comparison, Crossing, Interval
from edgecore.sim.sequences import SequenceSet

# A reason names this many examples; the figure beside them says how many there are.
_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class Messages:
    """QoS 1 messages of the sensors. `lost`: acknowledged to a sensor and never seen in the cloud."""

    published: int
    acknowledged: int
    arrived: int
    duplicates: int
    altered: int
    unacknowledged: int
    lost: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shadows:
    """Controllers' shadows. Converged: both copies equal, and all that is desired is reported."""

    things: int
    converged: int
    deltas: int
    reports: int
    differing: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outage:
    """A cut of the cloud link. Depths are records in the outbox."""

    seconds: float
    outbox_before: int
    outbox_peak: int


@dataclass(frozen=True, slots=True)
class Kill:
    """A SIGKILL of the daemon, and the seconds until it took devices again."""

    down_seconds: float


@dataclass(frozen=True, slots=True)
class Camera:
    """Counted lines against the scene. `intervals`: frames that were looked at without a break."""

    intervals: tuple[Interval, ...]
    crossings: Comparison

    def as_json(self) -> dict[str, Any]:
        """Its part of the tallies; a gap lies between the last frame before it and the first after it."""
        return {
            "expected": self.crossings.expected,
            "counted": self.crossings.counted,
            "at_edges": self.crossings.at_edges,
            "by_line": self.crossings.by_line,
            "missing": [crossing._asdict() for crossing in self.crossings.missing],
            "extra": [crossing._asdict() for crossing in self.crossings.extra],
            "intervals": [interval._asdict() for interval in self.intervals],
            "gaps": [
                {"last_before": before.last, "first_after": after.first}
                for before, after in pairwise(self.intervals)
            ],
        }


@dataclass(frozen=True, slots=True)
class Tallies:
    """All that one run showed."""

    seconds: float
    seed: int
    devices: int
    connects: int
    messages: Messages
    cameras: dict[str, Camera]
    shadows: Shadows
    timings: int
    outbox: int
    outage: Outage | None = None
    kill: Kill | None = None
    faults: tuple[str, ...] = ()

    def reasons(self) -> list[str]:
        """Why the run does not agree, in words; empty when it does."""
        return [
            *_of_messages(self.messages),
            *(reason for name, camera in self.cameras.items() for reason in _of_camera(name, camera)),
            *_of_shadows(self.shadows),
            *([] if self.timings else ["function: not one timing arrived in the cloud"]),
            *([f"outbox: it still holds {self.outbox} records"] if self.outbox else []),
            *_of_outage(self.outage),
            *self.faults,
        ]

    def as_json(self) -> dict[str, Any]:
        """The object that `edgecore demo --json` prints."""
        reasons = self.reasons()
        record = asdict(self)
        record["cameras"] = {name: camera.as_json() for name, camera in self.cameras.items()}
        return {"agree": not reasons, "reasons": reasons, **record}


def tally_messages(
    published: Mapping[str, int],
    acknowledged: Mapping[str, SequenceSet],
    arrived: Mapping[str, SequenceSet],
    duplicates: int,
    altered: int,
) -> Messages:
    """Compare what each thing was acknowledged with what arrived from it."""
    nothing = SequenceSet()
    lost = {
        thing: list(numbers.missing_from(arrived.get(thing, nothing)))
        for thing, numbers in acknowledged.items()
    }
    names = (f"{thing} {number}" for thing, numbers in lost.items() for number in numbers)
    return Messages(
        published=sum(published.values()),
        acknowledged=sum(map(len, acknowledged.values())),
        arrived=sum(map(len, arrived.values())),
        duplicates=duplicates,
        altered=altered,
        unacknowledged=sum(published.values()) - sum(map(len, acknowledged.values())),
        lost=sum(map(len, lost.values())),
        examples=tuple(islice(names, _EXAMPLES)),
    )


def difference(local: State | None, cloud: State | None) -> str:
    """Why two copies of a shadow's `state` do not agree; "" when they do."""
    if local is None or cloud is None:
        return "no copy here" if local is None else "no copy in the cloud"
    for section in ("desired", "reported"):
        here, there = local.get(section) or {}, cloud.get(section) or {}
        if here != there:
            return f"{section}: here {here}, in the cloud {there}"
    if not local.get("desired"):
        return "nothing was ever desired"
    missing = unreported(local)
    return f"desired and not reported: {missing}" if missing else ""


def _of_messages(messages: Messages) -> Iterator[str]:
    examples = ", ".join(messages.examples)
    if messages.lost:
        yield f"messages: {messages.lost} acknowledged ones never arrived in the cloud: {examples}"
    if messages.altered:
        yield f"messages: {messages.altered} arrived altered"
    if messages.unacknowledged:
        yield f"messages: {messages.unacknowledged} were never acknowledged"
    if not messages.acknowledged:
        yield "messages: not one was acknowledged"


def _of_camera(name: str, camera: Camera) -> Iterator[str]:
    if not camera.intervals:
        yield f"camera {name}: not one frame was seen"
    for what, crossings in (("missing", camera.crossings.missing), ("made up", camera.crossings.extra)):
        if crossings:
            examples = "; ".join(map(_words, crossings[:_EXAMPLES]))
            yield f"camera {name}: {len(crossings)} crossings {what}: {examples}"


def _of_shadows(shadows: Shadows) -> Iterator[str]:
    for thing, reason in shadows.differing.items():
        yield f"shadow of {thing}: {reason}"


def _of_outage(outage: Outage | None) -> Iterator[str]:
    if outage is None:
        return
    if outage.outbox_peak <= outage.outbox_before:
        before, peak = outage.outbox_before, outage.outbox_peak
        yield f"outage: the outbox was not seen to grow (before {before}, peak {peak})"


def _words(crossing: Crossing) -> str:
    return f"{crossing.label} {crossing.direction} over {crossing.line} at frame {crossing.frame}"
