"""What is wrong with the simulated cloud on purpose. Pure: it only says; the server and clients do.

FAULTS is the list that the control door, the CLI and its help share.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from edgecore.base.errors import EdgecoreError
from edgecore.sim.cloud.limits import Limits

FAULTS: Final = {
    "cut": "every connection is reset, and every new one",
    "half-open": "connections are accepted and nothing is ever answered; `off` goes on where it stopped",
    "slow": "every byte takes VALUE seconds longer, each way (0.5)",
    "lossy": "each PUBLISH and each delivery is lost with probability VALUE (0.2)",
    "throttle": "VALUE publishes a second and connection (5), and as many HTTPS requests: the rest 429",
    "http": "HTTPS requests are answered with status VALUE (503)",
    "skew": "the cloud's clock is off by VALUE seconds (3600; may be negative)",
    "deny": "denies an action to all: VALUE is ACTION or ACTION=RESOURCE (iot:Publish=topic/dt/*)",
    "hang-up": "a PUBLISH that is denied ends the connection in MQTT 5 too, at QoS 1",
}
_DEFAULTS: Final = {"slow": 0.5, "lossy": 0.2, "throttle": 5.0, "http": 503.0, "skew": 3600.0}
_RANGES: Final = {
    "slow": (0.001, 600.0),
    "lossy": (0.0, 1.0),
    "throttle": (1.0, 1e6),
    "http": (400.0, 599.0),
    "skew": (-4e9, 4e9),
}


@dataclass(frozen=True, slots=True)
class State:
    """All faults at once; the default is health."""

    cut: bool = False
    half_open: bool = False
    slow: float = 0.0
    lossy: float = 0.0
    throttle: float = 0.0
    http: int = 0
    skew: float = 0.0
    deny: tuple[str, ...] = ()
    hang_up: bool = False

    def limits(self, usual: Limits) -> Limits:
        """The limits while it is throttled."""
        if not self.throttle:
            return usual
        return replace(usual, publishes=self.throttle, shadow=self.throttle)


class Faults:
    """The faults that are on. `chance` gives numbers within 0 and 1, for what is lost."""

    def __init__(self, chance: Callable[[], float] = lambda: 1.0) -> None:
        self.state = State()
        self.lost = 0
        self._chance = chance

    def lose(self) -> bool:
        """Whether the next packet gets lost."""
        if not self.state.lossy or self._chance() >= self.state.lossy:
            return False
        self.lost += 1
        return True

    def set(self, name: str, value: str | None = None) -> None:
        """Put a fault on; a second `deny` joins the first. Raises EdgecoreError."""
        if name not in FAULTS:
            raise EdgecoreError(f"no fault {name!r}: choose one of {', '.join(FAULTS)}")
        if name == "deny":
            if not value:
                raise EdgecoreError("deny needs an action, as iot:Publish or iot:Publish=topic/dt/*")
            changes: dict[str, Any] = {"deny": (*self.state.deny, value)}
        elif name in _DEFAULTS:
            number = _number(name, value)
            changes = {name: int(number) if name == "http" else number}
        else:
            changes = {name.replace("-", "_"): True}
        self.state = replace(self.state, **changes)

    def clear(self, name: str | None = None) -> None:
        """Take a fault off, or all of them. Raises EdgecoreError."""
        if name is None:
            self.state = State()
            return
        if name not in FAULTS:
            raise EdgecoreError(f"no fault {name!r}: choose one of {', '.join(FAULTS)}")
        field = name.replace("-", "_")
        self.state = replace(self.state, **{field: getattr(State(), field)})

    def status(self) -> dict[str, object]:
        """What is on, by name."""
        state = self.state
        values: dict[str, object] = {
            "cut": state.cut,
            "half-open": state.half_open,
            "slow": state.slow,
            "lossy": state.lossy,
            "throttle": state.throttle,
            "http": state.http,
            "skew": state.skew,
            "deny": list(state.deny),
            "hang-up": state.hang_up,
        }
        return {name: value for name, value in values.items() if value}


def _number(name: str, value: str | None) -> float:
    try:
        number = _DEFAULTS[name] if value is None else float(value)
    except ValueError:
        raise EdgecoreError(f"{name} needs a number, found {value!r}") from None
    low, high = _RANGES[name]
    if not low <= number <= high:
        raise EdgecoreError(f"{name}: {number:g} is not within {low:g} and {high:g}")
    return number
