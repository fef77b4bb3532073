"""Collect what is written in one turn of the loop into one work, so that many rows share one statement."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from edgecore.base.commit import Commit
from edgecore.store.database import Database

T = TypeVar("T")


@dataclass(slots=True)
class Batch(Generic[T]):
    """The rows of one turn and the Commit that they share."""

    rows: T
    commit: Commit


class Batcher(Generic[T]):
    """Gives the batch of the present turn. `fresh` makes its empty rows, `apply` writes them.

    `frees`: the rows are deletions only (see Database.write).
    """

    def __init__(
        self,
        database: Database,
        fresh: Callable[[], T],
        apply: Callable[[sqlite3.Connection, T], None],
        *,
        frees: bool = False,
    ) -> None:
        self._database = database
        self._fresh = fresh
        self._apply = apply
        self._frees = frees
        self._turn = -1
        self._batch: Batch[T] | None = None

    def open(self) -> Batch[T] | None:
        """The batch that rows may still join, if there is one."""
        batch = self._batch
        if batch is None or self._turn != self._database.turn or batch.commit.resolved:
            return None
        return batch

    def join(self) -> Batch[T]:
        """The batch that rows may join now. Raises RefusedError as Database.write does."""
        batch = self.open()
        if batch is None:
            rows = self._fresh()
            apply = self._apply
            commit = self._database.write(lambda connection: apply(connection, rows), frees=self._frees)
            batch = Batch(rows, commit)
            self._batch, self._turn = batch, self._database.turn
        return batch
