from edgecore.lambdas.events import Event


def test_an_events_size_is_what_its_queue_holds():
    assert Event("id", "a/b", b"12345", 0.0).size == 8


def test_events_are_not_compared_by_content():
    assert Event("id", "", b"", 0.0) != Event("id", "", b"", 0.0)
