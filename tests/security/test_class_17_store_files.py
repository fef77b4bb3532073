"""Class 17: attacks by the files of the store (CVE-2017-9868, and brokers that a corrupt database stopped).

Whatever stands in the place of a file: the store opens, or refuses in words at once; nothing outside is
touched, nothing of it is executed, and nobody else may read what the core keeps. Damage at random places is in
tests/fuzz/test_store_damage.py.
"""

import asyncio
import os
import random
import signal
import sqlite3
import stat
from contextlib import closing

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import StoreError
from edgecore.store import Database, Dictionary, DurableQueue, QueueBounds, StoreLock, StoreSettings, durable

BOUNDS = QueueBounds(100, 100_000)


def use_database(folder):
    return asyncio.run(_use_database(folder))


async def _use_database(folder):
    async with Database(folder / "core.db", StoreSettings(reserve_bytes=4096), ManualClock()) as db:
        queue = DurableQueue(db, "outbox", BOUNDS)
        await queue.open()
        await durable(queue.append(b"x")[1])
        return queue.count


def use_registry(folder):
    with closing(Dictionary.open(folder / "registry.sqlite")) as registry:
        registry.put("loop-1", {"fingerprints": []})
        return len(registry.items())


def use_lock(folder):
    with StoreLock(folder / "lock"):
        return 1


USES = {"core.db": use_database, "registry.sqlite": use_registry, "lock": use_lock}
FILES = [
    *((name, name) for name in USES),
    ("core.db", "core.db-wal"),
    ("core.db", "core.db-shm"),
    ("core.db", "core.db-journal"),
    ("registry.sqlite", "registry.sqlite-wal"),
]


def seconds(number, frame):
    raise TimeoutError("it waits for ever")


@pytest.fixture(autouse=True)
def nothing_waits_for_ever():
    before = signal.signal(signal.SIGALRM, seconds)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("name", "file"), FILES)
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_class_17_another_kind_of_file_is_refused_in_words_and_leads_nowhere(tmp_path, name, file, kind):
    state, victim = tmp_path / "state", tmp_path / "victim"
    state.mkdir()
    if kind != "dangling link":
        victim.write_text("not yours")
        victim.chmod(0o644)
    place = state / file
    {"pipe": lambda: os.mkfifo(place), "folder": place.mkdir}.get(kind, lambda: place.symlink_to(victim))()
    with pytest.raises(StoreError, match=file.split("-")[0]):
        USES[name](state)
    if kind == "dangling link":
        assert not victim.exists()
    else:
        assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("not yours", 0o644)


@pytest.mark.parametrize(("name", "file"), FILES)
@pytest.mark.parametrize("seed", range(6))
def test_class_17_any_bytes_in_the_place_of_a_file_stop_nobody(tmp_path, name, file, seed):
    rng = random.Random(f"{file} {seed}")
    USES[name](tmp_path)
    (tmp_path / file).write_bytes(rng.randbytes(rng.choice([0, 1, 100, 4096, 50_000])))
    assert USES[name](tmp_path) >= 1


@pytest.mark.parametrize("name", ["core.db", "registry.sqlite"])
def test_class_17_statements_in_a_database_are_not_run(tmp_path, name):
    USES[name](tmp_path)
    with closing(sqlite3.connect(tmp_path / name)) as connection:
        table = "queues" if name == "core.db" else "dictionary"
        for event in ("INSERT", "UPDATE", "DELETE"):
            connection.execute(
                f"CREATE TRIGGER evil_{event} AFTER {event} ON {table} BEGIN DELETE FROM {table}; END"
            )
        connection.execute(f"CREATE VIEW evil_view AS SELECT * FROM {table}")
    before = USES[name](tmp_path)
    assert before >= 1
    with closing(sqlite3.connect(tmp_path / name)) as connection:
        kinds = {kind for (kind,) in connection.execute("SELECT type FROM sqlite_master")}
    assert kinds <= {"table", "index"}


def test_class_17_nobody_else_may_read_what_is_kept(tmp_path):
    before = os.umask(0)
    try:
        for use in USES.values():
            use(tmp_path)
        for name in ("core.db", "registry.sqlite"):
            (tmp_path / name).write_bytes(b"nonsense" * 1000)
            (tmp_path / name).chmod(0o666)
            USES[name](tmp_path)
    finally:
        os.umask(before)
    modes = {each.name: oct(stat.S_IMODE(each.stat().st_mode)) for each in tmp_path.iterdir()}
    assert len(modes) >= 7
    assert set(modes.values()) == {"0o600"}, modes
