import msgspec
import pytest
from keeping import ONE, TWO, Core, Live, will

from edgecore.base.clock import ManualClock
from edgecore.base.errors import RefusedError
from edgecore.base.group import DeviceSpec, Row
from edgecore.listener.kept_sessions import AGE_INTERVAL, AGE_KEY, KeptSessions
from edgecore.listener.orphan_wills import WILL_GRACE
from edgecore.listener.records import SubscriptionRecord
from edgecore.listener.settings import ListenerSettings
from edgecore.mqtt.packets import SubscriptionOptions
from edgecore.router import Router
from edgecore.store import Database, SessionStore


@pytest.fixture
def core():
    return Core()


@pytest.fixture
def make_core():
    return Core


# Begin ----------------------------------------------------------------------------------------------


def test_a_session_begins_goes_on_and_is_known_by_device_and_client_id(core):
    first = core.open()
    assert (first.present, first.will_key, first.session.connected) == (False, 0, True)
    core.end(first.session)
    again = core.open()
    assert again.present
    assert again.session is first.session
    for other in ((ONE, "d"), (TWO, "c")):
        assert not core.open(*other).present
    assert core.sessions == 3
    assert core.kept.holds(ONE, "c")
    assert not core.kept.holds(ONE, "e")


def test_a_client_that_asks_for_nothing_keeps_nothing(core):
    opening = core.open(expiry=0)
    assert (opening.session, opening.present, opening.will_key, opening.commits) == (None, False, 0, ())
    assert core.database.rows("sessions") == 0


def test_a_clean_start_ends_what_there_was_and_begins_anew(core):
    old = core.away()
    core.publish()
    new = core.open(clean=True)
    assert not new.present
    assert new.session is not old
    assert (core.database.rows("sessions"), core.database.rows("session_messages")) == (1, 0)
    assert len(core.router._subscriptions) == 1  # the witness's
    assert core.open(clean=True, expiry=0).session is None
    assert core.database.rows("sessions") == 0


def test_a_session_that_is_there_is_taken_up_by_a_client_that_keeps_none_and_ends_with_its_connection(core):
    core.away()
    core.publish()
    opening = core.open(expiry=0)
    assert opening.present
    assert core.power_cut().sessions == 0  # as if the connection had ended
    core.end(opening.session)
    assert core.sessions == 0
    assert (core.database.rows("sessions"), core.database.rows("session_messages")) == (0, 0)


def test_the_number_of_sessions_is_bounded_and_one_that_is_there_may_always_go_on(make_core):
    core = make_core(max_sessions=2)
    core.away(ONE, "a")
    core.away(ONE, "b")
    with pytest.raises(RefusedError, match="max_sessions"):
        core.open(ONE, "c")
    assert core.open(ONE, "a").present
    assert core.open(ONE, "b", clean=True).session is not None
    assert core.open(ONE, "c", expiry=0).session is None


def test_the_sessions_of_one_device_are_bounded(make_core):
    core = make_core(max_connections_per_device=2)
    core.away(ONE, "a")
    core.away(ONE, "b")
    with pytest.raises(RefusedError, match="max_connections_per_device"):
        core.open(ONE, "c")
    assert core.open(TWO, "c").session is not None
    core.end(core.open(ONE, "a").session, 0)
    assert core.open(ONE, "c").session is not None


def test_who_is_refused_has_changed_nothing(make_core):
    core = make_core(max_sessions=1)
    core.away(TWO, "a")
    core.open(expiry=0, will=will())
    core = core.power_cut()
    assert len(core.kept.wills) == 1
    with pytest.raises(RefusedError):
        core.open()
    assert core.after(WILL_GRACE) == [b"gone"]
    assert core.sessions == 1


def test_a_store_that_takes_nothing_leaves_no_session_that_seems_connected(core):
    core.away(TWO)
    core.database.full = True
    with pytest.raises(RefusedError):
        core.open(ONE)
    with pytest.raises(RefusedError):
        core.open(TWO, will=will())
    core.database.full = False
    assert core.kept.status()["away"] == core.sessions == 1
    core.after(100.0)
    assert core.sessions == 0


def test_a_store_that_takes_nothing_lets_in_who_comes_for_what_fills_it(core):
    core.away(TWO)
    core.database.full = True
    assert core.open(TWO).present
    core.database.full = False
    assert core.sessions == 1


# End ------------------------------------------------------------------------------------------------


def test_a_session_lives_as_long_as_its_client_said_last(core):
    core.end(core.open(ONE, "a", expiry=10).session)
    core.end(core.open(ONE, "b", expiry=10).session, 20)
    core.after(9.9)
    assert core.sessions == 2
    core.after(0.2)
    assert not core.kept.holds(ONE, "a")
    core.after(10.0)
    assert core.sessions == 0
    assert core.database.rows("sessions") == 0


def test_a_session_does_not_run_out_while_its_client_is_there(core):
    core.away(expiry=10)
    core.open(expiry=10)
    core.after(1000.0)
    assert core.sessions == 1


def test_what_it_lost_stays_counted_when_it_ends(make_core):
    core = make_core(session_records=1)
    core.away()
    core.publish()
    core.publish()
    core.after(100.0)
    assert core.sessions == 0
    assert core.kept.status()["dropped"] == {"overflow": 1}
    assert core.kept.status()["bytes"] == 0


def test_the_status_counts(core):
    core.away(ONE, "a")
    core.open(ONE, "b")
    core.publish()
    status = core.kept.status()
    assert (status["sessions"], status["away"], status["queued"], status["dropped"]) == (2, 1, 1, {})
    assert status["bytes"] > 0


def test_a_connection_that_is_given_away_gets_nothing_more(core):
    first = core.open().session
    old = first.connection
    first.subscribing.subscribe(SubscriptionOptions("t/#", 1), 0)
    core.end(first)
    new = core.open().session.connection
    stirred = old.stirred
    core.publish()
    assert old.stirred == stirred
    assert new.stirred > 0


# When the core stops or its door is hung anew ---------------------------------------------------------


def test_a_core_that_stops_leaves_its_sessions_as_a_power_cut_does(core):
    session = core.open(will=will(), expiry=100).session
    core.kept.stop(session)
    core.database.commit()
    assert core.heard == []
    core = core.power_cut()
    assert core.sessions == 1
    assert core.after(WILL_GRACE) == [b"gone"]


def test_a_client_that_comes_back_through_a_new_door_goes_on(core):
    session = core.open(will=will(), expiry=100).session
    core.kept.stop(session)
    core.after(WILL_GRACE - 1)
    assert core.open().present
    assert core.after(1000.0) == []


def test_a_client_that_does_not_come_back_through_a_new_door_is_lost_and_forgotten_in_its_time(core):
    core.kept.stop(core.open(ONE, "a", will=will(payload=b"a"), expiry=100).session)
    core.away(ONE, "b", expiry=1000)
    core.kept.stop(core.open(ONE, "b", will=will(payload=b"b"), expiry=0).session)
    assert core.after(1.0) == [b"b"]
    assert core.after(WILL_GRACE) == [b"a"]
    core.after(100.0)
    assert core.sessions == 0
    assert core.database.rows("sessions") == 0


# Groups ---------------------------------------------------------------------------------------------


def test_who_has_left_the_group_gets_nothing_more_and_who_comes_back_does(core):
    core.away()
    core.publish(b"1")
    core.kept.review({}.get)
    core.publish(b"2")
    core.kept.review(core.specs.get)
    core.publish(b"3")
    assert core.kept.status()["queued"] == 2
    assert core.sessions == 1


def test_a_new_group_that_allows_more_brings_what_was_asked_for_before(core):
    session = core.open().session
    session.subscribing.subscribe(SubscriptionOptions("t/#", 1), 0)
    core.routes(Row(("device:*",), ("u/#",), ("device:*",)))
    core.kept.review(core.specs.get)
    core.publish()
    core.routes(Row(("device:*",), ("t/#",), ("device:*",)))
    core.kept.review(core.specs.get)
    core.publish()
    assert session.outbound.queued == 1
    assert "device:one" not in core.router.denied


# Age ------------------------------------------------------------------------------------------------


def test_the_age_is_noted_now_and_then(core):
    core.after(AGE_INTERVAL - 1)
    assert core.database.rows("sessions") == 0
    core.after(1.0)
    (record,) = core.database.connection.execute(
        "SELECT record FROM sessions WHERE key = ?", (AGE_KEY,)
    ).fetchone()
    assert msgspec.msgpack.decode(record) == AGE_INTERVAL
    core.power_cut().after(AGE_INTERVAL)
    (record,) = core.database.connection.execute(
        "SELECT record FROM sessions WHERE key = ?", (AGE_KEY,)
    ).fetchone()
    assert msgspec.msgpack.decode(record) == 2 * AGE_INTERVAL


def test_what_a_session_has_lived_counts_over_restarts_and_what_the_core_was_off_does_not(core):
    core.away(expiry=int(3 * AGE_INTERVAL))
    core.after(AGE_INTERVAL)
    core.clock.advance(1_000_000.0)
    core = core.power_cut()
    core.after(2 * AGE_INTERVAL - 1)
    assert core.sessions == 1
    core.after(1.0)
    assert core.sessions == 0


def test_a_session_that_ended_after_the_age_was_noted_waits_no_longer_for_it(core):
    """Its will would come as much later as the core had run since the age was noted."""
    core.after(AGE_INTERVAL + 0.5)
    core.after(AGE_INTERVAL - 1)
    core.away(expiry=100, will=will(delay=30))
    core = core.power_cut()
    assert core.after(30.0) == [b"gone"]
    core.after(70.0)
    assert core.sessions == 0


def test_a_wall_clock_that_jumps_ends_nothing(core):
    core.away(expiry=100)
    core.clock.set_wall(core.clock.now() + 1e9)
    core.after(99.0)
    assert core.sessions == 1
    core.clock.set_wall(0.0)
    assert core.power_cut().sessions == 1


# What an earlier run left ------------------------------------------------------------------------------


def test_a_session_survives_one_power_cut_after_another(core):
    session = core.open().session
    session.subscribing.subscribe(SubscriptionOptions("t/#", 1), 0)
    core.kept.save(session)
    core.database.commit()
    for _ in range(3):
        core.database.commit()
        core = core.power_cut()
        core.publish()
    core.database.commit()
    assert core.power_cut().kept.status()["queued"] == 3
    assert core.open().session.subscribing.records == {"t/#": SubscriptionRecord("t/#", 1)}


def test_what_belongs_to_nobody_goes(core):
    core.away()
    core.publish()
    core.kept.take(core.open(TWO).session, 5)
    core.database.commit()
    connection = core.database.connection
    connection.execute("DELETE FROM sessions")
    core = core.power_cut()
    core.database.commit()
    assert core.sessions == 0
    assert [core.database.rows(table) for table in ("sessions", "session_messages", "session_incoming")] == [
        0,
        0,
        0,
    ]


def test_what_cannot_be_read_goes_and_the_rest_stays(core):
    core.away(ONE, "bad")
    core.away(ONE, "good")
    core.publish(b"1")
    core.publish(b"2")
    connection = core.database.connection
    connection.execute("UPDATE sessions SET record = x'c1' WHERE key = 1")
    connection.execute("UPDATE session_messages SET packet_id = 70000 WHERE id = 2")
    connection.execute("UPDATE session_messages SET flags = 0 WHERE id = 4")
    connection.execute("INSERT INTO sessions VALUES (?, x'c1')", (AGE_KEY,))
    core = core.power_cut()
    core.database.commit()
    assert core.sessions == 1
    assert core.kept.holds(ONE, "good")
    assert core.kept.status()["queued"] == 0
    assert core.database.rows("session_messages") == 0
    assert not core.open(ONE, "bad").present


def test_a_filter_that_cannot_be_one_goes_and_the_others_stay(core, caplog):
    session = core.away()
    session.subscribing.records["bad"] = SubscriptionRecord("t/#/bad", 1)
    core.kept.save(session)
    core.database.commit()
    core = core.power_cut()
    core.publish()
    assert core.kept.status()["queued"] == 1
    assert "a subscription is lost" in caplog.text


def test_identifiers_that_came_in_are_known_again(core):
    session = core.open().session
    for packet_id in (5, 6):
        core.kept.take(session, packet_id)
    core.database.commit()
    core.kept.let_go(session, 5)
    core.database.commit()
    inbound = core.power_cut().open().session.inbound
    assert [inbound.begin(packet_id).value for packet_id in (5, 6)] == ["new", "taken"]


# Shared subscriptions ----------------------------------------------------------------------------------


def sharing(core, *client_ids, qos=2, expiry=100):
    """Members of a share that are away, and the messages that each has."""
    sessions = []
    for client_id in client_ids:
        session = core.open(ONE, client_id, expiry=expiry).session
        session.subscribing.subscribe(SubscriptionOptions("$share/g/t/#", qos), 0)
        core.kept.save(session)
        core.end(session)
        sessions.append(session)
    return sessions


def queued(session):
    return session.outbound.queued


def settle(core):
    while core.database.commit():
        pass


@pytest.mark.parametrize("how", ["expired", "clean start", "power cut in between"])
def test_what_a_member_leaves_behind_for_good_goes_to_another(core, how):
    first, second = sharing(core, "a", "b")
    for number in range(6):
        core.publish(b"%d" % number, qos=1 + number % 2)
    assert (queued(first), queued(second)) == (3, 3)
    if how == "expired":
        core.clock.advance(50.0)
        core.end(core.open(ONE, "b").session)
        core.after(50.0)
    else:
        core.open(ONE, "a", clean=True)
    if how == "power cut in between":
        core = core.power_cut()
        second = core.kept._sessions["device:one", "b"]
    settle(core)
    assert queued(second) == 6
    assert core.kept.status()["dropped"] == {}
    core.kept.discard(second)
    settle(core)
    assert core.database.rows("session_messages") == 0
    assert core.kept.status()["bytes"] == 0
    assert core.kept.status()["dropped"] == {"no-member": 6}


def test_qos_2_that_was_sent_or_may_have_been_is_nobody_elses(core):
    """Of messages that were sent only those of QoS 1 go to others (5, 4.8.2-5)."""
    sharing(core, "a", "b")
    for number in range(8):
        core.publish(b"%d" % number, qos=1 + number // 2 % 2)  # the first gets 1 2 1 2
    session = core.open(ONE, "a").session
    session.outbound.attach(2)
    while session.outbound.in_flight < 2:
        if session.outbound.next(0.0) is None:
            core.database.commit()
    core = core.power_cut()  # what was sent is not known exactly
    second = core.kept._sessions["device:one", "b"]
    core.open(ONE, "a", clean=True)
    settle(core)
    assert queued(second) == 4 + 2


def test_what_a_revoked_member_had_is_for_the_others(core):
    sharing(core, "a", "b")
    other = core.open(TWO, "c").session
    other.subscribing.subscribe(SubscriptionOptions("$share/g/t/#", 1), 0)
    core.end(other)
    for _ in range(3):
        core.publish()
    core.kept.forget(ONE)
    settle(core)
    assert queued(other) == 3


# A disk that takes nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["full queue", "full disk"])
def test_what_the_disk_could_not_be_told_it_is_told_later(core, how):
    session = core.open(will=will()).session
    core.database.full, core.database.fail = how == "full queue", "no space" if how == "full disk" else None
    core.end(session)
    core.after(1.0)
    core.database.full, core.database.fail = False, None
    assert core.heard == []  # it was heard at the end
    core.after(1.0)
    assert core.power_cut().after(1000.0) == []  # its will is not published twice


def test_a_session_that_ends_while_the_disk_takes_nothing_is_not_told_of_again(core):
    session = core.open().session
    core.database.fail = "no space"
    core.end(session)
    core.after(1000.0)
    core.database.fail = None
    core.after(1.0)
    assert core.database.rows("sessions") == 0


def test_a_sweep_ends_nobodys_life_when_nothing_more_is_taken(core):
    core.end(core.open(will=will(delay=30), expiry=10_000).session)
    core.database.full = True
    assert core.after(AGE_INTERVAL) == [b"gone"]
    core.database.full = False
    core.after(1.0)
    assert core.power_cut().after(100.0) == []


# On a real disk ---------------------------------------------------------------------------------------


async def test_it_is_opened_on_the_real_store(tmp_path):
    clock = ManualClock()
    for present in (False, True):
        async with Database(tmp_path / "core.db") as db:
            router = Router(clock)
            router.set_rows([Row(("device:*",), ("t/#",), ("device:*",))], {"one": DeviceSpec("one", "one")})
            kept = KeptSessions(SessionStore(db), router, ListenerSettings(), clock)
            await kept.open()
            opening = kept.begin(Live(), ONE, "c", clean=False, expiry=60, will=None)
            assert opening.present == present
