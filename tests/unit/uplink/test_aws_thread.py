"""A foreign thread's state; that it is kept between callbacks is shown with the library, in test_aws.py."""

import ctypes
import threading

from edgecore.uplink.aws_thread import ThreadState


def in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_it_is_held_once_and_given_back_once(monkeypatch):
    calls = []
    real = ctypes.pythonapi

    class Counting:
        def __getattr__(self, name):
            calls.append(name)
            return getattr(real, name)

    monkeypatch.setattr(ctypes, "pythonapi", Counting())
    state = ThreadState()

    def work():
        state.release()
        state.hold()
        state.hold()
        state.release()
        state.release()
        state.hold()
        state.release()

    in_thread(work)
    assert [calls.count(f"PyGILState_{what}") for what in ("Ensure", "Release")] == [2, 2]


def test_no_other_thread_gives_it_back(monkeypatch):
    state, released = ThreadState(), []
    state.hold()
    real = ctypes.pythonapi

    class Counting:
        def __getattr__(self, name):
            released.append(name)
            return getattr(real, name)

    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "pythonapi", Counting())
        in_thread(state.release)
        assert "PyGILState_Release" not in released
        state.release()
        assert "PyGILState_Release" in released
