"""The record of a long run is taken up where it stopped."""

from tests.crash.record import Record, summary_line, totals

KEY = {"what": "kill", "seed": 1}


def test_a_record_goes_on_where_it_ended(tmp_path, capsys):
    record = Record(tmp_path / "build" / "r.jsonl", KEY)
    assert record.next == 0
    record.add({"number": 0, "lost": 1}, 2)
    record.add({"number": 1, "lost": 2}, 2)
    assert "kill 2/2: lost 3" in capsys.readouterr().err
    again = Record(tmp_path / "build" / "r.jsonl", KEY)
    assert (again.next, len(again.rows)) == (2, 2)
    assert Record(tmp_path / "build" / "r.jsonl", {**KEY, "seed": 2}).next == 0


def test_totals_are_of_counts_only():
    rows = [
        {"number": 7, "seed": 1, "lost": 2, "seconds": 0.5, "kills": {"load": 1}, "examples": ["x"]},
        {"number": 8, "seed": 1, "lost": 3, "kills": {"load": 1, "drain": 2}},
    ]
    assert totals(rows) == {"lost": 5, "kills_load": 2, "kills_drain": 2}
    assert summary_line(rows) == "kills_drain 2, kills_load 2, lost 5"
