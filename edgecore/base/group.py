"""The group: a site's devices, cameras, functions and routes, as typed records.

deployments reads them from a group.toml; every other room is handed only its own part. Times are
seconds, sizes are bytes, points are fractions of the source frame with the origin top left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

# Greengrass's words for which side's changes go to the other.
Direction = Literal["betweenDeviceAndCloud", "deviceToCloud", "cloudToDevice"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("betweenDeviceAndCloud", "deviceToCloud", "cloudToDevice")

Point = tuple[float, float]

# Of 0 to 9, as JMS and AMQP 0-9-1 have it: the middle, so that a row can also be worth less than the others.
DEFAULT_PRIORITY: Final = 4
PRIORITIES: Final = 10


@dataclass(frozen=True, slots=True)
class SyncRule:
    """How one shadow is synchronised. `every`: seconds between two synchronisations; 0: at once."""

    direction: Direction = "betweenDeviceAndCloud"
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class ShadowSpec:
    """Which of a device's shadows are synchronised with the cloud, and how.

    `sync` speaks of all of them: the classic one, if `classic`, and those in `named`. `rule`: of those that
    have none of their own in `rules` (by the shadow's name).
    """

    sync: bool = False
    named: tuple[str, ...] = ()
    classic: bool = True
    rule: SyncRule = SyncRule()
    rules: dict[str, SyncRule] = field(default_factory=dict)

    def synced(self) -> dict[str, SyncRule]:
        """The names of the shadows that are synchronised ("" is the classic one), each with its rule."""
        if not self.sync:
            return {}
        names = ("", *self.named) if self.classic else self.named
        return {name: self.rules.get(name, self.rule) for name in names}


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A client device that may connect. `thing` is its AWS thing name."""

    name: str
    thing: str
    attributes: dict[str, str] = field(default_factory=dict)
    shadow: ShadowSpec = ShadowSpec()


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera and what is done with its frames.

    `every`: seconds between frames. `lines`: name -> (A, B). `privacy`: polygons that are blacked
    out. `qos`: message kind ("counts", "detections") -> QoS. `counts_every`: frames between counts.
    """

    name: str
    source: str
    topic: str
    model: str
    every: float = 0.1
    threshold: float | None = None
    lines: dict[str, tuple[Point, Point]] = field(default_factory=dict)
    privacy: tuple[tuple[Point, ...], ...] = ()
    qos: dict[str, int] = field(default_factory=dict)
    counts_every: int = 10


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """User code with a handler. `timeout` in seconds, `memory` in bytes.

    `source` is a folder relative to the group; `result` a topic for the return value or "".
    `credentials`: whether an AWS SDK in it finds temporary credentials of this core's role.
    """

    name: str
    source: str
    handler: str
    runtime: Literal["python"] = "python"
    result: str = ""
    timeout: float = 3.0
    memory: int = 128 * 1024 * 1024
    environment: dict[str, str] = field(default_factory=dict)
    isolation: Literal["none"] = "none"
    pinned: bool = False
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One `[[routes]]` entry: the only way a message may flow.

    `sources` and `targets` are "device:NAME", "device:*", "function:NAME", "camera:NAME", "cloud",
    "shadow", "core". `topics` are filters in which `${thing}` and `${target}` may be whole levels.
    `as_topic`: the topic it becomes, or "". `qos`: a cap. `expiry`: seconds, or None. Towards the cloud:
    `priority` 0 to 9, the higher the sooner; `ordered`: one message of a topic in flight at a time.
    """

    sources: tuple[str, ...]
    topics: tuple[str, ...]
    targets: tuple[str, ...]
    as_topic: str = ""
    qos: int = 2
    expiry: float | None = None
    priority: int = DEFAULT_PRIORITY
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A whole site on one screen."""

    name: str
    devices: dict[str, DeviceSpec] = field(default_factory=dict)
    cameras: dict[str, CameraSpec] = field(default_factory=dict)
    functions: dict[str, FunctionSpec] = field(default_factory=dict)
    routes: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class ActiveGroup:
    """The group that runs now. `root` is the folder that its relative paths start from.

    `deployment` is the deployment's number (0: none yet), `digest` that of the group's content.
    """

    group: Group
    root: Path
    deployment: int = 0
    digest: str = ""


NO_GROUP = ActiveGroup(Group(""), Path("/nonexistent"))
