import json

import pytest

from edgecore.cli import exit_codes
from edgecore.cli.status import details

NOW = 1_700_000_000.0


def unit(state="running", /, **own):
    return {"state": state, "essential": False, "restarts": 0, "since": NOW - 90, "reason": "", "status": own}


def test_a_line_for_each_unit(edgecore, core):
    core.units = {"store": unit(commits=12), "router": {"state": "running", "status": {"published": 4}}}
    done = edgecore("status", "--dir", core.folder)
    assert done.code == 0
    heading, store, router = done.out.splitlines()
    assert heading.split() == ["unit", "state", "for", "restarts"]
    assert store.split() == ["store", "running", "0:01:30", "0", "12", "commits"]
    assert router.split() == ["router", "running", "4", "messages", "published"]


def test_a_unit_that_is_down_says_why_and_the_exit_code_tells(edgecore, core):
    core.units = {"inference": {**unit("broken"), "reason": "no [vision]: pip install edgecore[vision]"}}
    done = edgecore("status", "--dir", core.folder)
    assert done.code == exit_codes.FAILED
    assert "no [vision]: pip install edgecore[vision]" in done.out


def test_json_is_all_of_it(edgecore, core):
    core.units = {"store": unit(commits=12)}
    answer = json.loads(edgecore("status", "--json", "--dir", core.folder).out)
    assert answer["units"] == core.units
    assert set(answer) == {"version", "time", "units"}


@pytest.mark.parametrize(
    ("own", "text"),
    [
        ({"commits": 12, "failed": 0, "path": ""}, "commits 12"),
        ({"functions": {"f": {"state": "idle", "isolation": "none"}}}, "f idle (isolation none)"),
        ({"connected": True, "full": False, "took": 0.25}, "connected, took 0.25"),
        ({"denied": {"device:a": 2, "device:b": 1}, "refused": {}, "dropped": {"full": 0}}, "denied 3"),
        (
            {"cameras": {"north": {"state": "running", "frames": 3}, "south": {"state": "broken"}}},
            "north running, south broken",
        ),
        ({"names": ["a"], "nothing": None, "queues": {"a": {"records": 1}}}, ""),
        ({"outbox": {"records": 5, "bytes": 900, "oldest": 1.5, "dropped": {}}}, "outbox 5"),
        ({"inbound": {"received": 5, "dropped": {}}}, ""),
        ({"state": "active", "digest": "0" * 64}, "state active"),
        (
            {"reason": "no [cloud] in edgecore.toml: what is sent there is dropped"},
            "no [cloud] in edgecore.toml: what is sent there is dropped",
        ),
    ],
)
def test_the_words_beside_a_unit(own, text):
    assert details(unit(**own)) == text


def test_a_unit_without_a_status_has_no_words():
    assert details({"state": "running"}) == ""


def test_a_unit_with_words_of_its_own_says_them_unless_it_is_down():
    assert details(unit(commits=12, path="/x"), "store") == "12 commits"
    assert details({**unit("broken", commits=12), "reason": "no disk"}, "store") == "no disk"


def test_in_80_columns_nothing_is_cut_off(edgecore, core, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    kept = {"sessions": 30, "away": 18, "queued": 1240, "bytes": 300_000, "dropped": {"overflow": 7}}
    core.units = {"listener": unit(port=8883, other_ports="websocket 8884", connected=12, kept=kept)}
    lines = edgecore("status", "--dir", core.folder).out.splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(line[lines[1].index("port") :].strip() for line in lines[1:])
    assert words == details(core.units["listener"], "listener")
