"""Which service answers on which reserved topic: shadows and jobs. Pure.

`now` is monotonic seconds, for the rate of requests; `wall` is epoch seconds, for documents.
"""

from __future__ import annotations

from typing import Final

from edgecore.sim.cloud import jobs, shadows
from edgecore.sim.cloud.jobs import Answer, Jobs
from edgecore.sim.cloud.limits import UNLIMITED, Buckets
from edgecore.sim.cloud.shadows import Key, Reply, Shadows

# The documentation gives the code and no text.
THROTTLED: Final = {"code": 429, "message": "Too Many Requests"}


class Services:
    """The services behind the broker."""

    def __init__(self, shadow_service: Shadows, job_service: Jobs) -> None:
        self.shadows = shadow_service
        self.jobs = job_service
        self._pace = Buckets(UNLIMITED)

    def limit(self, requests: float) -> None:
        """How many requests a second each shadow takes."""
        self._pace.rate = requests

    def answer(self, topic: str, payload: bytes, now: float, wall: int) -> Answer:
        """What follows a message on a reserved topic; nothing when no service listens there."""
        about = shadows.parse_topic(topic)
        if about is not None:
            return Answer(published=self.ask_shadow(*about, payload, now, wall))
        job = jobs.parse_topic(topic)
        if job is not None:
            return self.jobs.handle(*job, payload, wall)
        return Answer()

    def ask_shadow(self, key: Key, operation: str, payload: bytes, now: float, wall: int) -> list[Reply]:
        """The replies to one shadow request; the last one is accepted or rejected."""
        if not self._pace.take(key.prefix, now):
            return [Reply(f"{key.prefix}/{operation}/rejected", dict(THROTTLED))]
        return self.shadows.handle(key, operation, payload, wall)
