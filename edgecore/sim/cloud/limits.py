"""AWS's rate limits as token buckets. Pure: time is an argument.

Off by default, since most tests want throughput; `AWS` has the numbers of "AWS IoT Core endpoints
and quotas". A bucket holds one second's worth, so that a burst of that size goes through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

UNLIMITED: Final = math.inf


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a second may bring. What is beyond `bytes` waits; what is beyond the others is lost.

    `publishes`: per connection, in and out together. `bytes`: per connection. `connects`: per client
    id. `replay`: stored messages to a session that came back. `shared`: messages that waited in a share
    group, to one subscriber. `retained`: per topic. `shadow`: requests per shadow.
    `answers`: whether an MQTT 5 client is told, by a PUBACK 0x97, that its publish was too many.
    """

    publishes: float = UNLIMITED
    bytes: float = UNLIMITED
    connects: float = UNLIMITED
    replay: float = UNLIMITED
    shared: float = UNLIMITED
    retained: float = UNLIMITED
    shadow: float = UNLIMITED
    answers: bool = False


NONE: Final = Limits()
AWS: Final = Limits(publishes=100, bytes=512 * 1024, connects=1, replay=10, shared=20, retained=1, shadow=20)


class Bucket:
    """Tokens that come back at `rate` a second, at most one second's worth."""

    __slots__ = ("_at", "_left", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._left = rate
        self._at = -math.inf

    def take(self, now: float) -> bool:
        """Take one token if there is one."""
        if self.rate == UNLIMITED:
            return True
        self._fill(now)
        # Time is a float: nine tenths and one tenth of a token are one.
        if self._left < 1 - 1e-9:
            return False
        self._left -= 1
        return True

    def spend(self, now: float, amount: float) -> None:
        """Take `amount` tokens, into debt where there are fewer."""
        if self.rate != UNLIMITED:
            self._fill(now)
            self._left -= amount

    def wait(self, now: float) -> float:
        """Seconds until there is no debt."""
        if self.rate == UNLIMITED:
            return 0.0
        self._fill(now)
        return max(0.0, -self._left / self.rate)

    def _fill(self, now: float) -> None:
        if now > self._at:
            gained = (now - self._at) * self.rate
            self._left = min(self.rate, self._left + gained)
            self._at = now


class Buckets:
    """One bucket for each name. Those that are full again are forgotten when there are many."""

    MANY: Final = 10_000

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._buckets: dict[str, Bucket] = {}

    def take(self, name: str, now: float) -> bool:
        """Take one token of that name if there is one."""
        if self.rate == UNLIMITED:
            return True
        if len(self._buckets) >= self.MANY:
            self._buckets.clear()
        bucket = self._buckets.get(name)
        if bucket is None or bucket.rate != self.rate:
            bucket = self._buckets[name] = Bucket(self.rate)
        return bucket.take(now)
