"""Flows in, signal timing out. Pure: no clock, no topics, no edgecore.

Webster's method (Road Research Technical Paper 39, 1958): the cycle follows from the lost time and the
flow ratios, and green is shared in proportion to them. Two stages, north-south and east-west, and a third
for pedestrians while they ask for it. Times in seconds, flows in vehicles per hour.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

STAGES = {"north-south": ("north", "south"), "east-west": ("east", "west")}
APPROACHES = tuple(approach for stage in STAGES.values() for approach in stage)
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}

# Vehicles per hour of green and lane, the usual figure for a straight lane.
SATURATION_FLOW = 1800.0
# Yellow, all-red and starting loss of one stage.
LOST_PER_STAGE = 5
# A walk of about 12 m at 1.2 m/s, and its clearance.
WALK = 15
MIN_GREEN = 7
MIN_CYCLE, MAX_CYCLE = 40, 120
# Beyond this Webster's cycle grows without bound; the longest cycle is right anyway.
MAX_FLOW_RATIO = 0.9
# A plan is changed only for a difference that a driver would notice.
LEAST_CHANGE = 3
# A flow follows a change by two thirds in this time: about one cycle.
SMOOTHING = 60.0
# Pedestrians who crossed this recently ask for the next walk, too.
DEMAND = 60.0


@dataclass(frozen=True)
class Timing:
    """What the controllers do in each cycle. `walk` is 0 while nobody asks for it."""

    cycle: int
    green: dict[str, int]
    walk: int


def plan_timing(flows: Mapping[str, float], walking: bool) -> Timing:
    """The timing for these flows by approach; approaches that are not named have none."""
    ratios = {
        stage: max(flows.get(approach, 0.0) for approach in approaches) / SATURATION_FLOW
        for stage, approaches in STAGES.items()
    }
    walk = WALK if walking else 0
    lost = LOST_PER_STAGE * len(STAGES) + walk
    total = min(sum(ratios.values()), MAX_FLOW_RATIO)
    cycle = min(max((1.5 * lost + 5) / (1 - total), MIN_CYCLE, lost + MIN_GREEN * len(STAGES)), MAX_CYCLE)
    greens = _shares(round(cycle) - lost, ratios)
    green = {approach: greens[stage] for stage, approaches in STAGES.items() for approach in approaches}
    return Timing(sum(greens.values()) + lost, green, walk)


def settled(current: Timing | None, wished: Timing) -> Timing:
    """`wished`, or `current` when the difference is not worth a change."""
    if current is None or current.walk != wished.walk:
        return wished
    change = max(abs(wished.green[approach] - current.green[approach]) for approach in APPROACHES)
    return wished if change >= LEAST_CHANGE else current


def _shares(available: int, ratios: Mapping[str, float]) -> dict[str, int]:
    """Green by stage: in proportion to the flow ratios, each at least MIN_GREEN, together `available`."""
    free = available - MIN_GREEN * len(ratios)
    total = sum(ratios.values())
    shares = {stage: ratio / total if total > 0 else 1 / len(ratios) for stage, ratio in ratios.items()}
    greens = {stage: MIN_GREEN + math.floor(free * share) for stage, share in shares.items()}
    busiest = max(shares, key=lambda stage: shares[stage])
    greens[busiest] += available - sum(greens.values())
    return greens


@dataclass
class Camera:
    """What is known of one camera's counts, which grow from the start of its pipeline."""

    first_frame: int
    at: float
    counts: dict[tuple[str, str, str], int]


class Traffic:
    """Flows and walkers, learned from cameras' counts. A camera is named as the approach that it looks at.

    What crosses the stop line inwards is that approach's flow; what leaves came from the opposite one,
    which is used as long as that has no camera of its own.
    """

    def __init__(self, assumed: Mapping[str, float]) -> None:
        self.flows: dict[str, float] = dict(assumed)
        self._cameras: dict[str, Camera] = {}
        self._walked_at: float | None = None

    def take(self, event: Mapping[str, object]) -> float:
        """Take in one counts message; gives its time.

        The first one of a camera only says where its counts stand. Raises KeyError, TypeError or
        ValueError for something else than a counts message.
        """
        name, at = str(event["camera"]), float(event["at"])
        known = self._cameras.get(name)
        current = Camera(int(event["first_frame"]), at, _flat(event["counts"]))
        self._cameras[name] = current
        if known is None:
            return at
        passed = _since(known, current)
        if any(count for (_, label, _), count in passed.items() if label == "pedestrian"):
            self._walked_at = at
        if at > known.at:
            self._learn(name, passed, at - known.at)
        return at

    def walking(self, at: float) -> bool:
        """Whether pedestrians crossed lately."""
        return self._walked_at is not None and abs(at - self._walked_at) <= DEMAND

    def _learn(self, name: str, passed: Mapping[tuple[str, str, str], int], seconds: float) -> None:
        self._blend(name, _vehicles(passed, "in"), seconds)
        opposite = OPPOSITE.get(name)
        if opposite and opposite not in self._cameras:
            self._blend(opposite, _vehicles(passed, "out"), seconds)

    def _blend(self, approach: str, vehicles: int, seconds: float) -> None:
        weight = 1 - math.exp(-seconds / SMOOTHING)
        flow = vehicles / seconds * 3600
        self.flows[approach] = self.flows.get(approach, 0.0) * (1 - weight) + flow * weight


def _flat(counts: object) -> dict[tuple[str, str, str], int]:
    """The nested counts (by line, label, direction) as one dictionary."""
    if not isinstance(counts, dict):
        raise TypeError(f"found counts {counts!r:.80}, expected an object")
    return {
        (line, label, direction): int(count)
        for line, labels in counts.items()
        for label, directions in labels.items()
        for direction, count in directions.items()
    }


def _since(known: Camera, current: Camera) -> dict[tuple[str, str, str], int]:
    """What crossed since the last message. A camera that started again counts from 0 again."""
    if known.first_frame != current.first_frame:
        return dict(current.counts)
    return {
        key: count - before if count >= (before := known.counts.get(key, 0)) else count
        for key, count in current.counts.items()
    }


def _vehicles(passed: Mapping[tuple[str, str, str], int], direction: str) -> int:
    return sum(count for (_, label, way), count in passed.items() if (label, way) == ("vehicle", direction))
