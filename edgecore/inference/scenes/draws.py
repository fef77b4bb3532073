"""Seeded draws for scenes: the same keys give the same value, and part of every range is held out.

Pure. Knows nothing of traffic, pictures or frames. Values come from a hash of (seed, keys), not from a
stateful generator, so that any object of any frame can be drawn on its own, in any order, on any version of
Python or numpy. What is held out is never used for training.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_T = TypeVar("_T")
_MASK = (1 << 64) - 1
Field = NDArray[np.float32]

BANDS = 12
"""Every range is cut into this many equal bands."""
HELD_OUT_BANDS = (2, 5, 8)
"""The bands that training never sees. Each lies between two trained ones: unseen values, inside the range
that the model is meant for."""
TRAINING_BANDS = tuple(band for band in range(BANDS) if band not in HELD_OUT_BANDS)


class Split(enum.Enum):
    """Which part of every range a scene draws from. The two never overlap."""

    TRAINING = "training"
    HELD_OUT = "held-out"

    @property
    def bands(self) -> tuple[int, ...]:
        """The numbers of its bands."""
        return TRAINING_BANDS if self is Split.TRAINING else HELD_OUT_BANDS


def mix(*keys: int) -> int:
    """A 64-bit hash of the keys (the finaliser of SplitMix64, chained)."""
    state = 0
    for key in keys:
        state = (state + key + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def noise_field(key: int, height: int, width: int, channels: int) -> Field:
    """A field of roughly normal noise, mean 0 and deviation 1, that depends on the key alone."""
    state = np.arange(height * width * channels, dtype=np.uint64) + np.uint64(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    state ^= state >> np.uint64(31)
    # The sum of eight uniform bytes is close to normal; 8 * (256^2 - 1) / 12 is its variance.
    total: Field = state.view(np.uint8).reshape(-1, 8).sum(axis=1, dtype=np.float32)
    return ((total - np.float32(1020.0)) / np.float32(209.02)).reshape(height, width, channels)


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of one scene, named by text and numbers: `draws.between(3.0, 6.0, "speed", lane)`."""

    seed: int
    split: Split

    def unit(self, name: str, *keys: int) -> float:
        """A value in [0, 1), over the whole range (for what is chance and not appearance)."""
        return mix(self.seed, crc32(name.encode()), *keys) / 2.0**64

    def between(self, low: float, high: float, name: str, *keys: int) -> float:
        """A value in [low, high), in the bands of this split only."""
        bands = self.split.bands
        place = self.unit(name, *keys) * len(bands)
        band = bands[int(place)]
        return low + (high - low) * (band + place - int(place)) / BANDS

    def pick(self, training: Sequence[_T], held_out: Sequence[_T], name: str, *keys: int) -> _T:
        """One of the choices of this split."""
        choices = training if self.split is Split.TRAINING else held_out
        return choices[int(self.unit(name, *keys) * len(choices))]

    def key(self, name: str, *keys: int) -> int:
        """A 64-bit key, for `noise_field` and for further draws."""
        return mix(self.seed, crc32(name.encode()), *keys)
