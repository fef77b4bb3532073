"""The grammar of shadow topics: $aws/things/{thing}/shadow[/name/{shadow}]/{get,update,delete}. Pure."""

from __future__ import annotations

import re
from typing import Final, Literal, cast

import msgspec

from edgecore.base.identity import NAME_PATTERN

Verb = Literal["get", "update", "delete"]
VERBS: Final = frozenset({"get", "update", "delete"})

# AWS IoT data plane API model: 1-64 of these; "$" is allowed in a shadow's name and not in a thing's.
SHADOW_NAME: Final = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")


class ShadowId(msgspec.Struct, frozen=True, gc=False):
    """Which shadow: a thing's classic one (`name` is "") or a named one.

    A Struct, as all that is made for each request: it is made, compared and hashed in C.
    """

    thing: str
    name: str = ""

    @property
    def prefix(self) -> str:
        """What all its topics begin with."""
        classic = f"$aws/things/{self.thing}/shadow"
        return f"{classic}/name/{self.name}" if self.name else classic

    def topic(self, suffix: str) -> str:
        """One of its topics, as "update/accepted"."""
        return f"{self.prefix}/{suffix}"

    def __str__(self) -> str:
        """As AWS quotes it in "No shadow exists with name": THING, or THING~SHADOW."""
        return f"{self.thing}~{self.name}" if self.name else self.thing


def parse(topic: str) -> tuple[ShadowId, Verb] | None:
    """Whose shadow a request topic speaks of, and what is asked; None when it is no request topic."""
    match topic.split("/"):
        case ["$aws", "things", thing, "shadow", verb]:
            name = ""
        case ["$aws", "things", thing, "shadow", "name", name, verb]:
            if SHADOW_NAME.fullmatch(name) is None:
                return None
        case _:
            return None
    if verb not in VERBS or NAME_PATTERN.fullmatch(thing) is None:
        return None
    return ShadowId(thing, name), cast("Verb", verb)
