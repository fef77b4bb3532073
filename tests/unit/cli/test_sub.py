import json

from edgecore.cli import exit_codes


def test_a_line_for_each_message(edgecore, core):
    core.when_watched(("a/b", b"hello"), ("a/c", b"\xff\xfe"))
    done = edgecore("sub", "a/#", "--dir", core.folder, "--count", "2")
    assert done.code == 0
    assert done.out == "a/b hello\na/c <2 bytes>\n"
    assert done.err == "subscribed\n"


def test_json_lines(edgecore, core):
    core.when_watched(("a", b"{}"), ("b", b"\xff"))
    done = edgecore("sub", "a", "b", "--json", "-n", "2", "--dir", core.folder)
    assert [json.loads(line) for line in done.out.splitlines()] == [
        {"topic": "a", "payload": "{}", "qos": 0, "retain": False, "sender": "core"},
        {"topic": "b", "payload_base64": "/w==", "qos": 0, "retain": False, "sender": "core"},
    ]


def test_what_was_dropped_is_said(edgecore, core):
    core.when_watched(*(("a", b"%d" % number) for number in range(1003)))
    done = edgecore("sub", "a", "-n", "1", "--dir", core.folder)
    assert done.out == "a 3\n"
    assert "3 messages dropped: this terminal is too slow for them" in done.err


def test_the_end_of_the_core_ends_it(edgecore, core):
    core.when_watched(("a", b"x"))
    core._loop.call_later(0.2, core.stop)
    done = edgecore("sub", "a", "--dir", core.folder)
    assert done.code == 0
    assert done.err.endswith("the core ended the stream: it is stopping\n")


def test_a_filter_that_mqtt_does_not_allow(edgecore, tmp_path):
    done = edgecore("sub", "a/#/b", "--dir", tmp_path)
    assert done.code == exit_codes.FAILED
    assert "'#' must be the whole last level" in done.err


def test_without_a_core_it_says_how_to_start_one(edgecore, tmp_path):
    done = edgecore("sub", "a", "--dir", tmp_path)
    assert done.code == exit_codes.UNAVAILABLE
    assert "edgecore run --dir" in done.err


def test_a_certificate_that_is_not_there(edgecore, tmp_path):
    done = edgecore("sub", "a", "--cert", tmp_path / "gate.cert.pem")
    assert done.code == exit_codes.CONFIG
    assert "Name it with --cert; see `edgecore device add`" in done.err
