import json
import struct

import pytest

from edgecore.lambdas.frames import (
    HEADER,
    INVOKE,
    MAX_META,
    PUBLISH,
    Frame,
    FrameError,
    Framer,
    encode,
)


def test_a_frame_is_lengths_kind_meta_payload():
    assert encode(INVOKE, {"id": "a"}, b"xyz") == struct.pack(">IIB", 3, 10, 2) + b'{"id":"a"}' + b"xyz"


def test_frames_come_out_as_they_went_in_whatever_the_pieces():
    data = encode(INVOKE, {"id": "a"}, b"xyz") + encode(PUBLISH, {})
    framer = Framer(100)
    frames = [frame for byte in data for frame in framer.feed(bytes((byte,)))]
    assert [(f.kind, f.meta, f.payload) for f in frames] == [
        (INVOKE, {"id": "a"}, b"xyz"),
        (PUBLISH, {}, b""),
    ]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HEADER.pack(0, 2, 99), "kind 99"),
        (HEADER.pack(101, 2, INVOKE), "101 bytes, expected at most 100"),
        (HEADER.pack(0, MAX_META + 1, INVOKE), "bytes of meta"),
        (HEADER.pack(0, 2, INVOKE) + b"{]", "no JSON"),
        (HEADER.pack(0, 2, INVOKE) + b"\xff\xff", "no JSON"),
        (HEADER.pack(0, 2, INVOKE) + b"[]", "expected a JSON object"),
        (HEADER.pack(0, 200_000, INVOKE) + b"[" * 200_000, "no JSON"),
    ],
)
def test_garbage_is_refused_before_it_is_collected(data, reason):
    with pytest.raises(FrameError, match=reason):
        Framer(100).feed(data)


def test_meta_is_checked_where_it_is_used():
    frame = Frame(INVOKE, {"t": "text", "n": 1, "b": True, "minus": -1})
    assert (frame.text("t"), frame.number("n")) == ("text", 1)
    for key in ("n", "absent"):
        with pytest.raises(FrameError, match="expected a text"):
            frame.text(key)
    for key in ("t", "b", "minus", "absent"):
        with pytest.raises(FrameError, match="expected a number"):
            frame.number(key)


def test_the_longest_error_fits():
    worst = {"errorType": "\0" * 2048, "errorMessage": "\0" * 2048, "stackTrace": ["\0" * 512] * 20}
    assert len(json.dumps(worst)) < MAX_META
