"""Damage to a database of realistic content, and what must hold afterwards.

A long run: `python -m tests.fuzz.store_damage --cases 10000 --seed 1`. Its summary is one JSON object.

The law: the store always opens and works; `integrity_check` is content; every row is one that was written;
every row that has no byte on a damaged page is there. A flipped bit inside a row that stays well formed is
what SQLite cannot see: then one row is altered in one column, and that row lay on the page.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import shutil
import sqlite3
import struct
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edgecore.base.clock import ManualClock
from edgecore.base.identity import Principal
from edgecore.base.message import Message
from edgecore.store import (
    Database,
    Dictionary,
    DurableQueue,
    QueueBounds,
    RetainedStore,
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
    "site_steps": "number, state, reason, at",
    "site_beat": "id, at",
    "dictionary": "key, value",
}


class LawError(AssertionError):
    """What must hold did not."""


@dataclass
class Original:
    """A sound database: its files, its rows, and the pages on which each row has bytes."""

    name: str
    files: dict[str, bytes]
    rows: set[tuple] = field(default_factory=set)
    pages_of: dict[tuple, set[int]] = field(default_factory=dict)
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
    """Which pages each row touches, by its cell and its overflow pages."""
    stored = {as_stored(row): row for row in original.rows}
    count = max([len(original.main) // PAGE, *(page for page, _ in original.frames)])
    pages = {number: original.page(number) for number in range(1, count + 1)}
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
    if table in ("queues", "site_steps", "site_beat"):
        numbers = [int(v) if isinstance(v, float) and v.is_integer() else v for v in values[1:]]
        return values[0], (None, *numbers)
    if table == "dictionary":
        return None, tuple(values)
    return 0, tuple(values)


@dataclass(frozen=True)
class Damage:
    """What was done, the files after it, and the pages whose content it took or changed."""

    words: str
    files: dict[str, bytes]
    pages: frozenset[int]
    kind: str
    frame: int = -1  # of the log, the first that it hit


def flip(original, rng):
    bit = rng.randrange(len(original.main) * 8)
    content = bytearray(original.main)
    content[bit // 8] ^= 1 << bit % 8
    number = bit // 8 // PAGE + 1
    return main_damage(original, f"bit {bit % 8} of byte {bit // 8}", bytes(content), {number}, "flip")


def zero(original, rng):
    number = rng.randrange(len(original.main) // PAGE) + 1
    return replace_page(original, number, bytes(PAGE), "zero")


def noise(original, rng):
    number = rng.randrange(len(original.main) // PAGE) + 1
    return replace_page(original, number, rng.randbytes(PAGE), "noise")


def head(original, rng):
    """The first page, or its first hundred bytes."""
    length = rng.choice((16, 100, PAGE))
    content = rng.choice((bytes(length), rng.randbytes(length))) + original.main[length:]
    return main_damage(original, f"first {length} bytes", content, {1} if length > 100 else set(), "head")


def truncate(original, rng):
    length = rng.randrange(len(original.main))
    lost = set(range(length // PAGE + 1, len(original.main) // PAGE + 1))
    return main_damage(original, f"cut to {length}", original.main[:length], lost, "truncate")


def shuffle(original, rng):
    """Two pages in each other's place: a file system that lost its way."""
    count = len(original.main) // PAGE
    one, two = rng.sample(range(1, count + 1), 2)
    content = bytearray(original.main)
    at, to = (one - 1) * PAGE, (two - 1) * PAGE
    content[at : at + PAGE], content[to : to + PAGE] = (
        original.main[to : to + PAGE],
        original.main[at : at + PAGE],
    )
    return main_damage(original, f"pages {one} and {two} exchanged", bytes(content), {one, two}, "shuffle")


def replace_page(original, number, content, kind):
    at = (number - 1) * PAGE
    whole = original.main[:at] + content + original.main[at + PAGE :]
    return main_damage(original, f"{kind} page {number}", whole, {number}, kind)


def main_damage(original, words, content, pages, kind):
    newer = {page for page, _ in original.frames}
    return Damage(words, {**original.files, original.name: content}, frozenset(pages - newer), kind)


def tear(original, rng):
    """The log ends early, as after a power cut."""
    length = rng.randrange(len(original.log))
    return log_damage(original, f"log cut to {length}", original.log[:length], length, "tear")


def log_flip(original, rng):
    bit = rng.randrange((32 + len(original.frames) * FRAME) * 8)
    content = bytearray(original.log)
    content[bit // 8] ^= 1 << bit % 8
    return log_damage(
        original, f"bit {bit % 8} of byte {bit // 8} of the log", bytes(content), bit // 8, "log flip"
    )


def log_zero(original, rng):
    at = rng.randrange(32 + len(original.frames) * FRAME)
    content = original.log[:at] + bytes(512) + original.log[at + 512 :]
    return log_damage(
        original, f"512 bytes of the log from {at}", content[: len(original.log)], at, "log zero"
    )


def log_damage(original, words, content, at, kind):
    files = {**original.files, original.name + "-wal": content}
    first = (at - 32) // FRAME if at >= 32 else 0
    last = (at + (511 if kind == "log zero" else 0) - 32) // FRAME
    # A frame's checksum goes on from the one before it: without that one nothing can prove the next frame.
    hit = range(first, min(last + 2, len(original.frames)))
    pages = {original.frames[index][0] for index in hit if original.newest(index)}
    return Damage(words, files, frozenset(pages), kind, first)


MAIN = (flip, flip, flip, zero, noise, head, truncate, shuffle)
LOG = (tear, log_flip, log_zero)


@dataclass
class Outcome:
    """What became of a case: rows that were there, that should be, that are, and whether salvage was needed."""

    kind: str
    rows: int
    expected: int
    survived: int
    salvaged: bool
    altered: int


def run_case(original, damage, folder):
    """Open the damaged files as the core does, use them, and judge. Raises LawError."""
    shutil.rmtree(folder, ignore_errors=True)
    write_files(folder, damage.files)
    plain = None
    if damage.frame >= 0:
        write_files(folder / "plain", damage.files)
        plain = read_rows(folder / "plain" / original.name)  # what SQLite alone makes of the log
    try:
        rows, aside = (
            use_registry(folder) if original.name == "registry.sqlite" else asyncio.run(use_core(folder))
        )
    except Exception as error:
        raise LawError(f"{original.name}: {damage.words}: it did not open: {error!r}") from error
    try:
        return judge(original, damage, plain, rows, aside)
    except LawError as error:
        raise LawError(f"{original.name}: {damage.words}: {error}") from None


async def use_core(folder):
    path = folder / "core.db"
    async with Database(path, SETTINGS, ManualClock()) as db:
        aside = db.status()["set_aside"]
        rows = read_rows(path)
        queues = [DurableQueue(db, name, BOUNDS) for name in QUEUES]
        for queue in queues:
            await queue.open()
            identifier, commit = queue.append(b"one more")
            await durable(commit)
            held = await queue.peek(identifier - 1, 10, 1000)
            if held != [(identifier, b"one more")]:
                raise LawError(f"a queue gives {held} for its newest record {identifier}")
            await durable(queue.ack([identifier]))
        retained = RetainedStore(db)
        await retained.open()
        await retained.load()
        await db.migrate("site", SITE)
        await durable(db.write(lambda c: c.execute("INSERT INTO site_steps (state, at) VALUES ('new', 1.5)")))
        await durable(db.write(lambda c: c.execute("INSERT OR REPLACE INTO site_beat VALUES (1, 2.0)")))
    check_integrity(path)
    return rows, aside


def use_registry(folder):
    path = folder / "registry.sqlite"
    registry = Dictionary.open(path)
    try:
        rows = read_rows(path)
        registry.items()
        registry.put("one more", {"fingerprints": []})
    finally:
        registry.close()
    check_integrity(path)
    return rows, [registry.set_aside] if registry.set_aside else []


def check_integrity(path):
    with closing(sqlite3.connect(path)) as connection:
        (finding,) = connection.execute("PRAGMA integrity_check").fetchone()
    if finding != "ok":
        raise LawError(f"integrity_check says {finding}")


def judge(original, damage, plain, rows, aside):
    expected = {row for row in original.rows if not original.pages_of[row] & damage.pages}
    if plain is not None and rows == plain and not followed(original, damage):
        expected = plain  # the log's end: as torn by a power cut, and then nobody was told that it was stored
    # A page in the place of another may be an old copy of it, from before the last checkpoint.
    written = original.rows | (original.ever if damage.kind == "shuffle" else set()) | (plain or set())
    strange = rows - written
    for row in sorted(strange, key=str):
        explain(original, damage, row, len(strange))
    missing = expected - rows
    if len(missing) > allowed(original, damage, missing):
        raise LawError(
            f"{len(missing)} rows are lost that lie on no damaged page: {[str(row)[:40] for row in sorted(missing, key=str)[:3]]}"
        )
    survived = len(rows & original.rows)
    return Outcome(damage.kind, len(original.rows), len(expected), survived, bool(aside), len(strange))


def followed(original, damage):
    """Whether a whole transaction comes after the one that was hit: then it had been on the disk."""
    if damage.kind == "tear":
        return False
    commits = [index for index, (_, size) in enumerate(original.frames) if size and index > damage.frame]
    return len(commits) >= 3


def explain(original, damage, row, number):
    """A row that nobody wrote: SQLite has no checksums, so damage inside a row can alter one column of it.

    By a flipped bit, or by an overflow page (bytes of one value and nothing else) that became another's.
    A queue's epoch may be missing.
    """
    if row[0] == "queues" and row[3] == 0 and any(row[:3] == each[:3] for each in original.rows):
        return
    near = [
        each
        for each in original.rows
        if each[0] == row[0] and sum(a != b for a, b in zip(each, row, strict=True)) == 1
    ]
    most = {"flip": 1, "zero": 1, "shuffle": 2}.get(damage.kind, 0)
    touched = any(
        original.pages_of[each] & damage.pages and (damage.kind == "flip" or len(original.pages_of[each]) > 1)
        for each in near
    )
    if number > most or not touched:
        raise LawError(f"nobody wrote {str(row)[:120]}")


def allowed(original, damage, missing):
    """Rows that may be lost beside those on the damaged page.

    Two rows that claim one overflow page are both given up, and one of them is innocent. An old copy of a page
    in the place of another may have a dozen such rows.
    """
    return {"flip": 1, "noise": 1, "shuffle": 12}.get(damage.kind, 0)


def run(cases, seed, folder, report=lambda *_: None, only=-1):
    """Cases in turn over the kinds of originals and damages; gives their outcomes. Raises LawError."""
    kinds = ["closed", "killed", "registry"]
    originals = {kind: make(kind, seed, folder / kind) for kind in kinds}
    outcomes = []
    for number in [only] if only >= 0 else range(cases):
        rng = random.Random(f"{seed} {number}")
        original = originals[("closed", "closed", "killed", "killed", "registry")[number % 5]]
        damage = rng.choice(LOG if number % 5 == 3 else MAIN)(original, rng)
        try:
            outcomes.append(run_case(original, damage, folder / "case"))
        except LawError as error:
            report(number, error)
    return outcomes


def summary(outcomes):
    """By kind of damage: cases, salvaged, altered rows, and the share of rows that survived."""
    table = {}
    for kind in sorted({each.kind for each in outcomes}):
        some = [each for each in outcomes if each.kind == kind]
        table[kind] = {
            "cases": len(some),
            "salvaged": sum(each.salvaged for each in some),
            "altered rows": sum(each.altered for each in some),
            "survived": round(sum(each.survived for each in some) / sum(each.rows for each in some), 6),
            "of rows on no damaged page": round(
                sum(min(each.survived, each.expected) for each in some)
                / max(sum(each.expected for each in some), 1),
                6,
            ),
        }
    return table


def in_memory():
    """Where a sync costs nothing, if there is such a place: these cases are about content, not about syncs."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, default=-1, help="this case alone")
    parser.add_argument("--loud", action="store_true", help="show the store's log")
    options = parser.parse_args()
    if not options.loud:
        logging.disable()
    broken = []

    def note(number, error):
        broken.append(number)
        print(f"BROKEN: case {number}: {error}", flush=True)

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="edgecore-damage-", dir=in_memory()) as folder:
        outcomes = run(options.cases, options.seed, Path(folder), note, options.only)
    seconds = round(time.monotonic() - began)
    found = {"seed": options.seed, "cases": options.cases, "broken": len(broken), "seconds": seconds}
    print(json.dumps({**found, "by damage": summary(outcomes)}, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
