"""What an integrator may set about the control API. A record and nothing else."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Bounds of the control API, `[api]` in edgecore.toml.

    `max_body`: bytes of a request's body; the largest is a publish, whose payload grows by a third
    in base64. `feed_length`: messages that wait for one slow `edgecore sub`; the oldest is dropped
    and counted. `max_feeds`: subscribers at the same time.
    """

    max_body: int = 512 * 1024
    feed_length: int = 1000
    max_feeds: int = 32
