"""Bounds of the shadow room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgecore.base.backoff import Backoff
from edgecore.base.errors import ConfigError
from edgecore.shadow.document import MAX_DEPTH

# Greengrass's ShadowManager waits as long after throttling and faults: 3 s, growing to a minute.
CLOUD_RETRY: Final = Backoff(initial=3.0, maximum=60.0)

# Documents are walked by recursion, and Python's stack has 1,000 frames.
DEEPEST: Final = 100


@dataclass(frozen=True, slots=True)
class ShadowSettings:
    """Bounds of documents, and how the cloud is spoken to.

    `document_bytes`: compact JSON of desired plus reported; AWS's default, adjustable there up to 30,720.
    `max_depth`: levels of objects in desired or reported; AWS's quota. `max_waiting`: requests of one shadow
    that wait for the disk; more are refused (AWS allows 10 for each connection). `max_documents`: shadows
    kept here, deleted ones included, because each is held in memory. `requests_in_flight`: to the cloud, over
    all shadows; AWS allows 100 publishes a second per connection, both ways, and discards what is above.
    `reply_timeout`: seconds before a request to the cloud counts as lost. `retry`: delays after throttling,
    a fault or a lost reply.
    """

    document_bytes: int = 8192
    max_depth: int = MAX_DEPTH
    max_waiting: int = 1000
    max_documents: int = 10_000
    requests_in_flight: int = 8
    reply_timeout: float = 10.0
    retry: Backoff = CLOUD_RETRY

    def __post_init__(self) -> None:
        """Raises ConfigError for what would exhaust the stack."""
        if self.max_depth > DEEPEST:
            expected = f"a whole number from 1 to {DEEPEST}"
            raise ConfigError("", "shadow.max_depth", str(self.max_depth), expected)
