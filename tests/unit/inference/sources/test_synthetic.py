import numpy as np
import pytest

from edgecore.base.clock import ManualClock
from edgecore.inference.sources.address import parse_address
from edgecore.inference.sources.synthetic import SyntheticSource

START = 1_700_000_000.0


def source(text, clock):
    return SyntheticSource(parse_address(text), 0.1, clock)


def test_without_an_epoch_it_begins_with_frame_0_at_once():
    clock = ManualClock(START)
    opened = source("synthetic:traffic?seed=7", clock)
    assert (opened.first, opened.delay, opened.period) == (0, 0.0, 0.1)
    frames = [opened.read() for _ in range(3)]
    assert [frame.number for frame in frames] == [0, 1, 2]
    assert frames[0].captured_at == START
    assert frames[0].picture.shape == (240, 320, 3)
    opened.close()


def test_with_an_epoch_the_world_went_on_while_the_core_was_down():
    clock = ManualClock(START + 12.34)
    opened = source(f"synthetic:traffic?seed=7&epoch={START:.0f}", clock)
    assert opened.first == 124
    assert opened.delay == pytest.approx(0.06, abs=1e-6)
    clock.advance(5)
    frames = [opened.read() for _ in range(3)]
    # Late, but in order and with none left out; each was captured when it was due.
    assert [frame.number for frame in frames] == [124, 125, 126]
    assert frames[2].captured_at == pytest.approx(START + 12.6)


def test_an_epoch_to_come_begins_with_frame_0_then():
    opened = source(f"synthetic:traffic?epoch={START + 3:.0f}", ManualClock(START))
    assert opened.first == 0
    assert opened.delay == pytest.approx(3.0, abs=1e-6)


def test_two_starts_show_the_same_world():
    one = source(f"synthetic:traffic?seed=3&epoch={START:.0f}&fps=5", ManualClock(START))
    other = source(f"synthetic:traffic?seed=3&epoch={START:.0f}&fps=5", ManualClock(START + 0.4))
    one.read(), one.read()
    first, second = one.read(), other.read()
    assert first.number == second.number == 2
    assert np.array_equal(first.picture, second.picture)
