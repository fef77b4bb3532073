"""What one traffic scene looks like and how it moves: drawn once from a seed, for training or held out.

Pure. Lengths are pixels of a 320x240 picture, speeds pixels per frame, times frames. A frame is meant to
last about a tenth of a second.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgecore.inference.scenes.draws import Draws, Split

WIDTH, HEIGHT = 320, 240
"""The size of the picture: small enough to draw and to analyse at 20 frames a second on one slow core."""

LONGEST_VEHICLE = 80.0
VEHICLE_GAP = 14.0
"""Between two vehicles of a lane, so that their boxes stay apart."""
TALLEST_PEDESTRIAN = 35.0
PEDESTRIAN_GAP = 34.0
"""From middle to middle of two pedestrians of a strip: twice the width of the widest."""


class Light(enum.Enum):
    """The time of day of a scene."""

    DAY = "day"
    NIGHT = "night"


@dataclass(frozen=True, slots=True)
class Ground:
    """What the picture shows where nothing moves.

    Colours are hue (0 to 180), saturation and value (0 to 255), as OpenCV counts them; roughness is the
    deviation of the texture.
    """

    asphalt: tuple[float, float, float]
    verge: tuple[float, float, float]
    asphalt_roughness: float
    verge_roughness: float
    verge_kind: str
    marking: float
    clutter: int


@dataclass(frozen=True, slots=True)
class Lighting:
    """What light and the camera do.

    Gain multiplies every colour, noise is the sensor's deviation, shadow is the share of light that a
    shadow takes.
    """

    light: Light
    gain: float
    noise: float
    shadow: float
    shadow_x: float
    shadow_y: float
    building_shadows: int
    tint: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Road:
    """The lanes run down the picture; the crosswalk has one strip for each direction of walking."""

    left: float
    lane_width: float
    lane_speeds: tuple[float, ...]
    lane_directions: tuple[int, ...]
    crosswalk_top: float
    strip: float

    @property
    def right(self) -> float:
        """The x of the right kerb."""
        return self.left + self.lane_width * len(self.lane_speeds)

    @property
    def crosswalk_bottom(self) -> float:
        """The y of the lower edge of the crosswalk."""
        return self.crosswalk_top + 2 * self.strip

    def lane_centre(self, lane: int) -> float:
        """The x of a lane's middle."""
        return self.left + self.lane_width * (lane + 0.5)

    def strip_foot(self, strip: int) -> float:
        """Where the feet of the pedestrians of a strip are."""
        return self.crosswalk_top + self.strip * (strip + 1)


@dataclass(frozen=True, slots=True)
class Traffic:
    """The signal cycle, and how busy it is.

    For `vehicle_frames` the crosswalk belongs to vehicles, then for `pedestrian_frames` to pedestrians.
    Flows are the chance that a slot is used.
    """

    vehicle_frames: int
    pedestrian_frames: int
    vehicle_flow: float
    pedestrian_flow: float

    @property
    def cycle(self) -> int:
        """Frames from one vehicle phase to the next."""
        return self.vehicle_frames + self.pedestrian_frames


@dataclass(frozen=True, slots=True)
class SceneParameters:
    """Everything about a scene that does not change from frame to frame."""

    draws: Draws
    ground: Ground
    lighting: Lighting
    road: Road
    traffic: Traffic


def draw_scene(seed: int, split: Split = Split.HELD_OUT, light: Light | None = None) -> SceneParameters:
    """The scene of a seed. `light` fixes the time of day, else one scene in four is at night."""
    draws = Draws(seed, split)
    if light is None:
        light = Light.NIGHT if draws.unit("light") < 0.25 else Light.DAY
    road = _road(draws)
    return SceneParameters(draws, _ground(draws), _lighting(draws, light), road, _traffic(draws))


def _road(draws: Draws) -> Road:
    lanes = draws.pick((2, 3, 4), (2, 4), "lanes")
    lane_width = draws.between(46, 58, "lane width")
    free = WIDTH - lanes * lane_width
    upward = lanes // 2
    return Road(
        left=free * draws.between(0.25, 0.75, "road left"),
        lane_width=lane_width,
        lane_speeds=tuple(draws.between(3.4, 6.6, "lane speed", lane) for lane in range(lanes)),
        lane_directions=tuple(-1 if lane >= lanes - upward else 1 for lane in range(lanes)),
        crosswalk_top=draws.between(30, 48, "crosswalk"),
        strip=draws.between(37, 40, "strip"),
    )


def _ground(draws: Draws) -> Ground:
    kind = draws.pick(("grass", "paving", "gravel", "plain"), ("tiles", "patches"), "verge kind")
    return Ground(
        asphalt=(
            draws.between(0, 180, "asphalt hue"),
            draws.between(0, 35, "asphalt saturation"),
            draws.between(60, 150, "asphalt value"),
        ),
        verge=(
            draws.between(0, 180, "verge hue"),
            draws.between(10, 120, "verge saturation"),
            draws.between(70, 190, "verge value"),
        ),
        asphalt_roughness=draws.between(2, 9, "asphalt roughness"),
        verge_roughness=draws.between(3, 16, "verge roughness"),
        verge_kind=kind,
        marking=draws.between(170, 240, "marking"),
        clutter=int(draws.between(0, 24, "clutter")),
    )


def _lighting(draws: Draws, light: Light) -> Lighting:
    night = light is Light.NIGHT
    return Lighting(
        light=light,
        gain=draws.between(0.38, 0.6, "gain") if night else draws.between(0.7, 1.2, "gain"),
        noise=draws.between(1.0, 7.0, "noise"),
        shadow=0.15 if night else draws.between(0.0, 0.6, "shadow"),
        shadow_x=draws.between(-12, 12, "shadow x"),
        shadow_y=draws.between(-6, 6, "shadow y"),
        building_shadows=0 if night else int(draws.between(0, 4, "building shadows")),
        tint=(
            draws.between(0.9, 1.1, "tint", 0),
            draws.between(0.94, 1.06, "tint", 1),
            draws.between(0.9, 1.1, "tint", 2),
        ),
    )


def _traffic(draws: Draws) -> Traffic:
    return Traffic(
        vehicle_frames=int(draws.between(150, 220, "vehicle frames")),
        pedestrian_frames=int(draws.between(190, 230, "pedestrian frames")),
        vehicle_flow=draws.between(0.5, 0.95, "vehicle flow"),
        pedestrian_flow=draws.between(0.5, 0.95, "pedestrian flow"),
    )
