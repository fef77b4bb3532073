"""Checks the passwords that clients come with: a few at a time, in threads, and no more than a bound in line.

    come -> allowed? -> known good? -> in line -> in a thread -> answered
               | no         | yes         | full
             refused      answered       refused

Who guesses is slowed down by device and by address; a device that came from its address before is counted
by itself there, so that nobody else's failures shut it out. Knows no sessions, no sockets and no threads:
`run` is handed in.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from edgecore.base.identity import is_name
from edgecore.listener.credential import NotIdentifiedError
from edgecore.listener.failures import Failures
from edgecore.listener.passwords import MAX_PASSWORD_BYTES, NOBODY, PasswordRecord, matches
from edgecore.mqtt.reason_codes import ReasonCode

_log = logging.getLogger(__name__)

# In line: at 150 ms each, two at a time, the last one waits for 5 s, half of connect_timeout.
MAX_WAITING: Final = 64
# Failures in a row, and seconds for one more. 500,000 guesses a year at one device; the address may stand
# for a whole site, and a device there that tries a wrong password for ever must not use up its share.
PER_DEVICE: Final = (10, 60.0)
PER_ADDRESS: Final = (30, 10.0)

# The same for a device that is not there and for a wrong password.
_WRONG: Final = "user name or password not accepted"


class PasswordBook(Protocol):
    """What is asked of passwords.Passwords."""

    def record(self, name: str) -> PasswordRecord | None:
        """What is kept of the device's password, or None when it has none."""
        ...


# Does the work in a thread, then calls back on the loop: with its result, or None when it raised.
Run = Callable[[Callable[[], bool], Callable[[bool | None], None]], None]
Verdict = Callable[[PasswordRecord | NotIdentifiedError], None]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One client that waits for its answer."""

    name: str
    address: str
    password: bytes
    record: PasswordRecord | None
    answer: Verdict


@dataclass(frozen=True, slots=True)
class _Good:
    """The last good password of a device, as a tag that only this process can make, and whence it came."""

    tag: bytes
    address: str


class Verifier:
    """The one line that all clients with a password stand in.

    `at_once`: how many are checked at the same time. `time`: monotonic seconds. `secret`: random bytes
    that never leave this process; a password that was good a moment ago is known again by them without
    scrypt, so that a site's devices are back at once after a cut.
    """

    def __init__(
        self, book: PasswordBook, run: Run, at_once: int, time: Callable[[], float], secret: bytes
    ) -> None:
        self._book = book
        self._run = run
        self._at_once = at_once
        self._time = time
        self._secret = secret
        self._good: dict[str, _Good] = {}
        self._waiting: deque[_Attempt] = deque()
        self._running = 0
        self._devices = Failures(*PER_DEVICE)
        self._addresses = Failures(*PER_ADDRESS)

    @property
    def waiting(self) -> int:
        """How many are in line or being checked."""
        return len(self._waiting) + self._running

    def holds(self, name: str, record: PasswordRecord) -> bool:
        """Whether the device still has the password that `record` was made of."""
        return self._book.record(name) is record

    def verify(self, name: str, password: bytes, address: str, verdict: Verdict) -> None:
        """Call `verdict` once, at once or later: with the device's record, or why not."""
        record = self._book.record(name)
        attempt = _Attempt(name, address, password, record, verdict)
        if not is_name(name) or not password.strip() or len(password) > MAX_PASSWORD_BYTES:
            # No device is called so, or no password can be so: no guess, and the answer tells nothing.
            verdict(NotIdentifiedError(ReasonCode.BAD_USER_NAME_OR_PASSWORD, _WRONG))
        elif not self._allows(attempt):
            verdict(_too_many())
        elif self._is_known(attempt):
            assert record is not None
            verdict(record)
        elif len(self._waiting) >= MAX_WAITING:
            text = f"{MAX_WAITING} clients wait for the check of their password: try again"
            verdict(NotIdentifiedError(ReasonCode.SERVER_BUSY, text))
        else:
            self._waiting.append(attempt)
            self._next()

    # Inside ---------------------------------------------------------------------------------------

    def _next(self) -> None:
        while self._waiting and self._running < self._at_once:
            attempt = self._waiting.popleft()
            if not self._allows(attempt):  # others have failed meanwhile
                attempt.answer(_too_many())
                continue
            self._running += 1
            record = attempt.record or NOBODY
            self._run(partial(matches, record, attempt.password), partial(self._checked, attempt))

    def _checked(self, attempt: _Attempt, good: bool | None) -> None:
        self._running -= 1
        found = self._outcome(attempt, good)
        self._next()
        attempt.answer(found)

    def _outcome(self, attempt: _Attempt, good: bool | None) -> PasswordRecord | NotIdentifiedError:
        """What came of a check, remembered for the next time."""
        record = attempt.record
        if good is None:
            text = "the password could not be checked: the core's log says why"
            return NotIdentifiedError(ReasonCode.SERVER_UNAVAILABLE, text)
        if good and record is not None and self.holds(attempt.name, record):
            self._good[attempt.name] = _Good(self._tag(attempt, record), attempt.address)
            return record
        self._failed(attempt)
        return NotIdentifiedError(ReasonCode.BAD_USER_NAME_OR_PASSWORD, _WRONG)

    def _is_known(self, attempt: _Attempt) -> bool:
        """Whether this is the password that was good last. Takes as long for a device that is not there."""
        record = attempt.record
        if record is None:
            self._good.pop(attempt.name, None)
        good = self._good.get(attempt.name)
        expected = good.tag if good is not None else bytes(hashlib.sha256().digest_size)
        return hmac.compare_digest(self._tag(attempt, record or NOBODY), expected)

    def _tag(self, attempt: _Attempt, record: PasswordRecord) -> bytes:
        """Another one for each process, record and password."""
        known = f"{attempt.name} {record.salt} {record.digest} ".encode()
        return hmac.digest(self._secret, known + attempt.password, "sha256")

    # Failures ---------------------------------------------------------------------------------------

    def _allows(self, attempt: _Attempt) -> bool:
        now = self._time()
        return all(failures.allows(key, now) for failures, key in self._counted(attempt))

    def _failed(self, attempt: _Attempt) -> None:
        now = self._time()
        for failures, key in self._counted(attempt):
            failures.note(key, now)

    def _counted(self, attempt: _Attempt) -> list[tuple[Failures, str]]:
        """Where a failure of this attempt counts."""
        good = self._good.get(attempt.name)
        if good is not None and good.address == attempt.address:
            return [(self._devices, f"{attempt.name} {attempt.address}")]  # a name holds no blank
        return [(self._devices, attempt.name), (self._addresses, attempt.address)]


def _too_many() -> NotIdentifiedError:
    return NotIdentifiedError(
        ReasonCode.CONNECTION_RATE_EXCEEDED, "too many passwords were wrong lately: wait a minute"
    )
