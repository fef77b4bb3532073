"""The checker of sync before acknowledgement, on traces that were made up: it must find each violation."""

import pytest

from tests.crash.order import judge
from tests.crash.trace import TraceError, parse

PEER = "127.0.0.1:5000"
SOCKET = f"9<TCP:[127.0.0.1:8883->{PEER}]>"
WAL = r"5</s/a.sqlite-wal>"
OTHER = r"6</s/other>"
REQUEST = [f'1 2.0 read({SOCKET}, "\\x17", 65536) = 50']
ANSWER = [f'1 2.0 write({SOCKET}, "\\x17", 26) = 26']
SYNC = [f"2 2.0 fdatasync({WAL}) = 0"]


def x(text):
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def write(text, file=WAL):
    return [f'2 2.0 pwrite64({file}, "{x("page with " + text + " in it")}", 4096, 0) = 4096']


def judged(*lines, marks=(b"one",)):
    calls = parse([line for each in lines for line in each])
    return judge(calls, PEER, lambda name: name.endswith(".sqlite-wal"), marks, since=1.0, until=3.0)


def test_written_then_synced_then_answered_keeps_the_law():
    finding = judged(
        REQUEST, write("one"), SYNC, ANSWER, REQUEST, write("two"), SYNC, ANSWER, marks=[b"one", b"two"]
    )
    assert (finding.answers, finding.early) == (2, [])


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([REQUEST, write("one"), ANSWER, SYNC], "written and not synced"),
        ([REQUEST, SYNC, write("one"), ANSWER], "written and not synced"),
        ([REQUEST, write("other"), SYNC, ANSWER], "not written"),
        ([REQUEST, ANSWER], "not written"),
        ([REQUEST, SYNC, ANSWER], "not written"),
        ([write("one"), SYNC, REQUEST, ANSWER], "not written"),
        ([REQUEST, write("one", OTHER), SYNC, ANSWER], "not written"),
        ([REQUEST, write("one"), [f"2 2.0 fdatasync({OTHER}) = 0"], ANSWER], "written and not synced"),
        (
            [REQUEST, write("one"), [f"2 2.0 fdatasync({WAL}) = -1 EIO (Input/output error)"], ANSWER],
            "written and not synced",
        ),
        (
            [
                REQUEST,
                [write("one")[0].replace("= 4096", "= -1 ENOSPC (No space left on device)")],
                SYNC,
                ANSWER,
            ],
            "written and not synced",
        ),
    ],
)
def test_each_acknowledgement_before_its_sync_is_found(lines, why):
    finding = judged(*lines)
    assert finding.answers == 1
    assert finding.early == [f"answer 1, to b'one': {why}"]


def test_a_sync_that_has_not_returned_covers_nothing():
    begun = [f"2 2.0 fdatasync({WAL} <unfinished ...>"]
    returned = ["2 2.0 <... fdatasync resumed>) = 0"]
    assert judged(REQUEST, write("one"), begun, ANSWER, returned).early != []
    assert judged(REQUEST, write("one"), begun, returned, ANSWER).early == []


def test_a_sync_that_began_before_the_write_had_ended_covers_nothing():
    (line,) = write("one")
    begun, returned = (
        [line.replace(", 0) = 4096", ", 0 <unfinished ...>")],
        ["2 2.0 <... pwrite64 resumed>) = 4096"],
    )
    sync = [f"3 2.0 fdatasync({WAL} <unfinished ...>"], ["3 2.0 <... fdatasync resumed>) = 0"]
    assert judged(REQUEST, begun, sync[0], returned, sync[1], ANSWER).early != []
    assert judged(REQUEST, begun, returned, *sync, ANSWER).early == []


def test_the_sync_of_the_request_before_does_not_count():
    lines = [REQUEST, write("one"), SYNC, ANSWER, REQUEST, ANSWER]
    assert judged(*lines, marks=[b"one", b"two"]).early == ["answer 2, to b'two': not written"]


def test_an_answer_that_takes_over_nothing_needs_no_sync():
    assert judged(REQUEST, write("one"), SYNC, ANSWER, REQUEST, ANSWER, marks=[b"one", None]).early == []


@pytest.mark.parametrize(
    "lines",
    [
        [REQUEST, write("one"), SYNC, ANSWER, ANSWER],
        [ANSWER],
        [REQUEST],
    ],
)
def test_nothing_is_concluded_when_answers_cannot_be_told_apart(lines):
    with pytest.raises(TraceError):
        judged(*lines)


def test_what_came_before_or_after_the_requests_is_left_out():
    before = [f'1 0.5 write({SOCKET}, "\\x17", 26) = 26']
    after = [f'1 3.5 write({SOCKET}, "\\x17", 26) = 26']
    failed = [f'1 2.0 write({SOCKET}, "\\x17", 26) = -1 EAGAIN (Resource temporarily unavailable)']
    assert judged(before, REQUEST, write("one"), SYNC, failed, ANSWER, after).early == []
