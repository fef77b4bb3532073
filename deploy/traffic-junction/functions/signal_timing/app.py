"""Turns a camera's counts into signal timings, and tells the controllers when the plan changes.

The result is published on the function's `result` topic. Each controller gets its part as the desired
state of its shadow, so that one that is away now follows when it is back.

Environment: CONTROLLERS, things named after their approach ("signal-north,signal-east"); ASSUMED_FLOW,
vehicles per hour of an approach that no camera looks at (300).
"""

from __future__ import annotations

import os
from typing import Any

import timing

from edgecore.lambdas import sdk


class Junction:
    """What this worker remembers between events. A new worker learns it again within some minutes."""

    def __init__(self, controllers: list[str], assumed_flow: float) -> None:
        self._traffic = timing.Traffic(dict.fromkeys(timing.APPROACHES, assumed_flow))
        self._controllers = {name: name.rpartition("-")[2] for name in controllers}
        self._plan: timing.Timing | None = None
        self._told: dict[str, dict[str, int]] = {}

    def counted(self, event: dict[str, Any]) -> dict[str, Any]:
        """Take in a counts message; gives the timing."""
        at = self._traffic.take(event)
        wished = timing.plan_timing(self._traffic.flows, self._traffic.walking(at))
        self._plan = timing.settled(self._plan, wished)
        changed = self._tell(self._plan)
        return {
            "at": at,
            "frame": event.get("frame"),
            "cycle": self._plan.cycle,
            "green": self._plan.green,
            "walk": self._plan.walk,
            "flow": {approach: round(flow) for approach, flow in self._traffic.flows.items()},
            "changed": changed,
        }

    def _tell(self, plan: timing.Timing) -> bool:
        """Set the desired state of each controller whose part is new; whether there was one.

        What raises here is told again at the next event: only what is durable counts as told.
        """
        changed = False
        for controller, approach in self._controllers.items():
            part = {"cycle": plan.cycle, "green": plan.green.get(approach, 0), "walk": plan.walk}
            if self._told.get(controller) != part:
                topic = f"$aws/things/{controller}/shadow/update"
                sdk.publish(topic, {"state": {"desired": part}}, qos=1)
                self._told[controller] = part
                changed = True
        if changed:
            sdk.logger.info("plan: cycle %d s, green %s, walk %d s", plan.cycle, plan.green, plan.walk)
        return changed


def names(text: str) -> list[str]:
    """The names of a comma-separated list."""
    return [name.strip() for name in text.split(",") if name.strip()]


junction = Junction(names(os.environ.get("CONTROLLERS", "")), float(os.environ.get("ASSUMED_FLOW", "300")))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001  Lambda's signature
    """Lambda's entry point."""
    return junction.counted(event)
