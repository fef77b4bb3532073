from edgecore.listener.unread import Unread


class Session:
    def __init__(self):
        self.ended = False

    def too_slow(self):
        self.ended = True


def test_what_waits_is_counted_once_for_each():
    unread, one, two = Unread(100), Session(), Session()
    unread.note(one, 30)
    unread.note(two, 40)
    unread.note(one, 10)
    assert unread.bytes == 50
    unread.forget(two)
    unread.forget(two)
    assert unread.bytes == 10
    assert not one.ended
    assert not two.ended


def test_who_takes_most_makes_room_for_the_others():
    unread, sessions = Unread(100), [Session() for _ in range(4)]
    for session, size in zip(sessions, (20, 60, 15, 4), strict=True):
        unread.note(session, size)
    assert not any(session.ended for session in sessions)
    unread.note(sessions[3], 10)  # which is not much, but there is no room
    assert [session.ended for session in sessions] == [False, True, False, False]
    assert unread.bytes == 45


def test_one_alone_may_be_too_much():
    unread, session = Unread(100), Session()
    unread.note(session, 101)
    assert session.ended
    assert unread.bytes == 0


def test_as_many_end_as_must():
    unread, sessions = Unread(100), [Session() for _ in range(5)]
    for session in sessions[:4]:
        unread.note(session, 25)
    unread.note(sessions[4], 24)
    assert sum(session.ended for session in sessions) == 1
    unread.limit = 50
    unread.note(sessions[4], 24)
    assert sum(session.ended for session in sessions) == 3
    assert not sessions[4].ended
