import logging
import sqlite3
from contextlib import closing

import pytest

from edgecore.base.errors import StoreError
from edgecore.store import Dictionary


@pytest.fixture
def path(tmp_path):
    return tmp_path / "registry.sqlite"


@pytest.fixture
def dictionary(path):
    dictionary = Dictionary.open(path)
    yield dictionary
    dictionary.close()


def test_values_survive(path):
    dictionary = Dictionary.open(path)
    dictionary.put("b", {"x": [1, None, "ä"]})
    dictionary.put("a", 2)
    dictionary.close()
    dictionary = Dictionary.open(path)
    assert dictionary.items() == [("b", {"x": [1, None, "ä"]}), ("a", 2)]
    assert dictionary.get("a") == 2
    assert dictionary.get("missing") is None
    assert dictionary.delete("a") is True
    assert dictionary.delete("a") is False
    assert dictionary.set_aside == ""
    dictionary.close()


def test_values_are_json_on_disk_and_durable_when_put_returns(path, dictionary):
    dictionary.put("a", {"x": 1})
    other = sqlite3.connect(path)
    assert other.execute("SELECT value FROM dictionary").fetchone() == (b'{"x":1}',)
    other.close()


def test_synchronous_is_full_and_the_journal_is_wal(dictionary):
    assert dictionary._table.conn.select_one("PRAGMA synchronous") == (2,)
    assert dictionary._table.conn.select_one("PRAGMA journal_mode") == ("wal",)


async def test_off_the_loop(dictionary):
    await dictionary.aput("a", 1)
    assert await dictionary.aget("a") == 1
    assert await dictionary.adelete("a") is True
    assert await dictionary.adelete("a") is False
    await dictionary.aput_all({"b": 2, "c": 3})
    assert await dictionary.aget("c") == 3


def test_many_are_put_at_once(path, dictionary):
    dictionary.put("b", 1)
    dictionary.put_all({str(number): {"n": number} for number in range(3000)} | {"b": 2})
    dictionary.put_all({})
    assert dictionary.get("2999") == {"n": 2999}
    assert dictionary.get("b") == 2
    other = sqlite3.connect(path)
    kinds = other.execute("SELECT count(*), typeof(value) FROM dictionary GROUP BY 2").fetchall()
    other.close()
    assert kinds == [(3001, "blob")]


def test_what_json_cannot_say_is_refused(dictionary):
    with pytest.raises(StoreError, match="TypeError"):
        dictionary.put("a", object())
    with pytest.raises(StoreError, match="TypeError"):
        dictionary.put_all({"a": 1, "b": object()})
    assert dictionary.get("a") is None


def test_a_full_disk_is_an_error_and_not_a_hang(dictionary, caplog):
    caplog.set_level(logging.CRITICAL, "sqlitedict")
    dictionary.put("a", "x")
    (pages,) = dictionary._table.conn.select_one("PRAGMA page_count")
    dictionary._table.conn.select_one(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StoreError, match="full"):
        dictionary.put("b", "x" * 100_000)
    assert dictionary.get("b") is None
    with pytest.raises(StoreError, match="full"):
        dictionary.put_all({"a": "z", "b": "x" * 100_000})
    assert (dictionary.get("a"), dictionary.get("b")) == ("x", None)
    dictionary.put("a", "y")
    assert dictionary.get("a") == "y"


def test_it_does_not_open_without_full_sync(path, monkeypatch):
    monkeypatch.setattr("edgecore.store.dictionary.SYNCHRONOUS_FULL", 3)
    with pytest.raises(StoreError, match="synchronous reads back 2"):
        Dictionary.open(path)


@pytest.mark.parametrize("content", [b"nonsense" * 600])
def test_a_damaged_file_is_set_aside(path, content):
    path.write_bytes(content)
    dictionary = Dictionary.open(path)
    assert dictionary.items() == []
    assert dictionary.set_aside.startswith("registry.sqlite.damaged-")
    assert path.with_name(dictionary.set_aside).read_bytes() == content
    dictionary.close()


RECORDS = {f"loop-{n}": {"fingerprints": [f"{n:064x}"], "revoked": [], "added_at": n} for n in range(200)}


@pytest.fixture
def registry(path):
    """A registry of 200 devices, of which some were taken out since; closed in order."""
    dictionary = Dictionary.open(path)
    for key, value in {**RECORDS, **{f"gone-{n}": n for n in range(50)}}.items():
        dictionary.put(key, value)
    for n in range(50):
        dictionary.delete(f"gone-{n}")
    dictionary.close()
    return path


def reopened(path):
    """What opening set aside, and the pairs that are there."""
    dictionary = Dictionary.open(path)
    try:
        dictionary.put("new", 1)
        return dictionary.set_aside, {key: value for key, value in dictionary.items() if key != "new"}
    finally:
        dictionary.close()


def zero(path, number):
    content = bytearray(path.read_bytes())
    content[(number - 1) * 4096 : number * 4096] = bytes(4096)
    path.write_bytes(content)


@pytest.mark.parametrize("number", range(1, 14))
def test_a_lost_page_costs_the_devices_that_lay_on_it_alone(registry, number, caplog):
    zero(registry, number)
    aside, found = reopened(registry)
    assert found.items() <= RECORDS.items()
    assert len(RECORDS) - len(found) < 40
    if len(found) < len(RECORDS):
        assert aside.startswith("registry.sqlite.damaged-")
        lost = min(RECORDS.keys() - found.keys())
        assert f"salvaged dictionary {len(found)}" in caplog.text
        assert f"dictionary {lost!r}" in caplog.text  # the index tells whom to add again


def test_order_survives_a_salvage(registry):
    zero(registry, 1)
    assert list(reopened(registry)[1]) == list(RECORDS)


def test_a_device_that_was_taken_out_is_wiped(registry, dictionary):
    assert dictionary._table.conn.select_one("PRAGMA secure_delete") == (1,)
    assert b"gone-" not in registry.read_bytes()


def test_tables_that_are_not_its_own_are_damage(registry):
    with closing(sqlite3.connect(registry)) as connection:
        connection.execute("CREATE TRIGGER evil AFTER INSERT ON dictionary BEGIN DELETE FROM dictionary; END")
    aside, found = reopened(registry)
    assert aside
    assert found == RECORDS


def test_a_table_whose_name_was_altered_is_damage(registry):
    content = registry.read_bytes()
    registry.write_bytes(content.replace(b'CREATE TABLE "dictionary"', b'CREATE TABLE "dictionasy"'))
    aside, found = reopened(registry)
    assert aside
    assert found == RECORDS


@pytest.mark.parametrize("value", [b"{", b"\xff", None, ""])
def test_a_value_that_cannot_be_read_locks_nobody_else_out(registry, value, caplog):
    with closing(sqlite3.connect(registry)) as connection:
        connection.execute("UPDATE dictionary SET value = ? WHERE key = 'loop-7'", (value,))
        connection.commit()
    _, found = reopened(registry)
    assert found == {key: value for key, value in RECORDS.items() if key != "loop-7"}
    assert "the value of 'loop-7' cannot be read and is left out" in caplog.text


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        Dictionary.open(tmp_path / "none" / "x.sqlite")


def test_a_folder_in_its_place_is_said(tmp_path):
    (tmp_path / "x.sqlite").mkdir()
    with pytest.raises(StoreError, match="no plain file"):
        Dictionary.open(tmp_path / "x.sqlite")
