"""Laws of the frames between daemon and worker."""

from hypothesis import given
from hypothesis import strategies as st

from edgecore.lambdas.frames import HEADER, KINDS, MAX_META, FrameError, Framer, encode

METAS = st.dictionaries(st.text(max_size=5), st.one_of(st.text(), st.integers(), st.booleans()), max_size=4)
FRAMES = st.tuples(st.sampled_from(sorted(KINDS)), METAS, st.binary(max_size=200))


@given(st.lists(FRAMES, max_size=5), st.data())
def test_any_split_gives_the_same_frames(frames, data):
    stream = b"".join(encode(*frame) for frame in frames)
    framer = Framer(200)
    seen = []
    while stream:
        size = data.draw(st.integers(min_value=1, max_value=len(stream)))
        seen += framer.feed(stream[:size])
        stream = stream[size:]
    assert [(frame.kind, frame.meta, frame.payload) for frame in seen] == frames


@given(st.lists(st.binary(max_size=40), max_size=10))
def test_garbage_is_frames_or_a_frame_error_and_never_collected_beyond_the_caps(pieces):
    framer = Framer(10)
    try:
        for piece in pieces:
            framer.feed(piece)
            assert len(framer._buffer) <= HEADER.size + MAX_META + 10 + 40
    except FrameError:
        pass
