"""The shadows' file."""

import pytest

from edgecore.base.errors import StoreError
from edgecore.sim.cloud.journal import Journal, read_backup, write_backup
from edgecore.sim.cloud.shadows import Key, Shadow

FIRST = (Key("lamp"), Shadow(1, {"reported": {"a": 1}}, {"reported": {"a": {"timestamp": 5}}}, 5))
SECOND = (Key("lamp", "config"), Shadow(4, deleted_at=9, timestamp=9))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "shadows.jsonl"


def written(path, *shadows):
    journal = Journal(path)
    journal.open()
    for key, shadow in shadows:
        journal.write(key, shadow)
    journal.close()


def test_what_was_written_is_read_again(path):
    written(path, FIRST, SECOND)
    journal = Journal(path)
    assert journal.open() == [FIRST, SECOND]
    journal.close()


def test_the_last_line_of_a_shadow_wins_and_the_file_is_made_short(path):
    newer = (FIRST[0], Shadow(2))
    written(path, FIRST, newer)
    written(path)
    assert len(path.read_text().splitlines()) == 1
    journal = Journal(path)
    assert journal.open() == [newer]
    journal.close()


def test_writes_wait_for_a_flush(path):
    journal = Journal(path)
    journal.open()
    assert not journal.waiting
    journal.write(*FIRST)
    assert journal.waiting
    assert path.read_text() == ""
    journal.flush()
    assert not journal.waiting
    assert path.read_text() != ""
    journal.close()


def test_a_last_line_cut_short_is_left_out(path):
    written(path, FIRST, SECOND)
    path.write_text(path.read_text()[:-20])
    journal = Journal(path)
    assert journal.open() == [FIRST]
    journal.close()


def test_damage_in_the_middle_says_where(path):
    written(path, FIRST, SECOND)
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(StoreError, match="line 1"):
        Journal(path).open()


def test_a_backup_is_read_as_it_was_written(tmp_path):
    write_backup(tmp_path / "backup.jsonl", [FIRST, SECOND])
    assert read_backup(tmp_path / "backup.jsonl") == [FIRST, SECOND]


def test_without_a_backup(tmp_path):
    with pytest.raises(StoreError, match="no backup was made"):
        read_backup(tmp_path / "backup.jsonl")
