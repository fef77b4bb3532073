import io
import json
import sys

import pytest

from edgecore.cli import exit_codes


def test_publishes_as_the_operator(edgecore, core):
    done = edgecore("pub", "to/cloud", "21.5", "--dir", core.folder, "--retain")
    assert done.code == 0
    assert done.out == ""
    assert done.err == "published 4 bytes to to/cloud: 1 receivers\n"
    [(message, _)] = core.cloud.taken
    assert (message.payload, message.qos, message.retain) == (b"21.5", 1, True)
    assert message.sender.kind == "operator"


def test_json_is_data(edgecore, core):
    done = edgecore("pub", "to/cloud", "x", "--dir", core.folder, "--json", "--qos", "0")
    assert json.loads(done.out) == {"receivers": 1}
    assert done.err == ""


def test_the_payload_may_be_a_file(edgecore, core, tmp_path):
    (tmp_path / "payload").write_bytes(b"\x00\xff")
    assert edgecore("pub", "to/cloud", "--file", tmp_path / "payload", "--dir", core.folder).code == 0
    assert core.cloud.taken[0][0].payload == b"\x00\xff"


def test_the_payload_may_come_from_a_pipe(edgecore, core, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"piped")))
    assert edgecore("pub", "to/cloud", "--dir", core.folder).code == 0
    assert core.cloud.taken[0][0].payload == b"piped"


def test_a_payload_and_a_file_are_one_too_many(edgecore, tmp_path):
    done = edgecore("pub", "a", "x", "--file", tmp_path / "y", "--dir", tmp_path)
    assert done.code == exit_codes.USAGE
    assert "give the payload or --file, not both" in done.err


def test_a_file_that_is_not_there(edgecore, tmp_path):
    done = edgecore("pub", "a", "--file", tmp_path / "y", "--dir", tmp_path)
    assert done.code == exit_codes.CONFIG
    assert "found No such file or directory, expected a readable file" in done.err


def test_a_topic_with_a_wildcard_is_refused_before_anything_is_asked(edgecore, tmp_path):
    done = edgecore("pub", "a/#", "x", "--dir", tmp_path)
    assert done.code == exit_codes.FAILED
    assert "holds a wildcard: publish to a concrete topic" in done.err


@pytest.mark.parametrize("qos", ["3", "-1"])
def test_a_qos_that_mqtt_does_not_have(edgecore, qos):
    assert edgecore("pub", "a", "x", "--qos", qos).code == exit_codes.USAGE


def test_without_a_core_it_says_how_to_start_one(edgecore, tmp_path):
    done = edgecore("pub", "a", "x", "--dir", tmp_path)
    assert done.code == exit_codes.UNAVAILABLE
    assert "edgecore run --dir" in done.err
