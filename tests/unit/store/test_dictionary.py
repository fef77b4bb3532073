import logging
import sqlite3

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


def test_a_torn_page_is_damage(path):
    dictionary = Dictionary.open(path)
    for n in range(200):
        dictionary.put(f"k{n}", "v" * 100)
    dictionary.close()
    content = bytearray(path.read_bytes())
    content[4096:8192] = b"\xff" * 4096
    path.write_bytes(content)
    dictionary = Dictionary.open(path)
    assert dictionary.set_aside
    dictionary.close()


def test_a_missing_folder_is_said(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        Dictionary.open(tmp_path / "none" / "x.sqlite")


def test_a_folder_in_its_place_is_said(tmp_path):
    (tmp_path / "x.sqlite").mkdir()
    with pytest.raises(StoreError, match="check permissions"):
        Dictionary.open(tmp_path / "x.sqlite")
