"""Bounds of what may be deployed to this machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeploymentsSettings:
    """Bounds of deployments, `[deployments]` in edgecore.toml.

    `max_bytes`, `max_files`: of one group's folder. `keep`: deployments whose folder stays on disk, the
    active one among them. `history`: deployments that the journal remembers. `activation_timeout`:
    seconds until a group that does not come up is rolled back.
    """

    max_bytes: int = 512 * 1024 * 1024  # some models and functions; a Pi's card has 16 GB and up
    max_files: int = 10_000  # a function with its vendored packages has some thousands
    keep: int = 5
    history: int = 100
    activation_timeout: float = 60.0
