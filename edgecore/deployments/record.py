"""What is known of one deployment, and the states that it goes through. Pure.

    staged ──▶ activating ──▶ active ──▶ superseded
       └────────────┴──▶ failed

staged: the folder is on disk. activating: units are being replaced. active: at most one; it ends when
another one becomes active, in the same transaction. failed and superseded are terminal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

State = Literal["staged", "activating", "active", "failed", "superseded"]
Origin = Literal["local", "operator"]

UNFINISHED: Final[tuple[State, ...]] = ("staged", "activating")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One row. `attempts`: how often its activation was begun. Times are epoch seconds."""

    number: int
    origin: Origin
    digest: str
    state: State
    reason: str
    attempts: int
    created_at: float
    changed_at: float
