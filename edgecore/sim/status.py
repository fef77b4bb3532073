"""Reads `edgecore status --json`. Pure: a status in, values out; what it lacks is None or empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Status = Mapping[str, Any]


def states(status: Status | None) -> dict[str, str]:
    """Unit -> state."""
    units = (status or {}).get("units", {})
    return {name: unit["state"] for name, unit in units.items()}


def unit_faults(status: Status | None) -> list[str]:
    """Units that do not run, or did not all the time since the daemon started."""
    faults = []
    for name, unit in (status or {}).get("units", {}).items():
        if unit["state"] != "running":
            faults.append(f"unit {name} is {unit['state']}: {unit.get('reason', '')}")
        elif unit.get("restarts"):
            faults.append(f"unit {name} crashed {unit['restarts']} times: {unit.get('reason', '')}")
    return faults


def restarts(status: Status | None) -> int:
    """How often units had to be started again since the daemon started."""
    units = (status or {}).get("units", {})
    return sum(unit.get("restarts", 0) for unit in units.values())


def outbox_depth(status: Status | None) -> int | None:
    """Records that wait for the cloud, None while the uplink says nothing."""
    depth = _of(status, "uplink", "outbox", "records")
    return depth if isinstance(depth, int) else None


def cloud_connected(status: Status | None) -> bool:
    """Whether the uplink is connected."""
    return bool(_of(status, "uplink", "connected"))


def camera_faults(status: Status | None) -> list[str]:
    """What is wrong with a camera that should run and leave no frame out."""
    cameras = _of(status, "inference", "cameras")
    faults = []
    for name, camera in cameras.items() if isinstance(cameras, Mapping) else ():
        if camera["state"] != "running":
            faults.append(f"camera {name} is {camera['state']}: {camera['reason']}")
        elif camera["frames"] != camera["frame"] - camera["first_frame"] + 1:
            faults.append(f"camera {name} left frames out: {camera}")
    return faults


def _of(status: Status | None, unit: str, *path: str) -> object:
    value: object = (status or {}).get("units", {}).get(unit, {}).get("status", {})
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
