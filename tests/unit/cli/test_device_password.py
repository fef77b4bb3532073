import contextlib
import io
import json
import os
import subprocess
import sys

import pytest

from edgecore.cli import exit_codes


class Input:
    """Standard input with these bytes, which is no terminal."""

    def __init__(self, data):
        self.buffer = io.BytesIO(data)

    def isatty(self):
        return False


@pytest.fixture
def typed(monkeypatch):
    """Standard input holds these bytes."""

    def typed(data):
        monkeypatch.setattr("sys.stdin", Input(data))

    return typed


@pytest.fixture
def resting(edgecore, tmp_path):
    """The folder of a core that does not run."""
    folder = tmp_path / "d"
    assert edgecore("init", "--dir", folder, "--thing", "core-7").code == 0
    return folder


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\nmore\n"])
def test_a_line_of_standard_input_is_the_password(edgecore, core, typed, end):
    typed("gr\u00fcne Wiese".encode() + end)
    done = edgecore("device", "password", "lamp", "--stdin", "--dir", core.folder)
    assert (done.code, done.out) == (0, "")
    assert done.err == "device lamp may come with this password, and with no other one\n"
    assert core.passwords.known == {"lamp": "gr\u00fcne Wiese".encode()}


def test_a_generated_password_is_printed_once_and_is_another_each_time(edgecore, core):
    seen = set()
    for _ in range(3):
        done = edgecore("device", "password", "lamp", "--generate", "--dir", core.folder)
        assert done.out.encode() == core.passwords.known["lamp"] + b"\n"
        assert len(done.out) == 25
        seen.add(done.out)
    assert len(seen) == 3


def test_json(edgecore, core, typed):
    done = edgecore("device", "password", "lamp", "--generate", "--json", "--dir", core.folder)
    assert json.loads(done.out) == {"name": "lamp", "password": core.passwords.known["lamp"].decode()}
    typed(b"correct horse\n")
    done = edgecore("device", "password", "lamp", "--stdin", "--json", "--dir", core.folder)
    assert json.loads(done.out) == {"name": "lamp"}
    done = edgecore("device", "password", "--list", "--json", "--dir", core.folder)
    assert json.loads(done.out) == {"devices": ["lamp"]}
    done = edgecore("device", "password", "lamp", "--remove", "--json", "--dir", core.folder)
    assert json.loads(done.out) == {"name": "lamp", "removed": True}


def test_lists_and_takes_away(edgecore, core):
    assert "no device has a password" in edgecore("device", "password", "--list", "--dir", core.folder).err
    core.passwords.known.update({"b": b"", "a": b""})
    assert edgecore("device", "password", "--list", "--dir", core.folder).out == "a\nb\n"
    done = edgecore("device", "password", "a", "--remove", "--dir", core.folder)
    assert done.err == "device a has no password any more\n"
    done = edgecore("device", "password", "a", "--remove", "--dir", core.folder)
    assert (done.code, done.err) == (0, "device a had no password\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a b", "--generate"], "expected 1 to 128"),
        (["--generate"], "device ''"),
        (["lamp", "--generate", "--remove"], "at a time"),
        (["lamp", "--stdin", "--generate"], "at a time"),
        (["lamp"], "use --stdin or --generate"),
    ],
)
def test_what_it_cannot_be_asked(edgecore, core, typed, arguments, words):
    typed(b"correct horse\n")
    done = edgecore("device", "password", *arguments, "--dir", core.folder)
    assert done.code == exit_codes.USAGE
    assert words in done.err
    assert core.passwords.known == {}


@pytest.mark.parametrize(
    ("data", "words"), [(b"short\n", "short password"), (b"\xff" * 20 + b"\n", "no UTF-8")]
)
def test_a_password_that_none_may_have(edgecore, core, typed, data, words):
    typed(data)
    done = edgecore("device", "password", "lamp", "--stdin", "--dir", core.folder)
    assert done.code == exit_codes.FAILED
    assert words in done.err


def test_works_while_the_core_is_down(edgecore, resting, typed):
    typed(b"correct horse\n")
    assert edgecore("device", "password", "lamp", "--stdin", "--dir", resting).code == 0
    assert edgecore("device", "password", "--list", "--dir", resting).out == "lamp\n"
    [record] = json.loads(edgecore("device", "list", "--dir", resting, "--json").out)["devices"]
    assert (record["name"], record["fingerprints"]) == ("lamp", [])
    assert edgecore("device", "revoke", "lamp", "--dir", resting).code == 0
    assert edgecore("device", "password", "--list", "--dir", resting).out == ""
    done = edgecore("device", "password", "lamp", "--remove", "--dir", resting)
    assert done.err == "device lamp had no password\n"


def test_a_folder_that_was_never_initialised(edgecore, tmp_path):
    done = edgecore("device", "password", "lamp", "--generate", "--dir", tmp_path)
    assert (done.code, done.out) == (exit_codes.CONFIG, "")
    assert "Make them with `edgecore init`" in done.err


def test_a_person_types_it_twice_and_nobody_sees_it(core):
    """On a real terminal: what comes back from it is all that another could read there."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "edgecore", "device", "password", "lamp", "--dir", str(core.folder)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as verb:
        os.close(theirs)
        shown = b""
        for asked in (1, 2):
            while shown.count(b": ") < asked:
                shown += os.read(ours, 1000)
            os.write(ours, b"correct horse\n")
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            while more := os.read(ours, 1000):
                shown += more
        assert verb.wait(30) == 0
    os.close(ours)
    assert b"horse" not in shown
    assert core.passwords.known == {"lamp": b"correct horse"}
