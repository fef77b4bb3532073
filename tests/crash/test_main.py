"""A long run that is over is not played again; its record says how it ended."""

import json
import sys

import pytest

from tests.crash import __main__ as command

KEYS = {
    "kill": ({"what": "kill", "broker": "edgecore", "seed": 1}, "--rounds"),
    "cuts": ({"what": "cuts", "seed": 1}, "--cuts"),
    "order": ({"what": "order", "seed": 1}, "--messages"),
}
BROKEN = {"kill": "lost", "cuts": "not_started", "order": "early"}


def ended(monkeypatch, capsys, tmp_path, verb, **row):
    key, option = KEYS[verb]
    record = tmp_path / "r.jsonl"
    record.write_text(json.dumps({**key, "number": 0, "acked": 3, **row}) + "\n")
    monkeypatch.setattr(command.strace, "why_not", lambda: "")
    monkeypatch.setattr(sys, "argv", ["crash", verb, option, "1", "--record", str(record)])
    return command.main(), json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", KEYS)
def test_a_run_that_kept_the_law_ends_with_0_and_its_totals(monkeypatch, capsys, tmp_path, verb):
    assert ended(monkeypatch, capsys, tmp_path, verb) == (0, {"acked": 3})


@pytest.mark.parametrize("verb", KEYS)
def test_a_run_that_broke_the_law_ends_with_1(monkeypatch, capsys, tmp_path, verb):
    code, printed = ended(monkeypatch, capsys, tmp_path, verb, **{BROKEN[verb]: 2})
    assert (code, printed[BROKEN[verb]]) == (1, 2)


@pytest.mark.parametrize("verb", ["cuts", "order"])
def test_without_strace_it_says_why_and_fails(monkeypatch, tmp_path, verb):
    monkeypatch.setattr(command.strace, "why_not", lambda: "no strace")
    monkeypatch.setattr(sys, "argv", ["crash", verb, "--record", str(tmp_path / "r.jsonl")])
    with pytest.raises(SystemExit, match="no strace"):
        command.main()
