"""One event of a function, from where it comes until it has an end. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgecore.base.errors import FunctionError

# Who waits for a direct invocation: called once, with the result or with the error.
Answer = Callable[[bytes, FunctionError | None], None]


@dataclass(slots=True, eq=False)
class Event:
    """What a handler is called with, and what is known of its fate.

    `record`: its id in the durable queue, or None. `arrived`: monotonic seconds. `expires_at`:
    wall time or None. `attempts`: how often it was given to a handler. `answer`: who waits for the result
    of a direct invocation.
    """

    request_id: str
    subject: str
    payload: bytes
    arrived: float
    qos: int = 0
    record: int | None = None
    expires_at: float | None = None
    answer: Answer | None = None
    attempts: int = 0
    delays: Iterator[float] = field(default_factory=lambda: iter(()))

    @property
    def size(self) -> int:
        """Bytes that it takes in a queue."""
        return len(self.payload) + len(self.subject)
