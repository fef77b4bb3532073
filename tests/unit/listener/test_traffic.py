from edgecore.listener.traffic import BOUNDS, Latency, Traffic


def test_a_histogram_counts_what_took_at_most_so_long():
    latency = Latency()
    for seconds in (0.0005, 0.0006, 60.0):
        latency.observe(seconds)
    status = latency.status()
    assert status["buckets"][:2] == [["0.0005", 1], ["0.001", 2]]
    assert status["buckets"][-2:] == [["10.0", 2], ["+Inf", 3]]
    assert len(status["buckets"]) == len(BOUNDS) + 1
    assert status["sum"] == 60.0011


def test_nothing_has_passed_at_first():
    assert set(Traffic().status().values()) == {0}
