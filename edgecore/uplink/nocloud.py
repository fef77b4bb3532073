"""What stands in the cloud's place on a machine that has none configured.

It takes what routes send there and drops it, counted: a row to the cloud must not hold up or refuse
what the same message is worth to local receivers.
"""

from __future__ import annotations

from edgecore.base.commit import Commit
from edgecore.base.identity import CLOUD, Principal
from edgecore.base.message import Message


class NoCloud:
    """A Subscriber that drops."""

    def __init__(self) -> None:
        self.dropped = 0

    @property
    def principal(self) -> Principal:
        """Whom the messages are for."""
        return CLOUD

    def deliver(self, message: Message, qos: int, retain: bool) -> Commit | None:  # noqa: ARG002  as Subscriber
        """Count the message."""
        self.dropped += 1
        return None

    def status(self) -> dict[str, object]:
        """That there is no cloud, and what that cost."""
        return {
            "state": "not configured",
            "reason": "no [cloud] in edgecore.toml: what routes send to the cloud is dropped",
            "dropped": {"no cloud configured": self.dropped},
        }
