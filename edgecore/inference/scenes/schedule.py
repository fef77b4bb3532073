"""Who is on the road and where, at any frame: objects of a seeded schedule, each straight and steady.

Pure. Knows nothing of pictures. Frame n needs only the signal cycles around n, so any frame costs the same.

What keeps objects apart, so that truth can be counted exactly: the vehicles of a lane share one speed and
have slots with a gap; the two directions of walking have a strip each; and, as at a real junction, the
crosswalk belongs to vehicles in one phase of the signal cycle and to pedestrians in the other.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from math import ceil, floor

from edgecore.inference.geometry import Box, clipped
from edgecore.inference.scenes.parameters import (
    HEIGHT,
    LONGEST_VEHICLE,
    PEDESTRIAN_GAP,
    VEHICLE_GAP,
    WIDTH,
    SceneParameters,
)

VEHICLE, PEDESTRIAN = "vehicle", "pedestrian"

_MARGIN = 4.0
"""Pixels between the crosswalk's edge and where its phase begins."""
_CACHED_CYCLES = 8
"""A frame looks at three cycles; a few more spare the work when frames are asked for in any order."""


class Kind(enum.Enum):
    """How an object is drawn."""

    CAR = "car"
    VAN = "van"
    TRUCK = "truck"
    WALKER = "walker"


@dataclass(frozen=True, slots=True)
class Mover:
    """One object, in pixels and frames.

    At frame `meets` its front is at `front` on its axis of movement; `across` is fixed (the x of a
    vehicle's middle, the y of a pedestrian's feet).
    """

    id: int
    label: str
    kind: Kind
    width: float
    height: float
    across: float
    front: float
    meets: float
    speed: float
    """Signed: down or to the right is above zero."""

    def pixels(self, frame: int) -> Box:
        """The whole box at that frame, in pixels, whether in the picture or not."""
        front = self.front + self.speed * (frame - self.meets)
        if self.label == PEDESTRIAN:
            left = front - self.width if self.speed > 0 else front
            return Box(left, self.across - self.height, left + self.width, self.across)
        top = front - self.height if self.speed > 0 else front
        return Box(self.across - self.width / 2, top, self.across + self.width / 2, top + self.height)

    def box(self, frame: int) -> Box:
        """The visible part of the box, in fractions of the picture."""
        left, top, right, bottom = self.pixels(frame)
        return clipped(Box(left / WIDTH, top / HEIGHT, right / WIDTH, bottom / HEIGHT))

    def visible(self, frame: int) -> float:
        """The share of the object that is in the picture, 0 to 1."""
        return self.box(frame).area / (self.width / WIDTH * self.height / HEIGHT)

    @property
    def first(self) -> int:
        """The first frame in which any of it is in the picture."""
        return ceil(self._when(0.0 if self.speed > 0 else self._span))

    @property
    def last(self) -> int:
        """The last such frame."""
        length = self.width if self.label == PEDESTRIAN else self.height
        return floor(self._when(self._span + length if self.speed > 0 else -length))

    @property
    def _span(self) -> float:
        return WIDTH if self.label == PEDESTRIAN else HEIGHT

    def _when(self, front: float) -> float:
        return self.meets + (front - self.front) / self.speed


class Schedule:
    """The objects of a scene, by frame."""

    def __init__(self, parameters: SceneParameters) -> None:
        self._parameters = parameters
        self._cycles: dict[int, tuple[Mover, ...]] = {}

    def alive(self, frame: int) -> list[Mover]:
        """The objects with some part in the picture at that frame, higher feet first: as they are drawn."""
        cycle = frame // self._parameters.traffic.cycle
        movers = (mover for near in (cycle - 1, cycle, cycle + 1) for mover in self._of(near))
        present = [mover for mover in movers if mover.first <= frame <= mover.last]
        return sorted(present, key=lambda mover: mover.pixels(frame).bottom)

    def between(self, first: int, last: int) -> list[Mover]:
        """The objects with some part in the picture at some frame from first to last."""
        length = self._parameters.traffic.cycle
        movers = (
            mover for cycle in range(first // length - 1, last // length + 2) for mover in self._of(cycle)
        )
        return [mover for mover in movers if mover.first <= last and mover.last >= first]

    def _of(self, cycle: int) -> tuple[Mover, ...]:
        if cycle not in self._cycles:
            while len(self._cycles) >= _CACHED_CYCLES:
                del self._cycles[next(iter(self._cycles))]
            self._cycles[cycle] = (
                *_vehicles(self._parameters, cycle),
                *_pedestrians(self._parameters, cycle),
            )
        return self._cycles[cycle]


def _vehicles(parameters: SceneParameters, cycle: int) -> list[Mover]:
    """The vehicles of one cycle.

    Their fronts reach the crosswalk in slots, the last one early enough to have left it when the phase ends.
    """
    road, traffic = parameters.road, parameters.traffic
    top, bottom = road.crosswalk_top - _MARGIN, road.crosswalk_bottom + _MARGIN
    movers = []
    for lane, (speed, direction) in enumerate(zip(road.lane_speeds, road.lane_directions, strict=True)):
        spacing = (LONGEST_VEHICLE + VEHICLE_GAP) / speed
        time = traffic.vehicle_frames - (bottom - top + LONGEST_VEHICLE) / speed
        slots = max(1, int(time / (spacing * 1.35)))
        for slot in range(slots):
            if parameters.draws.unit("vehicle", cycle, lane, slot) >= traffic.vehicle_flow:
                continue
            jitter = (time / slots - spacing) * parameters.draws.unit("vehicle jitter", cycle, lane, slot)
            meets = cycle * traffic.cycle + slot * time / slots + max(0.0, jitter)
            movers.append(
                _vehicle(
                    parameters,
                    (cycle, lane, slot),
                    meets,
                    top if direction > 0 else bottom,
                    speed * direction,
                )
            )
    return movers


def _vehicle(
    parameters: SceneParameters, key: tuple[int, int, int], meets: float, front: float, speed: float
) -> Mover:
    draws = parameters.draws
    chance = draws.unit("vehicle kind", *key)
    kind = Kind.CAR if chance < 0.65 else Kind.VAN if chance < 0.85 else Kind.TRUCK
    width, length = {
        Kind.CAR: (draws.between(28, 35, "car width", *key), draws.between(44, 58, "car length", *key)),
        Kind.VAN: (draws.between(32, 37, "van width", *key), draws.between(54, 68, "van length", *key)),
        Kind.TRUCK: (
            draws.between(34, 40, "truck width", *key),
            draws.between(64, LONGEST_VEHICLE, "truck length", *key),
        ),
    }[kind]
    across = parameters.road.lane_centre(key[1]) + draws.between(-2, 2, "vehicle offset", *key)
    return Mover(_id(0, *key), VEHICLE, kind, width, length, across, front, meets, speed)


def _pedestrians(parameters: SceneParameters, cycle: int) -> list[Mover]:
    """The pedestrians of one cycle.

    Those of a strip share a speed, so that none overtakes, and all have left the road when the phase ends.
    """
    road, traffic, draws = parameters.road, parameters.traffic, parameters.draws
    movers = []
    for strip, direction in enumerate((1, -1)):
        speed = draws.between(2.1, 3.2, "walk", cycle, strip)
        spacing = PEDESTRIAN_GAP / speed
        time = traffic.pedestrian_frames - (road.right - road.left + 2 * _MARGIN + PEDESTRIAN_GAP) / speed
        slots = max(1, int(time / (spacing * 1.35)))
        for slot in range(slots):
            key = (cycle, strip, slot)
            if draws.unit("pedestrian", *key) >= traffic.pedestrian_flow:
                continue
            jitter = (time / slots - spacing) * draws.unit("pedestrian jitter", *key)
            meets = cycle * traffic.cycle + traffic.vehicle_frames + slot * time / slots + max(0.0, jitter)
            front = road.left - _MARGIN if direction > 0 else road.right + _MARGIN
            movers.append(_pedestrian(parameters, key, meets, front, speed * direction))
    return movers


def _pedestrian(
    parameters: SceneParameters, key: tuple[int, int, int], meets: float, front: float, speed: float
) -> Mover:
    height = parameters.draws.between(26, 35, "pedestrian height", *key)
    width = height * parameters.draws.between(0.4, 0.48, "pedestrian width", *key)
    across = parameters.road.strip_foot(key[1]) - parameters.draws.between(0, 2, "pedestrian offset", *key)
    return Mover(_id(1, *key), PEDESTRIAN, Kind.WALKER, width, height, across, front, meets, speed)


def _id(label: int, cycle: int, lane: int, slot: int) -> int:
    """A number of its own for every object of a scene: 64 slots, 16 lanes, two labels."""
    return ((cycle * 2 + label) * 16 + lane) * 64 + slot
