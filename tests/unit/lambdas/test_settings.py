from edgecore.lambdas import LambdasSettings


def test_the_defaults_are_lambdas():
    settings = LambdasSettings()
    assert (settings.retries, settings.max_event_age, settings.start_timeout) == (2, 21_600, 10)
    # A read-ahead and a full memory queue fit a small Pi, per function.
    assert (
        settings.queue_bytes + settings.memory_bytes + settings.retry_slots * settings.max_payload
        < 64 * 1024**2
    )
