"""Which records of the outbox are on their way."""

import pytest

from edgecore.base.backoff import Backoff
from edgecore.base.identity import device
from edgecore.base.message import Message
from edgecore.uplink import window as policy
from edgecore.uplink.entry import Entry
from edgecore.uplink.window import BEFORE_ALL, PROBE_PAUSE, PROBE_SECONDS, Evidence, Window, retry_delay


def entry(identifier, topic=None, lane=0, ordered=False, record=b""):
    topic = topic or f"t/{identifier}"
    message = Message(topic, b"", 1, device("a"))
    return Entry(identifier, record, message, float(identifier), lane, hash(topic) & 0xFFFF, ordered=ordered)


def put(window, entries):
    """As if each lane had been read on to these."""
    for lane in {one.lane for one in entries}:
        read(window, [one for one in entries if one.lane == lane], lane)


def read(window, entries, lane=0, upto=None):
    window.read(lane, window.last(lane), upto if upto is not None else entries[-1].id, entries)


def drain(window, now=0.0):
    out = []
    while (one := window.next(now)) is not None:
        out.append(one.id)
    return out


def filled(limit, *ids, **more):
    window = Window(limit)
    put(window, [entry(i, **more) for i in ids])
    return window


def settle(window, *ids):
    for identifier in ids:
        assert window.settled(identifier).id == identifier


def one_by_one(window, number, now=0.0):
    """The order in which that many go out when each is acknowledged at once."""
    out = []
    for _ in range(number):
        out.append(window.next(now))
        window.settled(out[-1].id)
    return out


def test_records_go_out_in_order_up_to_the_limit():
    window = filled(2, 1, 2, 3)
    assert drain(window) == [1, 2]
    assert window.in_flight == 2
    assert window.is_in_flight(1)
    assert not window.is_in_flight(3)


def test_a_settled_record_makes_room():
    window = filled(2, 1, 2, 3)
    drain(window)
    settle(window, 1)
    assert drain(window) == [3]


def test_settling_twice_is_harmless():
    window = filled(2, 1)
    drain(window)
    settle(window, 1)
    assert window.settled(1) is None


def test_a_failed_record_goes_out_again_before_anything_new_once_it_is_due():
    window = filled(2, 1, 2, 3)
    drain(window)
    window.failed(2, due=5.0)
    assert drain(window, now=4.0) == []  # 1 in flight and 2 waiting fill the window
    assert window.next_due(4.0) == 5.0
    assert drain(window, now=5.0) == [2]
    assert window.next_due(5.0) is None


def test_the_oldest_failed_record_is_first():
    window = filled(3, 1, 2, 3, 4)
    drain(window)
    for failed in (3, 1, 2):
        window.failed(failed, 0.0)
    assert drain(window) == [1, 2, 3]


def test_one_that_must_wait_long_does_not_hold_up_one_that_is_due():
    window = filled(3, 1, 2)
    drain(window)
    window.failed(1, 30.0)
    window.failed(2, 1.0)
    assert drain(window, now=1.0) == [2]


def test_failing_what_is_not_in_flight_is_ignored():
    window = filled(3, 1)
    window.failed(1, 0.0)
    window.failed(99, 0.0)
    assert drain(window) == [1]


def test_last_is_where_a_lane_is_read_on():
    window = Window(3)
    assert window.last(4) == BEFORE_ALL
    put(window, [entry(4, lane=4), entry(6, lane=4)])
    assert window.last(4) == 6
    read(window, [], 4, upto=9)
    assert (window.last(4), window.last(3)) == (9, BEFORE_ALL)


def test_a_lane_is_read_ahead_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(policy, "AHEAD_RECORDS", 4)
    window = filled(2, 1, 2, 3)
    assert window.read_from(0) == 3
    assert window.read_from(0, at_end=True) is None
    put(window, [entry(4)])
    assert window.read_from(0) is None
    assert window.read_from(1) == BEFORE_ALL


def test_large_records_are_read_ahead_for_one_window_only(monkeypatch):
    monkeypatch.setattr(policy, "AHEAD_BYTES", 10)
    window = Window(2)
    put(window, [entry(1, record=b"x" * 10)])
    assert window.read_from(0) == 1
    put(window, [entry(2, record=b"x")])
    assert window.read_from(0) is None
    drain(window)
    assert window.read_from(0) == 2


def test_a_window_is_read_ahead_however_wide_it_is():
    window = filled(policy.AHEAD_RECORDS + 2, *range(policy.AHEAD_RECORDS + 1))
    assert window.read_from(0) == policy.AHEAD_RECORDS


def test_what_is_in_hand_is_not_taken_in_twice():
    window = filled(3, 1, 2)
    drain(window)
    put(window, [entry(1), entry(2), entry(3)])
    assert drain(window) == [3]
    assert 1 in window
    settle(window, 1)
    assert 1 not in window


def test_attempts_are_counted():
    window = filled(1, 1)
    first = window.next(0.0)
    window.failed(1, 0.0)
    assert window.next(0.0) is first
    assert first.attempts == 2


def test_the_oldest_record_is_the_first_appended_wherever_it_is():
    window = filled(2, 3, 4, 5)
    assert window.oldest() == 3.0
    drain(window)
    window.failed(3, 9.0)
    assert window.oldest() == 3.0
    assert Window(1).oldest() is None


def test_retries_wait_longer_up_to_a_bound():
    backoff = Backoff(initial=0.5, maximum=60.0)
    assert [retry_delay(backoff, n) for n in (1, 2, 3, 8, 500)] == [0.5, 1.0, 2.0, 60.0, 60.0]


class TestALostLink:
    def test_it_forgets_what_was_only_read(self):
        window = filled(2, 1, 2, 3, 4)
        drain(window)
        assert window.lost(Evidence.NONE, 0.0) == []
        assert window.last(0) == 2  # 3 is read again
        assert window.in_flight == 0
        assert drain(window) == [1, 2]

    def test_what_an_abandoned_client_held_goes_out_again(self):
        window = filled(2, 1, 2, 3)
        drain(window)
        window.abandoned()
        assert window.in_flight == 0
        assert drain(window) == [1, 2]

    def test_live_records_are_read_from_the_disk(self):
        window = filled(1, 1)
        window.add_live(entry(5))
        drain(window)
        window.add_live(entry(9))
        window.lost(Evidence.NONE, 0.0)
        assert window.last(0) == 0
        put(window, [entry(1), entry(5), entry(9)])  # 5 was in flight
        assert [one.id for one in one_by_one(window, 3)] == [5, 1, 9]


class TestPriorities:
    def test_each_has_twice_the_share_of_the_next_lower_one(self):
        window = Window(2000)
        for lane in (2, 3):
            put(window, [entry(lane * 1000 + n, lane=lane) for n in range(900)])
        out = [one.lane for one in one_by_one(window, 900)]
        assert (out.count(3), out.count(2)) == (600, 300)
        assert all(2 in out[n : n + 3] for n in range(900 - 3))

    def test_the_lowest_is_not_starved_by_all_the_others(self):
        window = Window(2000)
        for lane in range(10):
            put(window, [entry(lane * 2000 + n, lane=lane) for n in range(1023)])
        assert {one.lane for one in one_by_one(window, 1023)} == set(range(10))

    def test_one_that_comes_later_saves_up_nothing(self):
        window = Window(2000)
        put(window, [entry(n, lane=9) for n in range(400)])
        one_by_one(window, 300)
        put(window, [entry(1000 + n, lane=0) for n in range(400)])
        assert [one.lane for one in one_by_one(window, 100)].count(0) <= 1


class TestLive:
    def test_a_live_record_passes_the_backlog_of_others_and_they_take_turns(self):
        window = filled(100, *range(1, 50))
        for n in range(100, 104):
            assert window.takes_live("live", 7, 0, 10)
            window.add_live(entry(n))
        assert [one.id for one in one_by_one(window, 9)] == [100, 1, 101, 2, 102, 3, 103, 4, 5]

    def test_a_topic_with_a_backlog_is_not_live(self):
        window = Window(10)
        assert not window.takes_live("a", 7, 1, 10)
        assert window.takes_live("a", 7, 0, 10)
        assert window.takes_live("a", 7, 1, 10)  # what is held is live too

    def test_beyond_its_bound_a_topic_goes_by_way_of_the_backlog_behind_its_own(self, monkeypatch):
        monkeypatch.setattr(policy, "LIVE_RECORDS", 2)
        window = Window(10)
        tag = entry(1, "a").tag
        for n in (1, 2):
            assert window.takes_live("a", tag, n - 1, 10)
            window.add_live(entry(n, "a"))
        assert not window.takes_live("a", tag, 2, 10)
        put(window, [entry(1, "a"), entry(2, "a"), entry(3, "a"), entry(4, "b")])
        one_by_one(window, 1)
        assert not window.takes_live("a", tag, 3, 10)  # 3 must go first
        out = [one.id for one in one_by_one(window, 3)]
        assert [n for n in out if n != 4] == [2, 3]

    def test_it_is_bounded_by_bytes(self, monkeypatch):
        monkeypatch.setattr(policy, "LIVE_BYTES", 15)
        window = Window(10)
        assert not window.takes_live("a", 7, 0, 16)
        assert window.takes_live("a", 7, 0, 15)

    def test_it_reads_no_more_while_an_overflow_waits(self, monkeypatch):
        monkeypatch.setattr(policy, "LIVE_RECORDS", 2)
        window = Window(2)
        for n in range(1, 3):
            window.add_live(entry(n, "a"))
        put(window, [entry(n, "a") for n in (3, 4)])
        assert window.read_from(0) is None


class TestOrdered:
    def test_one_of_a_topic_is_in_flight_and_others_flow(self):
        window = Window(10)
        put(
            window,
            [entry(1, "a", ordered=True), entry(2, "a", ordered=True), entry(3), entry(4, "a", ordered=True)],
        )
        assert drain(window) == [1, 3]
        settle(window, 1)
        assert drain(window) == [2]
        settle(window, 2)
        assert drain(window) == [4]

    def test_one_that_failed_still_holds_its_topic(self):
        window = Window(10)
        put(window, [entry(n, "a", ordered=True) for n in (1, 2)])
        drain(window)
        window.failed(1, 5.0)
        assert drain(window) == []
        assert drain(window, now=5.0) == [1]
        settle(window, 1)
        assert drain(window, now=5.0) == [2]

    def test_it_holds_its_topic_over_a_lost_link(self):
        window = Window(10)
        put(window, [entry(n, "a", ordered=True) for n in (1, 2)])
        drain(window)
        window.lost(Evidence.NONE, 0.0)
        put(window, [entry(n, "a", ordered=True) for n in (1, 2)])
        assert drain(window) == [1]
        settle(window, 1)
        assert drain(window) == [2]

    def test_a_topic_with_one_on_its_way_is_not_live(self):
        window = Window(10)
        assert window.takes_live("a", 7, 0, 10)
        window.add_live(entry(1, "a", ordered=True))
        assert not window.takes_live("a", 7, 1, 10)
        drain(window)
        assert not window.takes_live("a", 7, 1, 10)
        settle(window, 1)
        assert window.takes_live("a", 7, 0, 10)


class TestPoison:
    def guilty(self, window, evidence, culprit, patience=200):
        """Play a cloud that ends the connection whenever it gets the culprit; gives (condemned, ends)."""
        now, ends, condemned = 0.0, 0, []
        for _ in range(patience):
            out = drain(window, now)
            if culprit in out:
                ends += 1
                condemned += [one.id for one in window.lost(evidence, now)]
                if condemned:
                    break
            else:
                settle(window, *out)
            now += 0.1
        return condemned, ends

    def test_the_culprit_is_found_when_the_cloud_says_that_a_message_was_the_reason(self):
        window = filled(10, *range(1, 11))
        assert self.guilty(window, Evidence.MESSAGE, 7) == ([7], 2)

    def test_the_culprit_is_found_when_the_cloud_says_nothing(self):
        window = filled(10, *range(1, 11))
        assert self.guilty(window, Evidence.CLOSED, 7) == ([7], 4)

    def test_a_suspect_is_sent_alone(self):
        window = filled(3, 1, 2)
        drain(window)
        window.lost(Evidence.MESSAGE, 0.0)
        put(window, [entry(3)])
        assert window.probing
        assert drain(window) == [1]
        settle(window, 1)
        assert drain(window) == [2]
        settle(window, 2)
        assert drain(window) == [3]
        assert not window.probing

    def test_a_suspect_waits_until_it_is_alone(self):
        window = filled(1, 1)
        drain(window)
        window.lost(Evidence.MESSAGE, 0.0)
        drain(window)
        window.lost(Evidence.CLOSED, 0.0)  # its first strike
        put(window, [entry(2)])
        assert drain(window) == [2]  # others flow before it is tried again
        assert drain(window, now=PROBE_PAUSE) == []
        settle(window, 2)
        assert drain(window, now=PROBE_PAUSE) == [1]

    def test_a_suspect_waits_until_it_is_quiet_and_is_not_condemned_for_others(self):
        window = filled(3, 1)
        drain(window)
        window.lost(Evidence.MESSAGE, 0.0)
        put(window, [entry(2)])
        assert window.next(0.0, quiet=False).id == 2
        assert window.next(0.0) is None
        settle(window, 2)
        assert drain(window) == [1]
        assert window.lost(Evidence.MESSAGE, 0.0, quiet=False) == []
        assert window.probing

    def test_a_link_that_fails_by_itself_accuses_nobody(self):
        window = filled(2, 1, 2)
        for _ in range(10):
            assert drain(window) == [1, 2]
            assert window.lost(Evidence.NONE, 0.0) == []
        assert not window.probing

    def test_an_end_long_after_a_probe_does_not_condemn_it(self):
        window = filled(1, 1)
        drain(window)
        window.lost(Evidence.MESSAGE, 0.0)
        drain(window)
        assert window.lost(Evidence.MESSAGE, PROBE_SECONDS + 1) == []

    def test_a_probe_that_is_refused_for_now_is_a_probe_again(self):
        window = filled(2, 1, 2)
        drain(window)
        window.lost(Evidence.MESSAGE, 0.0)
        drain(window)
        window.failed(1, 5.0)
        assert window.next_due(0.0) == 5.0
        assert drain(window) == [2]
        settle(window, 2)
        assert drain(window) == []
        assert (drain(window, 5.0), window.probing) == ([1], True)

    @pytest.mark.parametrize("settled", [True, False])
    def test_what_is_condemned_is_not_sent_until_it_could_not_be_set_aside(self, settled):
        window = filled(1, 1)
        drain(window)
        assert window.condemn(1).id == 1
        assert window.condemn(99) is None
        window.lost(Evidence.MESSAGE, 0.0)
        put(window, [entry(1)])
        assert drain(window) == []
        if settled:
            settle(window, 1)
        else:
            window.failed(1, 8.0)
        assert drain(window, 8.0) == ([] if settled else [1])
