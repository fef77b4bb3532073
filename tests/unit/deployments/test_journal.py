from __future__ import annotations

import sqlite3

import pytest

from edgecore.deployments.journal import Journal
from edgecore.store import durable


@pytest.fixture
async def journal(db):
    journal = Journal(db)
    await journal.open()
    return journal


async def test_rows_are_numbered_from_one(journal):
    first = await journal.add("local", "d1", "staged", 10.0)
    second = await journal.add("operator", "d2", "failed", 11.0, "it broke")
    assert (first.number, first.origin, first.digest, first.state, first.attempts) == (
        1,
        "local",
        "d1",
        "staged",
        0,
    )
    assert (second.number, second.reason, second.created_at, second.changed_at) == (2, "it broke", 11.0, 11.0)
    assert await journal.history(10) == [second, first]
    assert await journal.count() == 2


async def test_activation_supersedes_the_former(journal):
    for number in (1, 2):
        await journal.add("local", f"d{number}", "staged", 0.0)
        await journal.begin(number, 1.0)
        await journal.activated(number, float(number))
    second, first = await journal.history(2)
    assert (first.state, second.state) == ("superseded", "active")
    assert await journal.active() == second
    assert (second.attempts, second.changed_at) == (1, 2.0)


async def test_failures_keep_their_reason(journal):
    await journal.add("local", "d1", "staged", 0.0)
    await journal.failed(1, "no", 3.0)
    (row,) = await journal.history(1)
    assert (row.state, row.reason, row.changed_at) == ("failed", "no", 3.0)
    assert await journal.active() is None


async def test_what_a_crash_interrupted(journal):
    for digest in ("d1", "d2", "d3"):
        await journal.add("local", digest, "staged", 0.0)
    await journal.begin(2, 1.0)
    await journal.activated(3, 1.0)
    assert [(row.number, row.state) for row in await journal.unfinished()] == [
        (1, "staged"),
        (2, "activating"),
    ]


async def test_the_last_of_an_origin(journal):
    assert await journal.last_of("local") is None
    await journal.add("local", "d1", "failed", 0.0)
    await journal.add("operator", "d2", "staged", 0.0)
    assert (await journal.last_of("local")).digest == "d1"
    assert (await journal.last_of("operator")).digest == "d2"


async def test_the_history_is_bounded_and_the_active_one_stays(journal):
    await journal.add("local", "d0", "staged", 0.0, history=3)
    await journal.activated(1, 0.0)
    for number in range(10):
        await journal.add("local", f"f{number}", "failed", 0.0, history=3)
    assert [row.number for row in await journal.history(99)] == [11, 10, 9, 1]
    assert (await journal.active()).number == 1


async def test_opening_twice_is_no_harm(db, journal):
    await journal.add("local", "d1", "staged", 0.0)
    await Journal(db).open()
    assert await journal.count() == 1


async def test_numbers_are_never_used_again(db, journal):
    await journal.add("local", "d1", "failed", 0.0)

    def forget(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM deployments")

    await durable(db.write(forget))
    assert (await journal.add("local", "d2", "staged", 0.0)).number == 2
