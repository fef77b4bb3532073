"""store.Database without its thread, for tests of what stands on it: works wait until the test commits them."""

from __future__ import annotations

import sqlite3

from edgecore.base.commit import Commit
from edgecore.base.errors import RefusedError, StoreError
from edgecore.store.migrate import migrate
from edgecore.store.sessions import ROOM, SCHEMA, SessionStore, _load


class TurnDatabase:
    """Works and reads run at `commit`: it hands them over, writes them in one transaction, and says so.

    `fail`: the error that works end with, or None; `unreadable`: the same for reads; `full`: whether more
    works are refused. Works that only delete are neither refused nor fail.
    """

    def __init__(self, connection=None):
        self.connection = connection or sqlite3.connect(":memory:", isolation_level=None)
        self.turn = 0
        self.commits = 0
        self.fail = self.unreadable = None
        self.full = False
        self._works, self._reads = [], []
        self._under_way = self._outcomes = None

    def write(self, work, *, frees=False):
        if self.full and not frees:
            raise RefusedError("too many works wait")
        commit = Commit()
        self._works.append((work, commit, frees))
        return commit

    def ask(self, work, answer):
        self._reads.append((work, answer))

    @property
    def idle(self):
        return not self._works and not self._reads and self._under_way is None

    def commit(self):
        """Run what waits; gives whether there was anything."""
        if self.idle:
            return False
        self.hand_over()
        self.sync()
        self.finish()
        return True

    def hand_over(self):
        """End the turn: what comes from now on joins the next group. Nothing while one is under way."""
        if self._under_way is None and not self.idle:
            self.turn += 1
            self._under_way = (self._works, self._reads)
            self._works, self._reads = [], []

    def sync(self):
        """Write what was handed over. It lasts from now on, but nobody knows yet."""
        if self._under_way is None or self._outcomes is not None:
            return
        works, reads = self._under_way
        outcomes = []
        self.connection.execute("BEGIN")
        for work, _, frees in works:
            failed = self.fail is not None and not frees
            outcomes.append(StoreError(self.fail) if failed else self._attempt(work))
        self.connection.execute("COMMIT")
        self.commits += 1
        broken = StoreError(self.unreadable) if self.unreadable is not None else None
        self._outcomes = outcomes, [broken or work(self.connection) for work, _ in reads]

    def _attempt(self, work):
        """Run a work; when it refuses to be stored, it leaves nothing behind, and the others go on."""
        self.connection.execute("SAVEPOINT work")
        try:
            work(self.connection)
        except StoreError as error:
            self.connection.execute("ROLLBACK TO work")
            return error
        finally:
            self.connection.execute("RELEASE work")
        return None

    def finish(self):
        """Tell those who wait."""
        if self._outcomes is None:
            return
        (works, reads), (outcomes, results) = self._under_way, self._outcomes
        self._under_way = self._outcomes = None
        for (_, commit, _), outcome in zip(works, outcomes, strict=True):
            commit.resolve(outcome)
        for (_, answer), result in zip(reads, results, strict=True):
            answer(result)

    def power_cut(self):
        """Another database on the same disk: what was not written is lost."""
        return TurnDatabase(self.connection)

    def rows(self, table):
        """How many rows a table has."""
        return self.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def session_store(database):
    """(SessionStore, what an earlier run left in it), without a loop."""
    migrate(database.connection, ROOM, SCHEMA)
    store = SessionStore(database)
    return store, store._take_over(_load(database.connection))
