"""Bounds of the store."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Bounds of the one database.

    `max_waiting`: works that may wait for the disk; more are refused (the rule is "refuse").
    `reserve_bytes`: disk space held back so that deletions still commit on a full disk; the
    write-ahead log needs about 4 MiB of it between two checkpoints. `cache_bytes`: page cache.
    `card_endurance`: bytes that the card lasts for, in terms of what is written to it. A plain card of
    32 GB is good for some hundred rewritings of the whole, of which the card's own bookkeeping takes most.
    """

    max_waiting: int = 100_000
    reserve_bytes: int = 8 * 1024 * 1024
    cache_bytes: int = 4 * 1024 * 1024
    card_endurance: int = 5_000 * 10**9
