"""What a case is given: sites and brokers, made when they are first asked for, and the size of everything."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.brokers import Broker, running
from tests.benchmarks.procfs import wait_until_idle
from tests.benchmarks.site import Site, make_site


@dataclass(frozen=True)
class Scale:
    """How much of everything. `seconds`: of each measurement; `paced`: at least, where there is little to count.

    `devices`: in the paced cases; `crowd`: coming back at once; `multitude`: idle; `stored`: messages that
    wait for one who is away.
    """

    seconds: float = 2.0
    paced: float = 3.0
    sizes: tuple[int, ...] = (64, 200)
    devices: int = 200
    crowd: int = 1_000
    multitude: int = 5_000
    stored: int = 20_000


class Stage:
    """Brokers live until the block ends that the stage was made in."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._sites: dict[int, Site] = {}
        self._shared: dict[tuple[str, int], Broker] = {}

    def site(self, devices: int) -> Site:
        """The site with that many devices."""
        if devices not in self._sites:
            self._sites[devices] = make_site(self._folder / f"site-{devices}", devices)
        return self._sites[devices]

    def shared(self, who: str, devices: int) -> Broker:
        """A broker that other cases use too, idle."""
        key = (who, devices)
        if key not in self._shared:
            self._shared[key] = self._stack.enter_context(running(who, self.site(devices)))
        wait_until_idle(self._shared[key].pid)
        return self._shared[key]

    def fresh(self, who: str, devices: int, bounds: str) -> contextlib.AbstractContextManager[Broker]:
        """A broker for one run."""
        return running(who, self.site(devices), bounds)
