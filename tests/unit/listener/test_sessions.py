from edgecore.base import identity
from edgecore.listener.sessions import Sessions


class Live:
    def __init__(self, device, client_id):
        self.principal = identity.device(device)
        self.client_id = client_id
        self.over = False

    def taken_over(self):
        self.over = True


def test_the_same_client_takes_over_and_the_old_session_leaves_nothing():
    sessions = Sessions()
    old, new = Live("one", "c"), Live("one", "c")
    sessions.enter(old)
    sessions.enter(new)
    assert old.over
    sessions.leave(old)
    assert list(sessions) == [new]
    assert sessions.takeovers == 1
    sessions.leave(new)
    assert len(sessions) == 0


def test_another_device_cannot_take_a_client_id_over():
    sessions = Sessions()
    one, two = Live("one", "c"), Live("two", "c")
    sessions.enter(one)
    sessions.enter(two)
    assert not one.over
    assert len(sessions) == 2


def test_the_most_at_a_time_is_kept_and_a_session_is_known_by_both_its_names():
    sessions = Sessions()
    one, two = Live("one", "c"), Live("two", "c")
    sessions.enter(one)
    sessions.enter(two)
    sessions.leave(one)
    assert sessions.traffic.most_connected == 2
    assert sessions.holds(two.principal, "c")
    assert not sessions.holds(one.principal, "c")


def test_assigned_ids_are_none_that_another_client_of_the_device_has():
    sessions = Sessions(unique=iter("abc").__next__)
    sessions.enter(Live("one", "edgecore-a"))
    assert sessions.assign_id(identity.device("one")) == "edgecore-b"
    assert Sessions().assign_id(identity.device("one")) != Sessions().assign_id(identity.device("one"))
