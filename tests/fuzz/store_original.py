"""Databases of realistic content for store_damage.py: their files, their rows, and where each row lies."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import struct
from contextlib import closing
from dataclasses import dataclass, field

from edgecore.base.clock import ManualClock
from edgecore.base.identity import Principal
from edgecore.base.message import Message
from edgecore.store import (
    Database,
    Dictionary,
    DurableQueue,
    QueueBounds,
    RetainedStore,
    SessionStore,
    StoreSettings,
    durable,
    encode_message,
)
from edgecore.store.btree import decode_record, parse_page

PAGE = 4096
FRAME = PAGE + 24
SETTINGS = StoreSettings(reserve_bytes=0)
BOUNDS = QueueBounds(100_000, 100_000_000)
QUEUES = ("outbox", "function:f", "sessions")
SITE = (
    """
    CREATE TABLE site_steps (number INTEGER PRIMARY KEY AUTOINCREMENT, state TEXT NOT NULL,
      reason TEXT NOT NULL DEFAULT '', at REAL NOT NULL);
    CREATE TABLE site_beat (id INTEGER PRIMARY KEY CHECK (id = 1), at REAL NOT NULL) STRICT;
    """,
)
TABLES = {
    "queues": "key, name, epoch",
    "queue_records": "queue, id, record",
    "retained": "topic, message",
    "sessions": "key, record",
    "session_messages": "id, session, packet_id, flags, record, extra",
    "session_incoming": "session, packet_id",
    "site_steps": "number, state, reason, at",
    "site_beat": "id, at",
    "dictionary": "key, value",
}


@dataclass
class Original:
    """A sound database: its files, its rows, and the pages on which each row has bytes."""

    name: str
    files: dict[str, bytes]
    rows: set[tuple] = field(default_factory=set)
    pages_of: dict[tuple, set[int]] = field(default_factory=dict)
    map_pages: set[int] = field(default_factory=set)  # of the schema, and of its copy
    ever: set[tuple] = field(default_factory=set)  # also rows that were deleted since
    frames: list[tuple[int, int]] = field(
        default_factory=list
    )  # page, and the size after, of the log's frames

    @property
    def main(self) -> bytes:
        return self.files[self.name]

    @property
    def log(self) -> bytes:
        return self.files.get(self.name + "-wal", b"")

    def page(self, number: int) -> bytes:
        """The page as SQLite sees it: from the log when it is there."""
        newest = [index for index, (page, _) in enumerate(self.frames) if page == number]
        if newest:
            return self.log[32 + newest[-1] * FRAME + 24 :][:PAGE]
        return self.main[(number - 1) * PAGE : number * PAGE]

    def newest(self, index: int) -> bool:
        """Whether the frame holds its page's last content."""
        page = self.frames[index][0]
        return all(each != page for each, _ in self.frames[index + 1 :])


def payload(rng, low=50, high=2000):
    """Many small, some large, as messages are."""
    return rng.randbytes(int(low * (high / low) ** rng.random()))


async def fill(folder, rng, records, killed, ever):
    """A core's database: three queues, retained messages, a site's own tables. Gives its files."""
    path = folder / "core.db"
    async with Database(path, SETTINGS, ManualClock()) as db:
        queues = [DurableQueue(db, name, BOUNDS) for name in QUEUES]
        for queue in queues:
            await queue.open()
        retained = RetainedStore(db)
        await retained.open()
        sessions = SessionStore(db)
        await sessions.open()
        keys = [sessions.new_key() for _ in range(20)]
        for key in keys:
            sessions.save(key, rng.randbytes(200))
        await db.migrate("site", SITE)
        held = {queue.name: [] for queue in queues}
        for turn in range(records // 10):
            commits = []
            for _ in range(10):
                queue = rng.choice(queues)
                large = rng.random() < 0.01
                record = payload(rng, 5000, 20_000) if large else payload(rng)
                identifier, commit = queue.append(record)
                ever.add(("queue_records", QUEUES.index(queue.name) + 1, identifier, record))
                held[queue.name].append(identifier)
                commits.append(commit)
            if turn % 7 == 0:  # some leave: pages are freed, and used again
                queue = rng.choice(queues)
                gone = [
                    held[queue.name].pop(rng.randrange(len(held[queue.name]) // 2 + 1))
                    for _ in range(8)
                    if held[queue.name]
                ]
                commits.append(queue.ack(gone))
            topic = f"dt/loop-{rng.randrange(60)}/state"
            message = Message(topic, payload(rng, 20, 400), 1, Principal("device", "loop-1", "loop-1"), True)
            commits.append(retained.save(message))
            ever.add(("retained", topic, encode_message(message)))
            number, commit = sessions.insert(rng.choice(keys), turn, 1, payload(rng), None)
            commits.append(commit)
            commits.append(sessions.insert_incoming(rng.choice(keys), turn))
            if turn % 9 == 8:
                sessions.erase([number - 5, number - 6])
            if turn % 11 == 10:
                commits.append(sessions.release(number - 3))
            if turn % 20 == 0:
                commits.append(
                    db.write(
                        lambda c, t=turn: c.execute(
                            "INSERT INTO site_steps (state, at) VALUES ('done', ?)", (t + 0.5,)
                        )
                    )
                )
                commits.append(
                    db.write(
                        lambda c, t=turn: c.execute(
                            "INSERT OR REPLACE INTO site_beat VALUES (1, ?)", (float(t),)
                        )
                    )
                )
            await durable(commits)
        if killed:
            return read_files(folder, path.name)
    return read_files(folder, path.name)


def fill_registry(folder, rng, records):
    path = folder / "registry.sqlite"
    registry = Dictionary.open(path)
    for number in range(records):
        fingerprints = [rng.randbytes(32).hex() for _ in range(rng.choice((1, 1, 1, 2, 30)))]
        registry.put(f"loop-{number}", {"fingerprints": fingerprints, "revoked": [], "added_at": number})
    for number in range(0, records, 9):
        registry.delete(f"loop-{number}")
    registry.close()
    return read_files(folder, path.name)


def read_files(folder, name):
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.name in (name, name + "-wal")}


def make(kind, seed, folder, records=1600):
    """An Original of one kind: "closed" in order, "killed" with a log of many commits, or the "registry"."""
    rng = random.Random(f"{kind} {seed}")
    folder.mkdir()
    if kind == "registry":
        original = Original("registry.sqlite", fill_registry(folder, rng, records // 20))
    else:
        ever = set()
        original = Original("core.db", asyncio.run(fill(folder, rng, records, kind == "killed", ever)))
        original.ever = ever
    for index in range(max(len(original.log) - 32, 0) // FRAME):
        page, size, *salts = struct.unpack_from(">II8s", original.log, 32 + index * FRAME)
        if salts[0] != original.log[16:24]:
            break  # of an earlier round
        original.frames.append((page, size))
    place = folder / "copy"
    write_files(place, original.files)
    original.rows = read_rows(place / original.name)
    map_pages(original)
    missing = original.rows - original.pages_of.keys()
    assert not missing, "every row of a sound file is found on its pages"
    return original


def write_files(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read_rows(path):
    """All rows as (table, value, ...), by SQLite."""
    with closing(sqlite3.connect(path)) as connection:
        present = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        return {
            (table, *row)
            for table, columns in TABLES.items()
            if table in present
            for row in connection.execute(f"SELECT {columns} FROM {table}")
        }


def map_pages(original):
    """Which pages each row touches, by its cell and its overflow pages; and where the schema is."""
    stored = {as_stored(row): row for row in original.rows}
    count = max([len(original.main) // PAGE, *(page for page, _ in original.frames)])
    pages = {number: original.page(number) for number in range(1, count + 1)}
    if original.name == "core.db":
        original.map_pages = {n for n, content in pages.items() if b"CREATE TABLE queue_records" in content}
    for number, content in pages.items():
        parsed = parse_page(content, number)
        for cell in parsed.cells if parsed else ():
            data, touched, follow = content[cell.start : cell.end], {number}, cell.overflow
            while follow in pages and len(data) < cell.size:
                touched.add(follow)
                data += pages[follow][4:]
                follow = int.from_bytes(pages[follow][:4], "big")
            values = decode_record(data[: cell.size]) if cell.size else None
            row = stored.get((cell.rowid, values), stored.get((None, values)))
            if row is not None:
                original.pages_of.setdefault(row, set()).update(touched)


def as_stored(row):
    table, *values = row
    if table in ("queues", "sessions", "session_messages", "site_steps", "site_beat"):
        numbers = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values[1:]]
        return values[0], (None, *numbers)
    if table == "dictionary":
        return None, tuple(values)
    return 0, tuple(values)
