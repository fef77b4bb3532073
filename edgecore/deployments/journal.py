"""The journal of deployments: one row each. What runs after a crash is decided from it alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from edgecore.deployments.record import UNFINISHED, Deployment, Origin, State
from edgecore.store import Database, durable

if TYPE_CHECKING:
    import sqlite3  # only the name of what the store hands over

# Immutable steps, numbered by their place: add, never change.
STEPS: Final = (
    """
    CREATE TABLE deployments (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        origin TEXT NOT NULL,
        digest TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        attempts INTEGER NOT NULL DEFAULT 0,
        created_at REAL NOT NULL,
        changed_at REAL NOT NULL
    )
    """,
)
_COLUMNS: Final = "number, origin, digest, state, reason, attempts, created_at, changed_at"


class Journal:
    """The table `deployments`. What a coroutine here wrote is durable when it returns."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def open(self) -> None:
        """Bring the table up to date."""
        await self._db.migrate("deployments", STEPS)

    async def add(
        self, origin: Origin, digest: str, state: State, now: float, reason: str = "", history: int = 100
    ) -> Deployment:
        """Write a new row; of the ended ones only the last `history` are kept."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO deployments (origin, digest, state, reason, created_at, changed_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (origin, digest, state, reason, now, now),
            )
            connection.execute(
                "DELETE FROM deployments WHERE state IN ('failed', 'superseded')"
                " AND number <= (SELECT max(number) FROM deployments) - ?",
                (history,),
            )

        await durable(self._db.write(work))
        return (await self.history(1))[0]

    async def begin(self, number: int, now: float) -> None:
        """Note that the activation is tried, before it is."""
        sql = "UPDATE deployments SET state = 'activating', attempts = attempts + 1, changed_at = ?"
        await self._execute(f"{sql} WHERE number = ?", (now, number))

    async def activated(self, number: int, now: float) -> None:
        """Make this one the active one, and the former one superseded, in one transaction."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE deployments SET state = 'superseded', changed_at = ? WHERE state = 'active'", (now,)
            )
            connection.execute(
                "UPDATE deployments SET state = 'active', reason = '', changed_at = ? WHERE number = ?",
                (now, number),
            )

        await durable(self._db.write(work))

    async def failed(self, number: int, reason: str, now: float) -> None:
        """Note the end of a deployment that did not come up."""
        sql = "UPDATE deployments SET state = 'failed', reason = ?, changed_at = ? WHERE number = ?"
        await self._execute(sql, (reason, now, number))

    async def active(self) -> Deployment | None:
        """The active one."""
        return _first(await self._select("WHERE state = 'active' ORDER BY number DESC LIMIT 1"))

    async def last_of(self, origin: Origin) -> Deployment | None:
        """The newest of this origin, however it ended."""
        return _first(await self._select("WHERE origin = ? ORDER BY number DESC LIMIT 1", (origin,)))

    async def unfinished(self) -> list[Deployment]:
        """What a crash interrupted, oldest first."""
        return await self._select("WHERE state IN (?, ?) ORDER BY number", UNFINISHED)

    async def history(self, limit: int) -> list[Deployment]:
        """The newest ones, newest first."""
        return await self._select("ORDER BY number DESC LIMIT ?", (limit,))

    async def count(self) -> int:
        """How many rows there are."""
        return await self._db.read(
            lambda connection: int(connection.execute("SELECT count(*) FROM deployments").fetchone()[0])
        )

    async def _execute(self, sql: str, values: Sequence[object]) -> None:
        await durable(self._db.write(lambda connection: _run(connection, sql, values)))

    async def _select(self, rest: str, values: Sequence[object] = ()) -> list[Deployment]:
        sql = f"SELECT {_COLUMNS} FROM deployments {rest}"  # noqa: S608  constants of this file
        return await self._db.read(
            lambda connection: [Deployment(*row) for row in connection.execute(sql, tuple(values))]
        )


def _run(connection: sqlite3.Connection, sql: str, values: Sequence[object]) -> None:
    connection.execute(sql, tuple(values))


def _first(found: list[Deployment]) -> Deployment | None:
    return found[0] if found else None
