"""What strace writes is understood, or refused."""

import subprocess
import sys

import pytest

from tests.crash.strace import why_not
from tests.crash.trace import OPTIONS, TraceError, content, descriptor, parse, split


def x(text):
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def test_calls_come_in_the_order_of_their_entry_with_both_places():
    calls = parse(
        [
            f'10 5.000001 pwrite64(3<{x("/d/a")}>, "{x("hi")}", 2, 4096 <unfinished ...>',
            f"11 5.000002 fdatasync(4<{x('/d/b')}>) = 0",
            "10 5.000003 <... pwrite64 resumed>) = 2",
            "11 5.000004 --- SIGTERM {si_signo=SIGTERM} ---",
            "11 5.000005 read(5<TCP:[127.0.0.1:1->127.0.0.1:2]>,  <unfinished ...>",
            "11 5.000006 +++ killed by SIGKILL +++",
        ]
    )
    assert [(call.name, call.begun, call.ended, call.result) for call in calls] == [
        ("pwrite64", 0, 2, 2),
        ("fdatasync", 1, 1, 0),
        ("read", 4, None, None),
    ]
    write = calls[0]
    assert (descriptor(write.args[0]), content(write.args[1])) == ((3, "/d/a"), b"hi")
    assert (write.args[2:], write.at, write.ok) == (["2", "4096"], 5.000001, True)


def test_what_a_call_returned_is_known():
    lines = [
        '1 1.0 read(3</d>, "", 1) = -1 EAGAIN (Resource temporarily unavailable)',
        "1 1.0 exit_group(0) = ?",
        f'1 1.0 openat(AT_FDCWD<{x("/w")}>, "{x("a")}", O_RDWR|O_CREAT, 0600) = 7<{x("/w/a")}>',
    ]
    failed, gone, opened = parse(lines)
    assert (failed.result, failed.ok) == (-1, False)
    assert (gone.result, gone.ok) == (None, False)
    assert (opened.result, opened.shown, opened.args[2:]) == (7, f"<{x('/w/a')}>", ["O_RDWR|O_CREAT", "0600"])
    assert descriptor(opened.args[0]) == (-100, "/w")


def test_a_deleted_file_has_no_name():
    assert descriptor(f"6<{x('/d/gone')}>(deleted)") == (6, "")


def test_brackets_hold_their_commas():
    assert split('3</d>, [{iov_base="\\x41", iov_len=1}, {iov_base="\\x42", iov_len=1}], 2') == [
        "3</d>",
        '[{iov_base="\\x41", iov_len=1}, {iov_base="\\x42", iov_len=1}]',
        "2",
    ]
    assert split("") == []


@pytest.mark.parametrize(
    "line",
    [
        "what is this",
        "1 1.0 <... write resumed>) = 1",
        "1 1.0 nothing",
        "1 1.0 write(1, 2) and no result",
    ],
)
def test_what_is_not_understood_is_refused(line):
    with pytest.raises(TraceError, match="line 1"):
        parse([line])


def test_a_string_that_is_cut_short_is_refused():
    with pytest.raises(TraceError, match="not a whole string"):
        content('"\\x41"...')
    with pytest.raises(TraceError, match="no descriptor"):
        descriptor("NULL")


PROGRAM = """
import os, socket, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(fd, b'a, "b" (c) [d] \\n', 512)
os.fdatasync(fd)
os.unlink(sys.argv[1])
os.pwrite(fd, b"gone", 0)
"""


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_real_trace_is_read(tmp_path):
    options = [*OPTIONS, "-s", "4096", "-o", tmp_path / "trace", "-e", "trace=pwrite64,fdatasync"]
    subprocess.run([*options, sys.executable, "-c", PROGRAM, tmp_path / "file"], check=True, timeout=60)
    first, sync, last = parse((tmp_path / "trace").read_text().splitlines())
    assert descriptor(first.args[0])[1] == str(tmp_path / "file")
    assert content(first.args[1]) == b'a, "b" (c) [d] \n'
    assert (first.args[3], sync.result, first.ended < sync.begun) == ("512", 0, True)
    assert descriptor(last.args[0])[1] == ""
