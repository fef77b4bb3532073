"""Who was denied, how often, and when that is worth a line in the log. Pure: it is told where lines go.

A device that publishes where no route allows it does so with every measurement. Each principal gets a line
at most once a minute, which says how many denials it stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from edgecore.base.clock import Clock
from edgecore.base.identity import Principal

# Principals whose denials are counted apart; a device decides nothing but its own count.
MAX_DENIED: Final = 1_000
# Seconds between two lines about one principal.
REPEAT_AFTER: Final = 60.0
# A topic may be 64 KB long; what is more than this says nothing to a reader.
MAX_SHOWN: Final = 128

Tell = Callable[[str], None]


class Denials:
    """Counts by principal ("other" beyond the bound), and what was told of each."""

    def __init__(self, clock: Clock, tell: Tell | None = None) -> None:
        self._clock = clock
        self._tell = tell
        self._told: dict[str, tuple[float, int]] = {}  # principal -> when, and its count then
        self.counts: Counter[str] = Counter()

    def note(self, principal: Principal, act: str, topic: str) -> None:
        """Count a denied act ("publish", "subscribe") and tell of it unless it was lately."""
        counts = self.counts
        name = principal.id
        if name not in counts and len(counts) >= MAX_DENIED:
            name = "other"
        counts[name] += 1
        if self._tell is None:
            return
        now = self._clock.monotonic()
        told = self._told.get(name)
        if told is not None and now < told[0] + REPEAT_AFTER:
            return
        since = counts[name] - (told[1] if told is not None else 0)
        self._told[name] = (now, counts[name])
        shown = topic if len(topic) <= MAX_SHOWN else f"{topic[:MAX_SHOWN]}…"
        again = f" ({since} denials since the last line)" if since > 1 else ""
        self._tell(f"{principal} may not {act} {shown!r}: no route allows it{again}")

    def by_kind(self) -> dict[str, int]:
        """Counts by the kind of principal."""
        kinds: Counter[str] = Counter()
        for principal, count in self.counts.items():
            kinds[principal.partition(":")[0]] += count
        return dict(kinds)
