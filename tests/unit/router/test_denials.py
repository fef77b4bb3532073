from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.router import denials

ONE, TWO = identity.device("one"), identity.device("two")


def test_each_principal_is_told_of_once_a_minute():
    clock, lines = ManualClock(), []
    kept = denials.Denials(clock, lines.append)
    for _ in range(3):
        kept.note(ONE, "publish on", "a")
    kept.note(TWO, "subscribe to", "b/#")
    assert lines == [
        "device:one may not publish on 'a': no route allows it",
        "device:two may not subscribe to 'b/#': no route allows it",
    ]
    clock.advance(60.0)
    kept.note(ONE, "publish on", "c")
    assert lines[2:] == [
        "device:one may not publish on 'c': no route allows it (3 denials since the last line)"
    ]
    assert kept.counts == {"device:one": 4, "device:two": 1}


def test_what_a_peer_names_is_shown_short_and_on_one_line():
    lines = []
    denials.Denials(ManualClock(), lines.append).note(ONE, "publish on", "a\nb" * 10_000)
    assert len(lines[0]) < 400
    assert "\n" not in lines[0]


def test_without_anybody_to_tell_it_only_counts():
    kept = denials.Denials(ManualClock())
    kept.note(ONE, "publish on", "a")
    kept.note(identity.function("f"), "publish on", "a")
    assert kept.by_kind() == {"device": 1, "function": 1}


def test_beyond_the_bound_one_line_stands_for_all(monkeypatch):
    monkeypatch.setattr(denials, "MAX_DENIED", 1)
    lines = []
    kept = denials.Denials(ManualClock(), lines.append)
    for number in range(5):
        kept.note(identity.device(f"d{number}"), "publish on", "a")
    assert len(lines) == 2
    assert kept.counts == {"device:d0": 1, "other": 4}
    assert len(kept._told) == 2
