"""The law is seen to be kept, and each way to break it is seen."""

import pytest

from tests.crash.law import MAX_EXAMPLES, Law, RetainedTopic, Stream, Verdict

ONE, TWO = Stream("m/1", 1), Stream("m/2", 2)


def history(stream, *, acked, got, times=1, sent=5):
    """The verdict when numbers 1 to `sent` were sent, `acked` acknowledged and `got` arrived in that order.

    What arrives is a number, or (number, DUP).
    """
    law = Law()
    law.subscribed("s", [stream])
    for _ in range(times):
        for number in range(1, sent + 1):
            law.sent(stream, number)
    for number in acked:
        law.acked(stream, number)
    for each in got:
        law.arrived("s", stream, *(each if isinstance(each, tuple) else (each, False)))
    return law.close()


def test_what_was_acknowledged_and_came_in_order_keeps_the_law():
    verdict = history(TWO, acked=[1, 2, 3, 4, 5], got=[1, 2, 3, 4, 5])
    assert verdict.broken == {}
    assert verdict.counts == {"sent": 5, "acked": 5, "arrived": 5, "expected": 5}


def test_what_was_never_acknowledged_may_be_missing_or_come():
    assert history(TWO, acked=[1, 2], got=[1, 2]).broken == {}
    assert history(TWO, acked=[1, 2], got=[1, 2, 4]).broken == {}


@pytest.mark.parametrize(
    ("stream", "acked", "got", "broken"),
    [
        (ONE, [1, 2, 3], [1, 3], {"lost": 1}),
        (ONE, [1, 2, 3], [], {"lost": 3}),
        (ONE, [1, 2, 3, 5], [1, 2], {"lost": 2}),
        (TWO, [1], [1, (1, True)], {"duplicated": 1}),
        (TWO, [1, 2], [2, 1], {"disordered": 1}),
        (ONE, [1, 2, 3], [1, 3, (2, True)], {"disordered": 1}),
        (ONE, [1], [1, 1], {"repeated": 1}),
        (ONE, [1], [1, (1, True)], {"repeated": 1}),
        (ONE, [1], [1, 6], {"alien": 1}),
        (ONE, [1], [1, 0], {"alien": 1}),
    ],
)
def test_each_way_to_break_the_law_is_seen(stream, acked, got, broken):
    verdict = history(stream, acked=acked, got=got)
    assert verdict.broken == broken
    assert len(verdict.examples) == 1 or "lost" in broken


def test_at_qos_1_an_arrival_again_is_counted_when_the_publisher_caused_it():
    caused = history(ONE, acked=[1, 2], got=[1, 2, 1, 2], times=2)
    assert (caused.broken, caused.counts["redelivered"], caused.counts["unmarked"]) == ({}, 2, 0)


def test_at_qos_1_an_arrival_again_is_counted_when_the_connection_was_lost():
    law = Law()
    law.subscribed("s", [ONE])
    for number in (1, 2):
        law.sent(ONE, number)
        law.acked(ONE, number)
        law.arrived("s", ONE, number, False)
    law.reconnected("s")
    law.arrived("s", ONE, 1, True)
    law.arrived("s", ONE, 2, False)
    verdict = law.close()
    assert (verdict.broken, verdict.counts["redelivered"], verdict.counts["unmarked"]) == ({}, 2, 1)


def test_what_was_lost_is_lost_once_and_the_next_round_begins_anew():
    law = Law()
    law.subscribed("s", [ONE])
    for number in (1, 2, 3):
        law.sent(ONE, number)
        law.acked(ONE, number)
    law.arrived("s", ONE, 1, False)
    assert law.close().broken == {"lost": 2}
    law.sent(ONE, 4)
    law.acked(ONE, 4)
    law.arrived("s", ONE, 4, False)
    assert law.close().broken == {}


def test_a_duplicate_of_an_earlier_round_is_seen():
    law = Law()
    law.subscribed("s", [TWO])
    law.sent(TWO, 1)
    law.acked(TWO, 1)
    law.arrived("s", TWO, 1, False)
    assert law.close().broken == {}
    law.arrived("s", TWO, 1, True)
    assert law.close().broken == {"duplicated": 1}


def test_a_session_has_a_claim_from_its_suback_until_it_is_given_up():
    law = Law()
    for number in (1, 2):
        law.sent(ONE, number)
    law.subscribed("new", [ONE])
    law.acked(ONE, 1)
    law.acked(ONE, 2)
    law.arrived("new", ONE, 2, False)
    law.sent(ONE, 3)
    law.acked(ONE, 3)
    assert law.close().broken == {"lost": 1}
    law.forget("new")
    law.sent(ONE, 4)
    law.acked(ONE, 4)
    assert law.close().broken == {}


def test_it_is_known_how_far_a_session_has_come():
    law = Law()
    law.subscribed("s", [ONE, TWO])
    for number in (1, 2):
        law.sent(ONE, number)
    law.sent(TWO, 1)
    goals = {ONE: 2, TWO: 1}
    law.arrived("s", ONE, 2, False)
    assert not law.reached("s", goals)
    assert law.behind("s", goals) == 1
    law.arrived("s", TWO, 1, False)
    assert law.reached("s", goals)


def test_verdicts_add_up_and_keep_only_the_first_examples():
    total = Verdict()
    for number in range(MAX_EXAMPLES + 5):
        one = Verdict()
        one.fault("stalled", f"{number}")
        total.add(one)
    assert total.broken == {"stalled": MAX_EXAMPLES + 5}
    assert len(total.examples) == MAX_EXAMPLES


@pytest.mark.parametrize(
    ("acked", "sent", "erased", "allowed"),
    [
        (0, 0, set(), {None}),
        (0, 2, set(), {None, 1, 2}),
        (3, 5, set(), {3, 4, 5}),
        (3, 5, {2}, {3, 4, 5}),
        (3, 5, {3}, {None, 4, 5}),
        (3, 5, {4}, {3, None, 5}),
        (5, 5, {5}, {None}),
    ],
)
def test_a_retained_topic_holds_what_was_acknowledged_or_came_after_it(acked, sent, erased, allowed):
    topic = RetainedTopic(acked, sent, erased)
    assert {found for found in (None, *range(8)) if topic.may_hold(found)} == allowed


def test_what_is_taken_overtakes_what_was_refused_and_is_counted():
    law, stream = Law(), Stream("t", 1)
    law.refusing = True
    law.subscribed("s", [stream])
    for number in (1, 2):
        law.sent(stream, number)
    for number in (2, 1):
        law.arrived("s", stream, number, False)
    verdict = law.close()
    assert (verdict.broken, verdict.counts["overtaken"]) == ({}, 1)
