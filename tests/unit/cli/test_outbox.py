import json

import pytest

from edgecore.base.interfaces import SetAside
from edgecore.cli import exit_codes


@pytest.fixture
def kept(core):
    for n, payload in enumerate((b'{"a": 1}', b"\xff\x00", b"two\nlines")):
        one = SetAside("refused with 0x87", 60.0, f"t/{n}", payload, f"1-{n}", 0.0, 1, "device:a")
        core.aside.kept[one.id] = one
    return core.aside.kept


@pytest.fixture
def verb(edgecore, core):
    return lambda *arguments: edgecore("outbox", *arguments, "--dir", core.folder)


def test_the_list(verb, kept):
    done = verb("list")
    assert done.out.splitlines()[0].split() == ["id", "topic", "bytes", "set", "aside", "reason"]
    assert " ".join(done.out.splitlines()[1].split()) == "1-0 t/0 8 1970-01-01 00:01:00 UTC refused with 0x87"
    assert (done.code, done.err, len(done.out.splitlines())) == (0, "", 4)


def test_a_page_says_how_to_see_the_next(verb, kept):
    done = verb("list", "--limit", 2)
    assert "there are more: edgecore outbox list --after 1-1" in done.err
    done = verb("list", "--after", "1-1", "--json")
    answer = json.loads(done.out)
    assert ([one["id"] for one in answer["messages"]], answer["next"]) == (["1-2"], None)


def test_nothing_is_set_aside(verb):
    done = verb("list")
    assert (done.code, done.out) == (0, "")
    assert "nothing is set aside" in done.err


def test_one_with_its_payload_alone_on_standard_output(verb, kept):
    done = verb("show", "1-2")
    assert done.out == "two\nlines\n"
    assert done.err.splitlines() == [
        "topic     t/2",
        "from      device:a, QoS 1, 1970-01-01 00:00:00 UTC",
        "set aside 1970-01-01 00:01:00 UTC: refused with 0x87",
    ]
    assert json.loads(verb("show", "1-0", "--json").out)["payload"] == '{"a": 1}'


def test_a_payload_that_is_no_text(verb, kept):
    done = verb("show", "1-1")
    assert done.out == ""
    assert "no text: 2 bytes; --json" in done.err
    assert json.loads(verb("show", "1-1", "--json").out)["payload_base64"] == "/wA="


def test_one_that_is_not_there(verb):
    done = verb("show", "1-7")
    assert done.code == exit_codes.FAILED
    assert "message 1-7: it is not set aside" in done.err


def test_sent_again_or_dropped(verb, kept):
    assert "1 message in the outbox again" in verb("retry", "1-0").err
    assert list(kept) == ["1-1", "1-2"]
    done = verb("drop", "--all", "--json")
    assert json.loads(done.out) == {"done": 2, "left": {}}
    assert kept == {}


def test_what_is_left_has_its_reason_and_an_exit_code(verb, kept, core):
    core.aside.stubborn = {"1-1": "topic deeper than 8 levels"}
    done = verb("retry", "--all")
    assert done.code == exit_codes.FAILED
    assert "2 messages in the outbox again\n1-1 is left: topic deeper than 8 levels" in done.err


@pytest.mark.parametrize("what", ["retry", "drop"])
@pytest.mark.parametrize("arguments", [(), ("1-0", "--all")])
def test_some_or_all_must_be_said(verb, kept, what, arguments):
    done = verb(what, *arguments)
    assert done.code == exit_codes.USAGE
    assert "name messages by their ids" in " ".join(done.err.replace("│", " ").split())
    assert len(kept) == 3


def test_without_a_core_it_says_how_to_start_one(edgecore, tmp_path):
    done = edgecore("outbox", "list", "--dir", tmp_path)
    assert done.code == exit_codes.UNAVAILABLE
    assert "edgecore run --dir" in done.err
