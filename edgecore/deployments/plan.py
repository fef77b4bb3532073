"""What a deployment changes: which units must be replaced, and whether there is one to make at all. Pure.

Rows and devices need no replacing: the router and the listener take them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from edgecore.base.group import NO_GROUP, ActiveGroup, Group, Row, ShadowSpec
from edgecore.deployments.record import Deployment

# The order in which units are replaced: that of the daemon's assembly, so that the uplink comes last
# and the rooms behind it are there when messages of the cloud arrive.
UNITS: Final = ("shadow", "lambdas", "inference", "uplink")

Parts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a local group becomes a deployment. `refused`: why not although it was asked for, or ""."""

    deploy: bool
    refused: str = ""


def plan(
    current: ActiveGroup | None, desired: ActiveGroup, current_parts: Parts, desired_parts: Parts
) -> tuple[str, ...]:
    """The units to replace, in order, to get from `current` (None: nothing runs) to `desired`.

    The parts are content digests: "function:NAME" of its folder, "camera:NAME" of its model and frames.
    """
    old = (current or NO_GROUP).group
    new = desired.group
    changed = {
        "shadow": _shadows(old) != _shadows(new),
        "lambdas": old.functions != new.functions or _of("function", current_parts, desired_parts),
        "inference": old.cameras != new.cameras or _of("camera", current_parts, desired_parts),
        "uplink": _cloud_rows(old) != _cloud_rows(new),
    }
    return tuple(unit for unit in UNITS if changed[unit])


def decide(active: Deployment | None, last_local: Deployment | None, digest: str, *, force: bool) -> Decision:
    """Whether the local group with `digest` is to be deployed.

    `force`: even when it was tried before, or when an operator's deployment is active.
    """
    if active is not None and active.digest == digest:
        return Decision(deploy=False)
    if last_local is not None and last_local.digest == digest and not force:
        if last_local.state == "failed":
            return Decision(
                deploy=False, refused=f"it failed before ({last_local.reason}): change it or --force"
            )
        return Decision(deploy=False)
    if active is not None and active.origin == "operator" and not force:
        reason = f"deployment {active.number}, which is active, came from an operator: --force overrides it"
        return Decision(deploy=False, refused=reason)
    return Decision(deploy=True)


def _shadows(group: Group) -> dict[str, ShadowSpec]:
    return {device.thing: device.shadow for device in group.devices.values()}


def _cloud_rows(group: Group) -> tuple[Row, ...]:
    """The rows in whose light the uplink maps topics and subscribes."""
    return tuple(row for row in group.routes if "cloud" in (*row.sources, *row.targets))


def _of(kind: str, old: Parts, new: Parts) -> bool:
    """Whether the content of some part of this kind differs."""
    prefix = f"{kind}:"
    names = {name for name in (*old, *new) if name.startswith(prefix)}
    return any(old.get(name) != new.get(name) for name in names)
