"""The wills of kept sessions, and those of clients that keep nothing, through everything that may happen to them."""

import pytest
from keeping import ONE, TWO, Core, will

from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.orphan_wills import WILL_GRACE


@pytest.fixture
def core():
    return Core()


def test_a_will_comes_when_the_client_is_lost_and_not_when_it_takes_its_leave(core):
    core.end(core.open(ONE, "a", will=will()).session)
    assert core.heard == [b"gone"]
    core.end(core.open(ONE, "b", will=will()).session, lost=False)
    assert core.heard == []
    assert core.power_cut().after(1000.0) == []


def test_a_will_waits_for_its_delay(core):
    core.end(core.open(will=will(delay=30)).session)
    assert core.after(29.9) == []
    assert core.after(0.1) == [b"gone"]
    assert core.after(1000.0) == []


def test_a_will_comes_at_the_end_of_the_session_if_that_is_earlier_than_its_delay(core):
    core.end(core.open(expiry=20, will=will(delay=30)).session)
    assert core.after(20.0) == [b"gone"]
    assert core.after(20.0) == []


def test_a_client_that_is_back_in_time_is_not_lost(core):
    core.end(core.open(will=will(delay=30)).session)
    core.after(10.0)
    core.open()
    assert core.after(1000.0) == []


def test_a_clean_start_publishes_the_will_that_waits(core):
    core.end(core.open(will=will(delay=30)).session)
    core.open(clean=True)
    assert core.heard == [b"gone"]


def test_a_session_that_ends_with_its_connection_publishes_its_will_at_once(core):
    core.end(core.open(will=will(delay=30)).session, 0)
    assert core.heard == [b"gone"]


def test_the_life_of_a_will_begins_when_it_is_published(core):
    core.away(TWO)
    core.end(core.open(will=will(delay=30, expiry=10)).session)
    core.after(30.0)
    session = core.open(TWO).session
    assert session.outbound.next(core.clock.now()) is None
    core.database.commit()
    assert session.outbound.next(core.clock.now() + 9.9).message.expires_at == core.clock.now() + 10


def test_a_will_that_waits_goes_on_waiting_after_a_power_cut(core):
    core.end(core.open(will=will(delay=100), expiry=1000).session)
    core.after(70.0)
    core.database.commit()
    # The age that was noted last is that of the end of the connection: what came after it is not known.
    core = core.power_cut()
    assert core.after(99.9) == []
    assert core.after(0.1) == [b"gone"]
    assert core.power_cut().after(1000.0) == []


def test_a_client_that_was_connected_at_the_power_cut_has_time_to_come_back(core):
    core.open(ONE, "a", will=will(payload=b"a"), expiry=1000)
    core.open(ONE, "b", will=will(payload=b"b"), expiry=1000)
    core.open(ONE, "c", will=will(payload=b"c", delay=90), expiry=1000)
    core = core.power_cut()
    core.open(ONE, "b")
    assert core.after(WILL_GRACE - 0.1) == []
    assert core.after(0.1) == [b"a"]
    assert core.after(30.0) == [b"c"]


def test_the_will_of_a_client_that_keeps_nothing_survives_a_power_cut(core):
    core.open(ONE, "a", expiry=0, will=will(payload=b"a"))
    core.open(ONE, "b", expiry=0, will=will(payload=b"b"))
    core = core.power_cut()
    assert core.open(ONE, "b", expiry=0).session is None
    assert core.after(WILL_GRACE) == [b"a"]
    assert core.database.rows("sessions") == 0
    assert core.power_cut().after(WILL_GRACE) == []


def test_a_revoked_device_has_nothing_more_and_says_nothing_more(core):
    core.away(will=will(delay=30))
    core.open(ONE, "d", expiry=0, will=will())
    core.publish()
    core = core.power_cut()
    core.away(TWO, "other")
    core.kept.forget(ONE)
    core.database.commit()
    assert core.after(1000.0) == []
    assert (core.database.rows("sessions"), core.database.rows("session_messages")) == (0, 0)


def test_a_device_that_was_given_another_thing_speaks_and_hears_under_it(core):
    core.away(will=will(delay=30))
    core.open(ONE, "d", expiry=0, will=will(payload=b"orphan"))
    core = core.power_cut()
    core.specs["one"] = DeviceSpec("one", "thing-1")
    core.routes(Row(("device:*",), ("t/#",), ("device:*",)))
    core.kept.review(core.specs.get)
    assert sorted(core.after(WILL_GRACE)) == [b"gone", b"orphan"]
    core.publish()
    assert core.kept.status()["queued"] == 3  # the wills too
