"""Who is acting. A Principal is made in one place per kind and never taken from what a client claims.

device: from a verified certificate (listener). function: from a worker's socket (lambdas). camera,
cloud, shadow, core: by the room that owns the name. operator: from the control socket's peer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["device", "function", "camera", "cloud", "shadow", "core", "operator"]

# AWS IoT registry: thing names are 1-128 of these (facts: aws-iot-core.md 1.3). Our names follow.
NAME_PATTERN: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")


def is_name(text: str) -> bool:
    """Whether `text` may name a thing, device, function or camera."""
    return NAME_PATTERN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is acting. `id` is "kind:name", or the kind alone for cloud, shadow and core.

    `thing` is the AWS thing of a device ("" for all other kinds).
    """

    kind: Kind
    name: str = ""
    thing: str = ""
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", f"{self.kind}:{self.name}" if self.name else self.kind)

    def __str__(self) -> str:
        return self.id


CLOUD: Final = Principal("cloud")
SHADOW: Final = Principal("shadow")
CORE: Final = Principal("core")


def device(name: str, thing: str = "") -> Principal:
    """The principal of a client device; its thing defaults to its name."""
    return Principal("device", name, thing or name)


def function(name: str) -> Principal:
    """The principal of a function's workers."""
    return Principal("function", name)


def camera(name: str) -> Principal:
    """The principal of a camera's pipeline."""
    return Principal("camera", name)


def operator(name: str) -> Principal:
    """The principal of a person at the control socket."""
    return Principal("operator", name)
