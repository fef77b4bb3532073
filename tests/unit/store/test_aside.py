"""A new database in the place of a damaged one: every step a crash may fall between."""

import logging

import pytest

from edgecore.store import aside
from edgecore.store.aside import Report

NOW = 1_700_000_000.0
STAMP = "20231114T221320Z"
REPORT = Report("torn", {"queues": 2}, "1 pages")


@pytest.fixture
def path(tmp_path):
    """A damaged database with its companions, and a new one that is ready."""
    path = tmp_path / "core.db"
    for end, content in (("", "old"), ("-wal", "old log"), ("-shm", "index"), (aside.MAKING, "new")):
        aside.beside(path, end).write_text(content)
    return path


def names(path):
    return sorted(each.name for each in path.parent.iterdir())


def test_the_exchange(path):
    assert aside.free_stamp(path, NOW) == STAMP
    assert aside.exchange(path, STAMP, REPORT) == f"core.db.damaged-{STAMP}"
    assert names(path) == [
        "core.db",
        f"core.db.damaged-{STAMP}",
        f"core.db.damaged-{STAMP}-wal",
        f"core.db.damaged-{STAMP}.json",
    ]
    assert path.read_text() == "new"
    assert aside.beside(path, f".damaged-{STAMP}").read_text() == "old"
    assert aside.beside(path, f".damaged-{STAMP}-wal").read_text() == "old log"
    assert aside.reports(path.parent) == {f"core.db.damaged-{STAMP}": REPORT}
    assert all(each.stat().st_mode & 0o777 == 0o600 for each in path.parent.glob("*.damaged-*"))


class CrashError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", range(12))
def test_after_a_crash_at_any_step_neither_is_lost(path, monkeypatch, step):
    left = step

    def crashing(real):
        def act(*args, **kwargs):
            nonlocal left
            if left == 0:
                raise CrashError
            left -= 1
            return real(*args, **kwargs)

        return act

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "fsync", "write"):
            patch.setattr(f"os.{name}", crashing(getattr(aside.os, name)))
        try:
            aside.exchange(path, STAMP, REPORT)
        except CrashError:
            pass
        else:
            assert step >= 10, "every step before was a crash"
    begun = aside.beside(path, aside.WHOLE + STAMP).exists() or not aside.beside(path, aside.MAKING).exists()
    if begun:
        aside.finish(path)
        assert path.read_text() == "new"
        assert aside.beside(path, f".damaged-{STAMP}").read_text() == "old"
        assert aside.beside(path, f".damaged-{STAMP}-wal").read_text() == "old log"
        assert aside.reports(path.parent) == {f"core.db.damaged-{STAMP}": REPORT}
    else:
        aside.finish(path)
        assert path.read_text() == "old"
        assert aside.beside(path, "-wal").read_text() == "old log"
        assert not aside.beside(path, aside.MAKING).exists()
        aside.beside(path, aside.MAKING).write_text("new again")
        again = aside.free_stamp(path, NOW)
        aside.exchange(path, again, REPORT)
        aside.prune(path, 3, f"core.db.damaged-{again}")
        assert path.read_text() == "new again"
        assert aside.beside(path, f".damaged-{again}").read_text() == "old"
    assert not list(path.parent.glob("*.salvag*"))
    assert len(list(path.parent.glob("*.json"))) == 1


def test_names_do_not_collide(path):
    for expected in (STAMP, f"{STAMP}-2", f"{STAMP}-3"):
        stamp = aside.free_stamp(path, NOW)
        assert stamp == expected
        aside.beside(path, f".damaged-{stamp}-wal").touch()


def test_the_oldest_are_deleted_and_that_is_said(path, caplog):
    made = []
    for number in range(5):
        aside.beside(path, aside.MAKING).write_text("new")
        stamp = aside.free_stamp(path, NOW - number * 86_400)  # a clock that runs backwards
        made.append(aside.exchange(path, stamp, REPORT))
    caplog.set_level(logging.WARNING)
    aside.prune(path, 3, newest=made[-1])
    assert [each.name for each in aside.kept(path)] == made[-3:]
    assert [f"{name} is deleted, 3 bytes" in caplog.text for name in made] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert set(aside.reports(path.parent)) == set(made[-3:])
    assert not list(path.parent.glob(f"{made[0]}*"))


def test_the_newest_is_not_deleted(path):
    name = aside.exchange(path, STAMP, REPORT)
    aside.prune(path, 0, newest=name)
    assert [each.name for each in aside.kept(path)] == [name]
    aside.prune(path, 1, newest="")
    assert [each.name for each in aside.kept(path)] == [name]
    aside.prune(path, 0, newest="")
    assert aside.kept(path) == []


def test_files_of_another_database_are_not_touched(path):
    aside.exchange(path, STAMP, REPORT)
    other = path.with_name("core.dbx")
    other.with_name("core.dbx.damaged-1").touch()
    aside.prune(path, 1, newest="")
    assert [each.name for each in aside.kept(other)] == ["core.dbx.damaged-1"]
    assert sorted(aside.reports(path.parent)) == [f"core.db.damaged-{STAMP}", "core.dbx.damaged-1"]


def test_a_name_with_the_signs_of_patterns(tmp_path):
    path = tmp_path / "a[b]*.db"
    path.write_text("old")
    aside.beside(path, aside.MAKING).write_text("new")
    name = aside.exchange(path, STAMP, REPORT)
    assert [each.name for each in aside.kept(path)] == [name]


@pytest.mark.parametrize("content", [b"", b"{", b'{"damage": 1}', b"\xff\xfe", b"[]", b"{}" * 100_000])
def test_a_report_that_cannot_be_read(path, content):
    name = aside.exchange(path, STAMP, REPORT)
    aside.beside(path, f".damaged-{STAMP}.json").write_bytes(content)
    assert aside.reports(path.parent) == {name: None}


def test_a_report_through_a_link_is_not_read(path, tmp_path):
    name = aside.exchange(path, STAMP, REPORT)
    report = aside.beside(path, f".damaged-{STAMP}.json")
    report.rename(tmp_path / "elsewhere")
    report.symlink_to(tmp_path / "elsewhere")
    assert aside.reports(path.parent) == {name: None}


def test_nothing_to_finish(tmp_path):
    (tmp_path / "core.db").write_text("x")
    aside.finish(tmp_path / "core.db")
    assert names(tmp_path / "core.db") == ["core.db"]
