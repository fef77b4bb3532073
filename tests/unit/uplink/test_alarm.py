from edgecore.uplink.alarm import PAUSE_SECONDS, QUIET_SECONDS, Alarm


def test_nothing_lost_nothing_said():
    alarm = Alarm()
    assert alarm.look({}, 1.0, 0.0, 50.0) is None
    assert alarm.next_due(0.0) is None


def test_it_says_what_why_and_how_many_when_it_begins_and_when_it_is_over():
    alarm = Alarm()
    said = alarm.look({"overflow": 3}, 1.0, 0.0, 50.0)
    assert said == {
        "alarm": "outbox",
        "state": "dropping",
        "since": 50.0,
        "timestamp": 50.0,
        "dropped": {"overflow": 3},
        "total": 3,
    }
    assert alarm.look({"overflow": 9, "too old": 2}, 1.0, 30.0, 80.0) is None
    now = 30.0 + QUIET_SECONDS
    assert alarm.next_due(30.0) == now
    said = alarm.look({"overflow": 9, "too old": 2}, 0.5, now, 140.0)
    assert (said["state"], said["since"], said["dropped"]) == ("over", 50.0, {"overflow": 9, "too old": 2})
    assert alarm.since is None


def test_it_is_not_over_while_there_is_no_room():
    alarm = Alarm()
    alarm.look({"overflow": 1}, 1.0, 0.0, 0.0)
    assert alarm.look({"overflow": 1}, 0.95, 1000.0, 0.0) is None
    assert alarm.next_due(1000.0) == 1001.0
    assert alarm.look({"overflow": 1}, 0.9, 1001.0, 0.0)["state"] == "over"


def test_an_outbox_at_its_bound_is_one_alarm():
    alarm = Alarm()
    said = [alarm.look({"overflow": n}, 1.0, float(n), 0.0) for n in range(1, 1000)]
    assert sum(one is not None for one in said) == 1


def test_the_next_one_counts_from_the_last_and_waits_for_the_pause():
    alarm = Alarm()
    alarm.look({"overflow": 1}, 1.0, 0.0, 0.0)
    over = PAUSE_SECONDS + QUIET_SECONDS
    assert alarm.look({"overflow": 1}, 0.0, over, 0.0)["state"] == "over"
    assert alarm.look({"overflow": 5}, 0.0, over + 1, 0.0) is None
    assert alarm.next_due(over + 1) == over + PAUSE_SECONDS
    said = alarm.look({"overflow": 5}, 0.0, over + PAUSE_SECONDS, 7.0)
    assert (said["state"], said["dropped"]) == ("dropping", {"overflow": 4})
