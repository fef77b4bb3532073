"""What of the function runtime a machine's owner may set. Seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgecore.base.backoff import Backoff

RETRY: Final = Backoff(initial=1.0, maximum=60.0)
RESTART: Final = Backoff(initial=0.5, maximum=60.0)


@dataclass(frozen=True, slots=True)
class LambdasSettings:
    """Limits that hold for every function of this core.

    `queue_events`, `queue_bytes`: the durable queue of one function (QoS 1 and 2); full means refused.
    `memory_events`, `memory_bytes`: the queue in memory of one function (QoS 0); full drops the oldest.
    `invoke_queue`: direct invocations that may wait for one function; full means refused.
    `max_payload`: the largest event, result or published payload.
    `start_timeout`: from the start of a worker until its handler is loaded.
    `idle_timeout`: an on-demand worker without work ends after this.
    `stop_grace`: what a worker is given to end by itself before it is killed.
    `retries`: further attempts after a function error, for events of QoS 1 and 2.
    `retry_backoff`: the wait before each of them. `retry_slots`: how many events may wait so at once;
    while all are taken no further event is started.
    `restart_backoff`: the wait before a worker that failed is replaced; the first failure in a row
    does not wait.
    `max_event_age`: an event that waited longer goes to the dead letters.
    `output_rate` per second and `output_burst`: what a worker may print; more and it is killed.
    """

    queue_events: int = 10_000
    queue_bytes: int = 16 * 1024 * 1024
    memory_events: int = 1_000  # Greengrass V1: 1,024, V2: 1,000
    memory_bytes: int = 4 * 1024 * 1024
    invoke_queue: int = 64
    max_payload: int = 1024 * 1024  # Lambda's asynchronous limit
    start_timeout: float = 10.0  # Lambda's init phase
    idle_timeout: float = 60.0  # Greengrass V2 maxIdleTimeInSeconds
    stop_grace: float = 2.0  # Lambda's shutdown phase
    retries: int = 2  # Lambda's MaximumRetryAttempts
    retry_backoff: Backoff = RETRY
    retry_slots: int = 16
    restart_backoff: Backoff = RESTART
    max_event_age: float = 21_600.0  # Lambda's MaximumEventAgeInSeconds
    output_rate: int = 128 * 1024
    output_burst: int = 256 * 1024
