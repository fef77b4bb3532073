from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from edgecore.base.backoff import Backoff


def test_delays_double_up_to_the_maximum():
    delays = Backoff(1.0, 5.0).delays(lambda: 1.0)
    assert list(islice(delays, 5)) == [1.0, 2.0, 4.0, 5.0, 5.0]


@given(st.floats(0.0, 0.999))
def test_jitter_keeps_every_delay_between_the_floor_and_the_limit(random):
    for limit, delay in zip(
        [1.0, 2.0, 4.0], Backoff(1.0, 60.0, floor=0.5).delays(lambda: random), strict=False
    ):
        assert limit * 0.5 <= delay <= limit
