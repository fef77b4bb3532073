"""What simulated sensors measure: a value for every (signal, source, number), and nothing remembered.

Pure. Because a value is a function of its number, whoever receives a message can say whether it
arrived as it was sent, without keeping what was sent.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Signal:
    """A measured quantity: a slow wave around `middle`, with noise. `period` counts readings."""

    unit: str
    middle: float
    swing: float
    noise: float
    period: int
    digits: int = 1


SIGNALS: Final[dict[str, Signal]] = {
    "occupancy": Signal("%", middle=35.0, swing=25.0, noise=8.0, period=90),
    "speed": Signal("km/h", middle=42.0, swing=9.0, noise=6.0, period=60),
    "temperature": Signal("Cel", middle=18.0, swing=6.0, noise=0.3, period=600, digits=2),
    "noise": Signal("dB", middle=64.0, swing=7.0, noise=4.0, period=45),
    "air": Signal("ug/m3", middle=21.0, swing=8.0, noise=2.0, period=300),
    "rain": Signal("mm/h", middle=1.5, swing=1.5, noise=0.4, period=400, digits=2),
}
"""Units are UCUM's where it has one."""


@dataclass(frozen=True, slots=True)
class Source:
    """One sensor: its thing name, what it measures, and the seed of its noise."""

    thing: str
    signal: str
    seed: int

    @property
    def topic(self) -> str:
        """Where its telemetry is published."""
        return f"dt/{self.thing}/{self.signal}"


def value(source: Source, number: int) -> float:
    """The reading with that number, never below zero."""
    signal = SIGNALS[source.signal]
    wave = math.sin(2 * math.pi * (number / signal.period + _unit(source, 0)))
    noise = _unit(source, number) - 0.5
    return max(0.0, round(signal.middle + signal.swing * wave + signal.noise * noise, signal.digits))


def telemetry(source: Source, number: int) -> bytes:
    """The message that carries the reading."""
    reading = {
        "thing": source.thing,
        "seq": number,
        "value": value(source, number),
        "unit": SIGNALS[source.signal].unit,
    }
    return json.dumps(reading, separators=(",", ":")).encode()


def _unit(source: Source, number: int) -> float:
    """A number in [0, 1) that depends on source and number alone."""
    key = f"{source.seed}/{source.thing}/{source.signal}/{number}".encode()
    return zlib.crc32(key) / 2.0**32
