"""What a core says about its cameras' pipelines, beside what the group says about each camera."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InferenceSettings:
    """Limits of this machine.

    `threads`: threads of one model's run; one leaves the other cores to the rest of the core, and small
    models gain nothing from more. `model_limit`: the largest model file in bytes. `in_flight`: messages of
    one camera that may wait for their commit before its next frame does.
    """

    threads: int = 1
    model_limit: int = 64 * 1024 * 1024
    in_flight: int = 64
