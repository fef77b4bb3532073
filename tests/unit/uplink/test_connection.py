"""The state of the connection to the cloud."""

import itertools

import pytest

from edgecore.base.errors import LocalProtocolError
from edgecore.uplink.connection import Connection, Event, State


def after(*events):
    connection = Connection(0.0)
    for now, event in enumerate(events, 1):
        connection.apply(event, float(now), f"reason {now}")
    return connection


def test_it_begins_stopped():
    connection = Connection(7.0)
    assert (connection.state, connection.since, connection.connected) == (State.STOPPED, 7.0, False)


def test_success_connects_and_has_no_reason():
    connection = after(Event.ATTEMPT, Event.SUCCEED)
    assert connection.connected
    assert (connection.since, connection.reason, connection.connects) == (2.0, "", 1)


def test_a_loss_says_why():
    connection = after(Event.ATTEMPT, Event.SUCCEED, Event.LOSE)
    assert (connection.state, connection.since, connection.reason) == (State.WAITING, 3.0, "reason 3")
    assert connection.last_error == "reason 3"


def test_an_outage_is_as_old_as_its_beginning():
    lost = (Event.ATTEMPT, Event.SUCCEED, Event.LOSE)
    connection = after(*lost, Event.ATTEMPT, Event.FAIL, Event.ATTEMPT, Event.FAIL)
    assert (connection.state, connection.since, connection.failures) == (State.WAITING, 3.0, 2)
    assert connection.reason == "reason 7"


def test_the_last_error_outlives_the_reconnection():
    connection = after(Event.ATTEMPT, Event.FAIL, Event.ATTEMPT, Event.SUCCEED)
    assert (connection.reason, connection.last_error, connection.failures) == ("", "reason 2", 0)


def test_apply_tells_when_connected_changes():
    connection = Connection(0.0)
    events = (Event.ATTEMPT, Event.SUCCEED, Event.LOSE, Event.ATTEMPT, Event.FAIL, Event.STOP)
    assert [connection.apply(event, 1.0) for event in events] == [False, True, True, False, False, False]


def test_a_client_that_cannot_be_made_is_unavailable_and_may_come_later():
    connection = after(Event.BLOCK)
    assert (connection.state, connection.reason) == (State.UNAVAILABLE, "reason 1")
    assert connection.apply(Event.ATTEMPT, 2.0) is False
    assert connection.state is State.CONNECTING


def test_what_a_stopping_client_still_says_changes_nothing():
    connection = after(Event.ATTEMPT, Event.STOP)
    for event in (Event.SUCCEED, Event.FAIL, Event.LOSE, Event.STOP):
        connection.apply(event, 9.0)
    assert (connection.state, connection.since, connection.connected) == (State.STOPPED, 2.0, False)


def test_impossible_events_are_bugs_and_say_so():
    with pytest.raises(LocalProtocolError, match="is connected and cannot succeed"):
        after(Event.ATTEMPT, Event.SUCCEED, Event.SUCCEED)


def test_every_state_can_be_stopped():
    for events in itertools.chain([()], [(Event.ATTEMPT,)], [(Event.BLOCK,)], [(Event.ATTEMPT, Event.FAIL)]):
        assert after(*events, Event.STOP).state is State.STOPPED
