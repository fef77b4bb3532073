from edgecore.listener import failures as failures_module
from edgecore.listener.failures import Failures


def test_a_key_is_allowed_until_its_bucket_is_full_and_again_as_it_empties():
    failures = Failures(3, 10.0)
    for _ in range(3):
        assert failures.allows("a", 0.0)
        failures.note("a", 0.0)
    assert not failures.allows("a", 9.9)
    assert failures.allows("a", 10.0)
    failures.note("a", 10.0)
    assert not failures.allows("a", 10.0)
    assert failures.allows("a", 100.0)


def test_keys_do_not_share():
    failures = Failures(1, 10.0)
    failures.note("a", 0.0)
    assert not failures.allows("a", 0.0)
    assert failures.allows("b", 0.0)


def test_an_empty_bucket_is_no_credit():
    failures = Failures(2, 1.0)
    failures.note("a", 0.0)
    failures.note("a", 1000.0)
    failures.note("a", 1000.0)
    assert not failures.allows("a", 1000.0)


def test_the_least_recent_key_is_forgotten(monkeypatch):
    monkeypatch.setattr(failures_module, "MAX_KEYS", 3)
    failures = Failures(1, 10.0)
    for key in ("a", "b", "c", "a", "d"):
        failures.note(key, 0.0)
    assert len(failures) == 3
    assert [failures.allows(key, 0.0) for key in "abcd"] == [False, True, False, False]
