import json

import pytest

from edgecore.base.interfaces import ShadowSummary
from edgecore.cli import exit_codes

UPDATE = ("shadow", "update", "gate")


def test_the_list(edgecore, core):
    core.documents = [
        ShadowSummary("gate", "", 3, 17, "same"),
        ShadowSummary("lamp", "config", 1, 2, "pending"),
    ]
    done = edgecore("shadow", "list", "--dir", core.folder)
    assert [line.split() for line in done.out.splitlines()] == [
        ["thing", "shadow", "version", "bytes", "cloud"],
        ["gate", "(classic)", "3", "17", "same"],
        ["lamp", "config", "1", "2", "pending"],
    ]
    done = edgecore("shadow", "list", "lamp", "--json", "--dir", core.folder)
    assert [each["name"] for each in json.loads(done.out)["shadows"]] == ["config"]


def test_no_shadows_yet(edgecore, core):
    done = edgecore("shadow", "list", "--dir", core.folder)
    assert (done.code, done.out) == (0, "")
    assert "no shadows yet" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("shadow", "get", "a/b"), "expected 1 to 128 of the characters"),
        (("shadow", "get", "gate", "--name", "a/b"), "expected 1 to 64 of the characters"),
        (("shadow", "watch", "a#"), "expected 1 to 128 of the characters"),
        ((*UPDATE,), "give the state or --file"),
        ((*UPDATE, "{}", "--file", "x"), "give the state or --file"),
        ((*UPDATE, "{"), "the state is no JSON"),
        ((*UPDATE, "[]"), "or one of the two"),
        ((*UPDATE, '{"wanted": {}}'), "or one of the two"),
    ],
)
def test_a_wrong_command_line(edgecore, tmp_path, arguments, words):
    done = edgecore(*arguments, "--dir", tmp_path)
    assert done.code == exit_codes.USAGE
    assert words in " ".join(done.err.replace("│", " ").split())


def test_a_file_that_is_not_there(edgecore, tmp_path):
    done = edgecore(*UPDATE, "--file", tmp_path / "state.json", "--dir", tmp_path)
    assert done.code == exit_codes.CONFIG
    assert "a readable file of JSON" in done.err


def test_without_a_core_it_says_how_to_start_one(edgecore, tmp_path):
    done = edgecore("shadow", "get", "gate", "--dir", tmp_path)
    assert done.code == exit_codes.UNAVAILABLE
    assert "edgecore run --dir" in done.err
