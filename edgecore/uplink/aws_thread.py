"""Keeps the library's thread known to Python from one of its callbacks to the next.

A thread that Python did not start gets a new thread state for each call into Python and gives it back
after it: three system calls, and an interrupt of the other cores for the memory that is unmapped. That was
three quarters of what awscrt's thread did in a drain: 10 to 12 of 16 us of each PUBACK. CPython's documented
PyGILState_Ensure counts: one more of them keeps the state until its PyGILState_Release. It keeps no lock.
"""

from __future__ import annotations

import ctypes


class ThreadState:
    """The state of one foreign thread. Both methods are called by that thread, inside a callback."""

    def __init__(self) -> None:
        self._held: int | None = None
        self._was = 0

    def hold(self) -> None:
        """Keep it after this callback."""
        if self._held is None:
            self._was = ctypes.pythonapi.PyGILState_Ensure()
            self._held = _state()

    def release(self) -> None:
        """Give it back at the end of this callback. One that is never given back takes 16 KiB."""
        if self._held is not None and self._held == _state():
            self._held = None
            ctypes.pythonapi.PyGILState_Release(self._was)


def _state() -> int | None:
    """Where the state of this thread is in memory."""
    ask = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyGILState_GetThisThreadState", ctypes.pythonapi))
    address: int | None = ask()
    return address
