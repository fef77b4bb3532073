"""store.Database without its thread, for tests of what stands on it: works wait until the test commits them."""

from __future__ import annotations

import sqlite3

from edgecore.base.commit import Commit
from edgecore.base.errors import StoreError
from edgecore.store.migrate import migrate
from edgecore.store.sessions import ROOM, SCHEMA, SessionStore, _load


class TurnDatabase:
    """Works and reads run at `commit`, in one transaction. `fail`: the error that works end with, or None."""

    def __init__(self, connection=None):
        self.connection = connection or sqlite3.connect(":memory:", isolation_level=None)
        self.turn = 0
        self.commits = 0
        self.fail = None
        self._works, self._reads = [], []

    def write(self, work, *, frees=False):
        commit = Commit()
        self._works.append((work, commit, frees))
        return commit

    def ask(self, work, answer):
        self._reads.append((work, answer))

    @property
    def idle(self):
        return not self._works and not self._reads

    def commit(self):
        """Run what waits; gives whether there was anything."""
        if self.idle:
            return False
        self.turn += 1
        works, self._works = self._works, []
        reads, self._reads = self._reads, []
        outcomes = []
        self.connection.execute("BEGIN")
        for work, _, frees in works:
            failed = self.fail is not None and not frees
            outcomes.append(StoreError(self.fail) if failed else None)
            if not failed:
                work(self.connection)
        self.connection.execute("COMMIT")
        self.commits += 1
        for (_, commit, _), outcome in zip(works, outcomes, strict=True):
            commit.resolve(outcome)
        for work, answer in reads:
            answer(work(self.connection))
        return True

    def power_cut(self):
        """Another database on the same disk: what was not committed is lost."""
        return TurnDatabase(self.connection)


def session_store(database):
    """(SessionStore, what an earlier run left in it), without a loop."""
    migrate(database.connection, ROOM, SCHEMA)
    store = SessionStore(database)
    return store, store._take_over(_load(database.connection))
