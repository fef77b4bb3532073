"""Draws a scene: its ground once, and its objects frame by frame, with OpenCV.

Pure: the same scene and frame give the same bytes. Knows nothing of models. Needs the optional extra
[vision] (cv2); imported only by what draws.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from edgecore.inference.geometry import Box
from edgecore.inference.scenes.draws import Draws, mix, noise_field
from edgecore.inference.scenes.parameters import HEIGHT, WIDTH, Light, Road, SceneParameters
from edgecore.inference.scenes.schedule import PEDESTRIAN, Kind, Mover

Picture = NDArray[np.uint8]
Colour = tuple[float, float, float]

_SHIFT = 4
"""Coordinates are passed with this many fractional bits, so that slow objects move smoothly."""
_ONE = 1 << _SHIFT
_NOISE_MARGIN = 64
"""The noise is one larger field, shifted by up to this many pixels from frame to frame: new noise for each
frame would cost more than all the drawing."""


def colour(hue: float, saturation: float, value: float) -> Colour:
    """Blue, green, red (0 to 255) of a colour in OpenCV's HSV."""
    pixel = np.array([[[hue, saturation, value]]], np.uint8)
    blue, green, red = cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0]
    return (float(blue), float(green), float(red))


class Painter:
    """Draws the frames of one scene. Making one costs about as much as ten frames: it paints the ground."""

    def __init__(self, parameters: SceneParameters) -> None:
        self._parameters = parameters
        self._light = _light_field(parameters)
        ground = _ground(parameters) * self._light * np.array(parameters.lighting.tint, np.float32)
        self._ground: Picture = np.clip(ground, 0, 255).astype(np.uint8)
        field = noise_field(
            parameters.draws.key("noise field"), HEIGHT + _NOISE_MARGIN, WIDTH + _NOISE_MARGIN, 3
        )
        self._noise: NDArray[np.int16] = np.rint(field * parameters.lighting.noise).astype(np.int16)

    def paint(self, frame: int, movers: list[Mover]) -> Picture:
        """The picture of that frame with these objects: HEIGHT x WIDTH x 3 bytes, blue first."""
        picture = self._ground.copy()
        for mover in movers:
            self._shadow(picture, mover, mover.pixels(frame))
        for mover in movers:
            self._mover(picture, mover, frame)
        shift = mix(self._parameters.draws.seed, frame)
        row, column = shift % _NOISE_MARGIN, (shift >> 16) % _NOISE_MARGIN
        noise = self._noise[row : row + HEIGHT, column : column + WIDTH]
        cv2.add(picture, noise, dst=picture, dtype=cv2.CV_8U)
        return picture

    def _shadow(self, picture: Picture, mover: Mover, box: Box) -> None:
        lighting = self._parameters.lighting
        if lighting.shadow < 0.05:
            return
        scale = 0.5 if mover.label == PEDESTRIAN else 1.0
        x, y = lighting.shadow_x * scale, lighting.shadow_y * scale
        base = box.bottom - 4 if mover.label == PEDESTRIAN else box.top + 4
        left, right = max(0, round(box.left + min(x, 0) + 2)), min(WIDTH, round(box.right + max(x, 0) - 2))
        top, bottom = max(0, round(base + min(y, 0))), min(HEIGHT, round(box.bottom + max(y, 0)))
        if left < right and top < bottom:
            part = picture[top:bottom, left:right]
            cv2.convertScaleAbs(part, dst=part, alpha=1 - lighting.shadow)

    def _mover(self, picture: Picture, mover: Mover, frame: int) -> None:
        box = mover.pixels(frame)
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        light = float(self._light[min(max(int(y), 0), HEIGHT - 1), min(max(int(x), 0), WIDTH - 1), 0])
        brush = _Brush(picture, _scaled(self._parameters.lighting.tint, light))
        if mover.kind is Kind.WALKER:
            _walker(brush, self._parameters.draws, mover, box)
        else:
            _vehicle(brush, self._parameters, mover, box)


class _Brush:
    """Draws shapes with fractional coordinates in a given light."""

    def __init__(self, picture: Picture, light: Colour) -> None:
        self._picture, self._light = picture, light

    def lit(self, paint: Colour) -> Colour:
        blue, green, red = (min(255.0, part * light) for part, light in zip(paint, self._light, strict=True))
        return (blue, green, red)

    def polygon(self, points: list[tuple[float, float]], paint: Colour) -> None:
        corners = np.array(points, np.float64) * _ONE
        cv2.fillConvexPoly(
            self._picture, np.rint(corners).astype(np.int32), self.lit(paint), cv2.LINE_AA, _SHIFT
        )

    def rectangle(self, box: Box, paint: Colour, corner: float = 0.0) -> None:
        left, top, right, bottom = box.left, box.top, box.right - 1, box.bottom - 1
        c = corner
        points = [
            (left + c, top),
            (right - c, top),
            (right, top + c),
            (right, bottom - c),
            (right - c, bottom),
            (left + c, bottom),
            (left, bottom - c),
            (left, top + c),
        ]
        self.polygon(points if c else points[::2], paint)

    def disc(self, x: float, y: float, radius: float, paint: Colour, lit: bool = True) -> None:
        centre = (round(x * _ONE), round(y * _ONE))
        cv2.circle(
            self._picture,
            centre,
            round(radius * _ONE),
            self.lit(paint) if lit else paint,
            -1,
            cv2.LINE_AA,
            _SHIFT,
        )

    def stroke(
        self, start: tuple[float, float], end: tuple[float, float], paint: Colour, thickness: int
    ) -> None:
        first, last = ((round(x * _ONE), round(y * _ONE)) for x, y in (start, end))
        cv2.line(self._picture, first, last, self.lit(paint), thickness, cv2.LINE_AA, _SHIFT)


def _vehicle(brush: _Brush, parameters: SceneParameters, mover: Mover, box: Box) -> None:
    draws = parameters.draws
    saturation = (
        draws.between(10, 230, "paint saturation", mover.id)
        if draws.unit("is grey", mover.id) > 0.4
        else draws.between(0, 25, "paint grey", mover.id)
    )
    paint = colour(
        draws.between(0, 180, "paint hue", mover.id),
        saturation,
        draws.between(35, 250, "paint value", mover.id),
    )
    roof = tuple(min(255.0, part * draws.between(0.75, 1.2, "roof", mover.id)) for part in paint)
    glass = draws.between(15, 70, "glass", mover.id)
    along = _Along(box, mover.speed > 0)
    brush.rectangle(box, _scaled(paint, 0.45), corner=box.right / 50 if mover.kind is Kind.TRUCK else 5)
    brush.rectangle(
        Box(box.left + 1.2, box.top + 1.2, box.right - 1.2, box.bottom - 1.2),
        paint,
        corner=1 if mover.kind is Kind.TRUCK else 4.5,
    )
    if mover.kind is Kind.TRUCK:
        cargo = colour(
            draws.between(0, 180, "cargo hue", mover.id),
            draws.between(0, 120, "cargo saturation", mover.id),
            draws.between(80, 245, "cargo value", mover.id),
        )
        brush.rectangle(along.part(0.3, 0.98, 0.03), cargo)
        brush.rectangle(along.part(0.27, 0.3, 0.06), (25, 25, 25))
        brush.rectangle(along.part(0.05, 0.14, 0.1), (glass, glass, glass * 0.9))
    else:
        start, end = (0.24, 0.86) if mover.kind is Kind.CAR else (0.14, 0.95)
        brush.rectangle(along.part(start, end, 0.1), (glass, glass, glass * 0.9), corner=3)
        brush.rectangle(
            along.part(start + 0.15, end - (0.12 if mover.kind is Kind.CAR else 0.05), 0.12),
            (roof[0], roof[1], roof[2]),
            corner=2,
        )
    _lamps(brush, parameters, along)


def _lamps(brush: _Brush, parameters: SceneParameters, along: _Along) -> None:
    night = parameters.lighting.light is Light.NIGHT
    for side in (0.16, 0.84):
        x, front, rear = along.x(side), along.y(0.03), along.y(0.97)
        brush.disc(
            x, front, 3.0 if night else 2.0, (215, 245, 255) if night else (190, 200, 205), lit=not night
        )
        brush.disc(x, rear, 2.2, (40, 40, 230) if night else (30, 30, 150), lit=not night)


class _Along:
    """Places on a vehicle counted from its front (0) to its rear (1)."""

    def __init__(self, box: Box, downward: bool) -> None:
        self._box, self._downward = box, downward

    def x(self, share: float) -> float:
        return self._box.left + share * (self._box.right - self._box.left)

    def y(self, share: float) -> float:
        share = 1 - share if self._downward else share
        return self._box.top + share * (self._box.bottom - self._box.top)

    def part(self, start: float, end: float, inset: float) -> Box:
        top, bottom = sorted((self.y(start), self.y(end)))
        return Box(self.x(inset), top, self.x(1 - inset), bottom)


def _walker(brush: _Brush, draws: Draws, mover: Mover, box: Box) -> None:
    """Head, body, and arms and legs that swing as far as the box is wide."""
    height, width, x = box.bottom - box.top, box.right - box.left, (box.left + box.right) / 2
    ahead = 1.0 if mover.speed > 0 else -1.0
    swing = math.sin((box.left + mover.id % 97) / height * 5.0)
    coat = colour(
        draws.between(0, 180, "coat hue", mover.id),
        draws.between(20, 220, "coat saturation", mover.id),
        draws.between(40, 245, "coat value", mover.id),
    )
    trousers = colour(
        draws.between(0, 180, "trousers hue", mover.id),
        draws.between(0, 120, "trousers saturation", mover.id),
        draws.between(20, 170, "trousers value", mover.id),
    )
    skin = colour(
        draws.between(5, 18, "skin hue", mover.id),
        draws.between(60, 150, "skin saturation", mover.id),
        draws.between(70, 240, "skin value", mover.id),
    )
    hair = colour(
        draws.between(0, 25, "hair hue", mover.id),
        draws.between(20, 150, "hair saturation", mover.id),
        draws.between(15, 150, "hair value", mover.id),
    )
    hip, shoulder = box.top + 0.55 * height, box.top + 0.24 * height
    thick = max(2, round(height * 0.1))
    for leg in (1, -1):
        foot = (x + leg * swing * (width / 2 - thick / 2), box.bottom - 1.5)
        brush.stroke((x + leg * width * 0.08, hip), foot, _scaled(trousers, 1.0 if leg > 0 else 0.75), thick)
        brush.stroke(
            (x, shoulder + 2),
            (x - leg * swing * (width / 2 - 1), hip),
            _scaled(coat, 0.8 if leg > 0 else 0.65),
            max(1, thick - 1),
        )
    half = width * 0.27
    brush.rectangle(Box(x - half, shoulder - 1, x + half + 1, hip + 2), coat, corner=2)
    head = height * 0.125
    brush.disc(x, box.top + head, head, hair)
    brush.disc(x + ahead * head * 0.35, box.top + head * 1.15, head * 0.75, skin)


def _scaled(paint: Colour, factor: float) -> Colour:
    return (paint[0] * factor, paint[1] * factor, paint[2] * factor)


def _ground(parameters: SceneParameters) -> NDArray[np.float32]:
    ground, road, draws = parameters.ground, parameters.road, parameters.draws
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    picture[:] = colour(*ground.verge)
    _verge_pattern(picture, ground.verge_kind, draws)
    picture += _texture(draws.key("verge texture"), ground.verge_roughness)
    left, right = round(road.left), round(road.right)
    asphalt = np.array(colour(*ground.asphalt), np.float32) + _texture(
        draws.key("asphalt texture"), ground.asphalt_roughness
    )
    picture[:, left:right] = asphalt[:, left:right]
    _patches(picture, draws, left, right)
    _markings(picture, road, ground.marking)
    _clutter(picture, draws, ground.clutter, left, right)
    return np.clip(picture, 0, 255)


def _texture(key: int, roughness: float) -> NDArray[np.float32]:
    """Coarse and fine unevenness, the coarse one the stronger."""
    coarse = cv2.resize(
        noise_field(key, HEIGHT // 12, WIDTH // 12, 3), (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC
    )
    fine = noise_field(key + 1, HEIGHT, WIDTH, 1)
    return np.asarray(roughness * (0.8 * coarse + 0.5 * fine), np.float32)


def _verge_pattern(picture: NDArray[np.float32], kind: str, draws: Draws) -> None:
    step = round(draws.between(9, 26, "pattern step"))
    if kind in ("paving", "tiles"):
        picture[::step] *= 0.8
        picture[:, ::step] *= 0.8
    if kind == "tiles":
        for row in range(0, HEIGHT, 2 * step):
            picture[row : row + step] *= 1.12
    if kind in ("grass", "gravel"):
        picture += 10 * noise_field(draws.key("verge grain"), HEIGHT, WIDTH, 1 if kind == "gravel" else 3)
    if kind == "patches":
        for index in range(30):
            centre = (int(draws.unit("patch x", index) * WIDTH), int(draws.unit("patch y", index) * HEIGHT))
            tone = float(draws.between(70, 190, "patch tone", index))
            cv2.circle(
                picture,
                centre,
                int(draws.between(6, 30, "patch radius", index)),
                (tone, tone * 1.05, tone * 0.95),
                -1,
            )


def _patches(picture: NDArray[np.float32], draws: Draws, left: int, right: int) -> None:
    """Repairs and covers in the asphalt: things of a vehicle's colours that are not vehicles."""
    for index in range(int(draws.between(0, 7, "repairs"))):
        x, y = (
            int(left + draws.unit("repair x", index) * (right - left - 30)),
            int(draws.unit("repair y", index) * HEIGHT),
        )
        width, height = (
            int(draws.between(8, 34, "repair width", index)),
            int(draws.between(6, 50, "repair height", index)),
        )
        picture[y : y + height, x : x + width] *= draws.between(0.75, 1.2, "repair tone", index)
    for index in range(2):
        x, y = (
            int(left + draws.unit("cover x", index) * (right - left)),
            int(draws.unit("cover y", index) * HEIGHT),
        )
        cv2.circle(picture, (x, y), 5, (45, 45, 45), -1)


def _markings(picture: NDArray[np.float32], road: Road, tone: float) -> None:
    left, right = round(road.left), round(road.right)
    for x in (left + 2, right - 4):
        picture[:, x : x + 2] = tone
    for lane in range(1, len(road.lane_speeds)):
        x = round(road.left + lane * road.lane_width)
        for y in range(round(road.crosswalk_bottom) + 8, HEIGHT, 24):
            picture[y : y + 12, x - 1 : x + 1] = tone
    for x in range(left + 6, right - 8, 18):
        picture[round(road.crosswalk_top) + 8 : round(road.crosswalk_bottom) + 2, x : x + 9] = (
            0.75 * tone + 0.25 * picture[0, x]
        )
    stop = round(road.crosswalk_bottom) + 9
    picture[stop : stop + 3, left + 4 : right - 4] = tone


def _clutter(picture: NDArray[np.float32], draws: Draws, count: int, left: int, right: int) -> None:
    """Bushes, bins and posts beside the road."""
    for index in range(count):
        free = left if draws.unit("clutter side", index) < 0.5 else -(WIDTH - right)
        x = draws.unit("clutter x", index) * abs(free) + (0 if free > 0 else right)
        y = draws.unit("clutter y", index) * HEIGHT
        tone = colour(
            draws.between(0, 180, "clutter hue", index),
            draws.between(20, 200, "clutter saturation", index),
            draws.between(40, 210, "clutter value", index),
        )
        size = draws.between(2, 9, "clutter size", index)
        if draws.unit("clutter round", index) < 0.5:
            cv2.circle(picture, (int(x), int(y)), int(size), tone, -1, cv2.LINE_AA)
        else:
            end = (
                int(x + size * draws.between(0.4, 1.5, "clutter width", index)),
                int(y + size * draws.between(0.5, 3, "clutter height", index)),
            )
            cv2.rectangle(picture, (int(x), int(y)), end, tone, -1)


def _light_field(parameters: SceneParameters) -> NDArray[np.float32]:
    """How much light falls where: the gain, darker in the shadows of buildings and towards the corners."""
    lighting, draws = parameters.lighting, parameters.draws
    field = np.full((HEIGHT, WIDTH), lighting.gain, np.float32)
    for index in range(lighting.building_shadows):
        x, lean = draws.unit("building x", index) * WIDTH, draws.between(-80, 80, "building lean", index)
        width = draws.between(30, 120, "building width", index)
        corners = np.array([(x, 0), (x + width, 0), (x + width + lean, HEIGHT), (x + lean, HEIGHT)], np.int32)
        mask = cv2.fillConvexPoly(np.zeros((HEIGHT, WIDTH), np.float32), corners, 1.0)
        field *= 1 - cv2.GaussianBlur(mask, (9, 9), 0) * np.float32(min(0.5, lighting.shadow))
    y, x_grid = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
    field *= (1 - draws.between(0, 0.18, "vignette") * (x_grid**2 + y**2) / 2).astype(np.float32)
    return field[:, :, None]
