import pytest

from edgecore.base.errors import RefusedError, StoreError
from edgecore.shadow.document import NOTHING, Document
from edgecore.shadow.journal import MAX_SENT, Change, Journal, Notice
from edgecore.shadow.replica import Mark, Push
from edgecore.shadow.requests import Reply
from edgecore.shadow.topics import ShadowId
from edgecore.store import durable

T = ShadowId("t")
N = ShadowId("t", "n")
FIRST = NOTHING.updated({"desired": {"a": 1}}, 5)
SECOND = FIRST.updated({"reported": {"b": [1, {}]}}, 6)
REPLIES = (Reply("update/accepted", b"\xff"), Reply("update/delta", b""))


@pytest.fixture
async def journal(db):
    journal = Journal(db)
    await journal.load()
    return journal


async def test_a_change_comes_back_whole(db, journal):
    mark = Mark({"desired": {"a": 1}}, 7, 1, 99)
    number, commit = journal.write(Change(T, 0, FIRST, mark, REPLIES))
    await durable(commit)
    await durable(journal.write(Change(T, 1, SECOND))[1])
    await durable(journal.write(Change(N, 0, FIRST.removed(), Mark()))[1])
    contents = await Journal(db).load()
    assert contents.documents == {T: SECOND, N: FIRST.removed()}
    assert contents.marks == {T: mark, N: Mark()}
    assert contents.notices == [Notice(number, T, REPLIES)]


async def test_a_change_on_something_else_than_is_on_disk_fails_whole(db, journal):
    await durable(journal.write(Change(T, 0, FIRST))[1])
    for change in (
        Change(T, 0, FIRST),
        Change(T, 5, SECOND, Mark({}, 1)),
        Change(N, 1, SECOND),
        Change(T, 3, None, Mark({}, 1)),
    ):
        with pytest.raises(StoreError, match="the change before this one was not stored"):
            await durable(journal.write(change)[1])
    contents = await Journal(db).load()
    assert contents.documents == {T: FIRST}
    assert contents.marks == {}


async def test_changes_of_one_turn_are_one_work_and_the_newest_document_is_written(db, journal):
    before = db.status()["works"]
    steps = [FIRST]
    for n in range(9):
        steps.append(steps[-1].updated({"reported": {"b": n}}, 6))
    numbers, commits = zip(
        *(
            journal.write(Change(T, version, document, Mark({}, version), REPLIES))
            for version, document in enumerate(steps)
        ),
        strict=True,
    )
    await durable(commits)
    assert db.status()["works"] == before + 1
    contents = await Journal(db).load()
    assert contents.documents == {T: steps[-1]}
    assert contents.marks == {T: Mark({}, 9)}
    assert contents.notices == [Notice(number, T, REPLIES) for number in numbers]


async def test_a_change_that_follows_nothing_fails_alone_in_its_turn(db, journal):
    await durable(journal.write(Change(N, 0, FIRST))[1])
    good = [journal.write(Change(T, 0, FIRST, None, REPLIES))]
    bad = [journal.write(Change(T, 5, SECOND, Mark({}, 1), REPLIES))]
    good.append(journal.write(Change(N, 1, SECOND, None, REPLIES)))
    bad.append(journal.write(Change(N, 1, SECOND, None, REPLIES)))
    good.append(journal.write(Change(T, 1, SECOND)))
    await durable([commit for _, commit in good])
    for _, commit in bad:
        with pytest.raises(StoreError, match="the change before this one was not stored"):
            await durable(commit)
    contents = await Journal(db).load()
    assert contents.documents == {T: SECOND, N: SECOND}
    assert contents.marks == {}
    assert [notice.id for notice in contents.notices] == [number for number, _ in good[:2]]


async def test_a_work_that_runs_again_forgets_what_the_first_run_found(db, journal):
    await durable(journal.write(Change(T, 0, FIRST))[1])
    runs = []

    def moves_in_the_second_run(connection):
        runs.append(1)
        if len(runs) == 2:
            connection.execute("UPDATE shadow_documents SET version = 7")

    def fails_in_the_first_run(connection):
        if len(runs) == 1:
            raise OSError("not yet")  # the group runs again, each work by itself

    commits = [
        db.write(moves_in_the_second_run),
        journal.write(Change(T, 7, SECOND))[1],
        db.write(fails_in_the_first_run),
    ]
    await durable(commits)
    assert len(runs) == 2
    assert (await Journal(db).load()).documents == {T: SECOND}


async def test_changes_that_wait_are_bounded(journal, monkeypatch):
    monkeypatch.setattr("edgecore.shadow.journal.MAX_CHANGES", 2)
    commits = [journal.write(Change(T, 0, FIRST))[1], journal.write(Change(N, 0, FIRST))[1]]
    with pytest.raises(RefusedError, match="2 changes of shadows wait for the disk"):
        journal.write(Change(T, 1, SECOND))
    await durable(commits)
    await durable(journal.write(Change(T, 1, SECOND))[1])


async def test_a_mark_alone_needs_no_document(db, journal):
    await durable(journal.write(Change(T, mark=Mark({}, 4)))[1])
    assert (await Journal(db).load()).marks == {T: Mark({}, 4)}


@pytest.mark.parametrize(
    "push", [Push("update", "tok", 7, {"desired": {"a": None}}, 2), Push("delete", "t", 7, None, 1)]
)
async def test_what_was_pushed_is_remembered(db, journal, push):
    mark = Mark({"desired": {"a": 1}}, 7, 1, 99, push)
    await durable(journal.write(Change(T, mark=mark))[1])
    assert (await Journal(db).load()).marks == {T: mark}


async def test_sent_notices_go_with_the_next_change(db, journal):
    number, commit = journal.write(Change(T, 0, FIRST, None, REPLIES))
    await durable(commit)
    journal.sent([number])
    second, commit = journal.write(Change(T, 1, SECOND, None, REPLIES))
    await durable(commit)
    assert [notice.id for notice in (await Journal(db).load()).notices] == [second]
    journal.sent([second])
    journal.tidy()
    journal.tidy()
    assert (await Journal(db).load()).notices == []


async def test_many_sent_notices_are_deleted_by_themselves(db, journal):
    number, _ = journal.write(Change(T, 0, FIRST, None, REPLIES))
    journal.sent(range(10_000, 10_000 + MAX_SENT))
    journal.sent([number])
    assert (await Journal(db).load()).notices == []


async def test_what_could_not_be_deleted_is_tried_again(db, journal):
    number, commit = journal.write(Change(T, 0, FIRST, None, REPLIES))
    await durable(commit)
    journal.sent([number])
    with pytest.raises(StoreError):
        await durable(journal.write(Change(T, 9, SECOND))[1])
    await durable(journal.write(Change(T, 1, SECOND))[1])
    assert (await Journal(db).load()).notices == []


async def test_numbers_of_notices_go_on_after_a_restart(db, journal):
    first, commit = journal.write(Change(T, 0, FIRST, None, REPLIES))
    await durable(commit)
    again = Journal(db)
    await again.load()
    second, commit = again.write(Change(T, 1, SECOND, None, REPLIES))
    await durable(commit)
    assert second > first


@pytest.mark.parametrize("content", [b"\xff", b"[", b"[1]", b"[1, 2]", b"[{}, {}, {}]", b"7", b"null"])
async def test_a_row_that_the_disk_altered_costs_itself_alone(db, journal, content, caplog):
    for shadow in (T, N):
        await durable(journal.write(Change(shadow, 0, FIRST, Mark({}, 1), REPLIES))[1])
    await durable(
        db.write(
            lambda c: (
                c.execute("UPDATE shadow_documents SET content = ? WHERE name = 'n'", (content,)),
                c.execute("UPDATE shadow_notices SET replies = x'c1' WHERE name = 'n'"),
            )
        )
    )
    again = Journal(db)
    contents = await again.load()
    assert contents.documents == {T: FIRST, N: Document({}, {}, FIRST.version)}
    assert contents.documents[N].deleted
    assert contents.marks == {T: Mark({}, 1)}
    assert [notice.shadow for notice in contents.notices] == [T]
    assert "cannot be read and counts as deleted" in caplog.text
    # Its versions go on growing, and the notice that cannot be sent is deleted with the next change.
    await durable(
        again.write(Change(N, FIRST.version, contents.documents[N].updated({"reported": {"c": 1}}, 7)))[1]
    )
    contents = await Journal(db).load()
    assert contents.documents[N].version == FIRST.version + 1
    assert contents.unreadable == []


async def test_an_altered_mark_is_as_if_never_synchronised(db, journal):
    await durable(journal.write(Change(T, 0, FIRST, Mark({}, 1)))[1])
    for column in ("base", "pending"):
        await durable(
            db.write(lambda c, column=column: c.execute(f"UPDATE shadow_marks SET {column} = x'ff'"))
        )
        contents = await Journal(db).load()
        assert (contents.documents, contents.marks) == ({T: FIRST}, {})
        await durable(db.write(lambda c: c.execute("UPDATE shadow_marks SET base = 'null'")))
