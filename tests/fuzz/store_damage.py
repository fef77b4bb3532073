"""Damage to a database of realistic content, and what must hold afterwards.

A long run: `python -m tests.fuzz.store_damage --cases 10000 --seed 1`. Its summary is one JSON object.

The law: the store always opens and works; `integrity_check` is content; every row is one that was written;
every row that has no byte on a damaged page is there. A flipped bit inside a row that stays well formed is
what SQLite cannot see: then one row is altered in one column, and that row lay on the page.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from store_original import (  # the sibling file, found by the line above
    BOUNDS,
    FRAME,
    PAGE,
    QUEUES,
    SETTINGS,
    SITE,
    make,
    read_rows,
    write_files,
)

from edgecore.base.clock import ManualClock
from edgecore.store import Database, Dictionary, DurableQueue, RetainedStore, SessionStore, durable

# Whose rows these are stands in a column; without its owner a row is given up (and must be).
OWNERS = {
    "queue_records": ("queues", 1),
    "session_messages": ("sessions", 2),
    "session_incoming": ("sessions", 1),
}


class LawError(AssertionError):
    """What must hold did not."""


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
    """What became of a case: rows that were there, that should be, that are, and those of both.

    Whether salvage was needed, and rows that were altered.
    """

    kind: str
    rows: int
    expected: int
    survived: int
    kept: int
    salvaged: bool
    altered: int


def run_case(original, damage, folder):
    """Open the damaged files as the core does, use them, and judge. Raises LawError."""
    shutil.rmtree(folder, ignore_errors=True)
    write_files(folder, damage.files)
    plain = None
    if damage.frame >= 0:
        write_files(folder / "plain", damage.files)
        plain = as_sqlite_reads(folder / "plain" / original.name)
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


def as_sqlite_reads(path):
    """What SQLite alone makes of a damaged log; nothing when the file is newer than the log's sound part."""
    with contextlib.suppress(sqlite3.DatabaseError, LawError):
        check_integrity(path)
        return read_rows(path)
    return set()


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
        await SessionStore(db).open()
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
    if original.map_pages and original.map_pages <= damage.pages:
        expected = set()  # the schema and its copy are both gone: nothing tells what a row is
    keys = {row[:2] for row in rows}
    expected = {row for row in expected if has_owner(row, keys)}
    is_torn = plain is not None and not followed(original, damage)
    if is_torn and (rows == plain or not plain):
        expected = plain  # the log's end: as torn by a power cut, and then nobody was told that it was stored
    # A page in the place of another may be an old copy of it, from before the last checkpoint.
    written = (
        original.rows | (original.ever if damage.kind == "shuffle" or is_torn else set()) | (plain or set())
    )
    strange = {row for row in rows - written if not is_remade(original, row)}
    for row in sorted(strange, key=str):
        explain(original, damage, row, len(strange))
    missing = expected - rows
    if len(missing) > allowed(original, damage, missing):
        raise LawError(
            f"{len(missing)} rows are lost that lie on no damaged page: {[str(row)[:40] for row in sorted(missing, key=str)[:3]]}"
        )
    survived = len(rows & original.rows)
    return Outcome(
        damage.kind,
        len(original.rows),
        len(expected),
        survived,
        len(rows & expected),
        bool(aside),
        len(strange),
    )


def has_owner(row, keys):
    if row[0] not in OWNERS:
        return True
    table, column = OWNERS[row[0]]
    return (table, row[column]) in keys


def followed(original, damage):
    """Whether a whole transaction comes after the one that was hit: then it had been on the disk."""
    if damage.kind == "tear":
        return False
    commits = [index for index, (_, size) in enumerate(original.frames) if size and index > damage.frame]
    return len(commits) >= 3


def is_remade(original, row):
    """A queue that only the index of names remembered: its number of openings is lost, and told by its records."""
    return row[0] == "queues" and row[3] == 0 and any(row[:3] == each[:3] for each in original.rows)


def explain(original, damage, row, number):
    """A row that nobody wrote: SQLite has no checksums, so damage inside a row can alter one column of it.

    By a flipped bit, or by an overflow page (bytes of one value and nothing else) that became another's.
    """
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


def make_all(seed, folder):
    """An Original of each kind."""
    return {kind: make(kind, seed, folder / kind) for kind in ("closed", "killed", "registry")}


def run(numbers, seed, originals, folder, report):
    """These cases, in turn over the kinds of originals and damages; gives their outcomes, reports errors."""
    outcomes = []
    for number in numbers:
        rng = random.Random(f"{seed} {number}")
        original = originals[("closed", "closed", "killed", "killed", "registry")[number % 5]]
        damage = rng.choice(LOG if number % 5 == 3 else MAIN)(original, rng)
        try:
            outcomes.append(run_case(original, damage, folder))
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
                sum(each.kept for each in some) / max(sum(each.expected for each in some), 1), 6
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
        numbers = [options.only] if options.only >= 0 else range(options.cases)
        place = Path(folder)
        outcomes = run(numbers, options.seed, make_all(options.seed, place), place / "case", note)
    seconds = round(time.monotonic() - began)
    found = {"seed": options.seed, "cases": options.cases, "broken": len(broken), "seconds": seconds}
    print(json.dumps({**found, "by damage": summary(outcomes)}, indent=2))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
