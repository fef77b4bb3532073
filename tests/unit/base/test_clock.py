import time

from edgecore.base.clock import ManualClock, SystemClock


def test_the_manual_clock_moves_only_when_told():
    clock = ManualClock(100.0)
    clock.advance(5.0)
    assert (clock.now(), clock.monotonic()) == (105.0, 5.0)
    clock.set_wall(0.0)
    assert (clock.now(), clock.monotonic()) == (0.0, 5.0)


def test_the_system_clock_is_the_machines():
    clock = SystemClock()
    before = time.time()
    assert before <= clock.now() <= time.time()
    assert clock.monotonic() <= clock.monotonic()
