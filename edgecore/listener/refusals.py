"""Says once why a peer was turned away, and counts every time. Decides from values; only it logs them.

A device that is refused tries again within seconds, for ever: each (peer, kind) is logged at most once
in a while, and the number of those that are remembered is bounded.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

_log = logging.getLogger(__name__)

# Seconds until the same refusal of the same peer is worth another line.
REPEAT_AFTER: Final = 600.0
# A peer that comes from many addresses must not fill memory or the log; beyond this only counts grow.
MAX_REMEMBERED: Final = 1000


class Refusals:
    """Counts by kind, and the memory of what was logged.

    `connects`: the CONNECTs that were answered with a failure, by its name in the standard.
    """

    __slots__ = ("_logged", "connects", "counts")

    def __init__(self) -> None:
        self._logged: dict[tuple[str, str, str], float] = {}
        self.counts: Counter[str] = Counter()
        self.connects: Counter[str] = Counter()

    def note(self, kind: str, peer: str, reason: str, now: float, *, each: bool = False) -> None:
        """Count a refusal of `kind` and log it, unless it was lately. `now`: monotonic seconds.

        `each`: the reasons of this kind are a few fixed ones, and each is news: behind one address there
        may be a device with an expired certificate and another with a foreign one.
        """
        self.counts[kind] += 1
        if self._is_news((peer, kind, reason if each else ""), now):
            _log.warning("%s refused (%s): %s", peer, kind, reason)

    def _is_news(self, key: tuple[str, str, str], now: float) -> bool:
        last = self._logged.get(key)
        if last is not None and now < last + REPEAT_AFTER:
            return False
        if last is None and len(self._logged) >= MAX_REMEMBERED:
            self._logged = {known: at for known, at in self._logged.items() if now < at + REPEAT_AFTER}
            if len(self._logged) >= MAX_REMEMBERED:
                return False
        self._logged[key] = now
        return True
