"""Which device may come with which password: salted digests on a durable dictionary, and how one is checked.

What is kept here is good for checking a password and for nothing else. scrypt (RFC 7914) is slow on
purpose, so `hashed` and `matches` run in threads and never on the loop. Knows no sessions: who must act on
a change says so with `on_changed`.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from edgecore.base.clock import Clock
from edgecore.base.errors import PasswordError
from edgecore.base.identity import is_name

_log = logging.getLogger(__name__)

# scrypt's cost: 128 * N * r bytes and, at p = 1, 60 to 140 ms of a shared x86 core. The 16 MB are what a Pi
# with 512 MB can give to two checks at a time. They stand in each record, so that they can grow.
SCRYPT_N: Final = 2**14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
# The most that a stored record may ask for: more is no record that this program wrote.
MAX_SCRYPT_MEMORY: Final = 64 * 1024 * 1024
MAX_SCRYPT_P: Final = 16
SALT_BYTES: Final = 16
DIGEST_BYTES: Final = 32

# NIST SP 800-63B, 5.1.1.2: at least 8 characters. An upper bound, because a CONNECT may hold 64 KB.
MIN_PASSWORD_BYTES: Final = 8
MAX_PASSWORD_BYTES: Final = 256


@dataclass(frozen=True, slots=True)
class PasswordRecord:
    """What is kept of a password: its scrypt digest with salt and cost, hex; `set_at` epoch seconds."""

    salt: str
    digest: str
    set_at: float
    n: int = SCRYPT_N
    r: int = SCRYPT_R
    p: int = SCRYPT_P


# In the place of a device that has no password: to refuse it takes as long. No digest is empty.
NOBODY: Final = PasswordRecord("00" * SALT_BYTES, "", 0.0)


def check_password(password: bytes) -> None:
    """Raise PasswordError, saying what is allowed, when this is no password that a device may be given."""
    if not MIN_PASSWORD_BYTES <= len(password) <= MAX_PASSWORD_BYTES:
        raise PasswordError(
            f"found a password of {len(password)} bytes, "
            f"expected {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES}"
        )
    if not password.strip():
        raise PasswordError("found a password of blanks alone, expected something that is hard to guess")
    if any(byte < 0x20 or byte == 0x7F for byte in password):
        raise PasswordError("found a control character in the password, such as a line end: leave it out")


def hashed(password: bytes, salt: bytes, now: float) -> PasswordRecord:
    """The record of a password. Slow: in a thread."""
    fresh = PasswordRecord(salt.hex(), "", now)
    return PasswordRecord(fresh.salt, _digest(fresh, password).hex(), now)


def matches(record: PasswordRecord, password: bytes) -> bool:
    """Whether this is the record's password. Slow whatever the answer: in a thread."""
    return hmac.compare_digest(_digest(record, password).hex(), record.digest)


def _digest(record: PasswordRecord, password: bytes) -> bytes:
    # Of one length first: within scrypt HMAC pads a short key with zero bytes, and would take a password
    # and the same with zero bytes behind it for one (RFC 2104, 2).
    return hashlib.scrypt(
        hashlib.sha256(password).digest(),
        salt=bytes.fromhex(record.salt),
        n=record.n,
        r=record.r,
        p=record.p,
        maxmem=MAX_SCRYPT_MEMORY + 1024 * 1024,
        dklen=DIGEST_BYTES,
    )


class DurableDictionary(Protocol):
    """What keeps the records: store.Dictionary. Durable when a call returns."""

    def items(self) -> Iterable[tuple[str, object]]:
        """All keys with their values."""
        ...

    async def aput(self, key: str, value: object) -> None:
        """Set `key` to a JSON value, durably."""
        ...

    async def adelete(self, key: str) -> bool:
        """Forget `key`, durably; False when it was not there."""
        ...


class Passwords:
    """The devices that may come with a password (base DevicePasswords).

    `enrol` makes a device known to the registry, which lists and revokes it; `new_salt` gives random bytes.
    """

    def __init__(
        self,
        dictionary: DurableDictionary,
        enrol: Callable[[str], Awaitable[None]],
        clock: Clock,
        new_salt: Callable[[int], bytes],
    ) -> None:
        """Read all records from `dictionary`, once. One that cannot be read lets nobody in and is logged."""
        self._dictionary = dictionary
        self._enrol = enrol
        self._clock = clock
        self._new_salt = new_salt
        self._records: dict[str, PasswordRecord] = {}
        self._changed: list[Callable[[str], None]] = []
        # set and remove each change memory and disk: one at a time.
        self._changing = asyncio.Lock()
        for name, value in dictionary.items():
            self._learn(name, value)

    def record(self, name: str) -> PasswordRecord | None:
        """What is kept of the device's password, or None when it has none."""
        return self._records.get(name)

    def names(self) -> tuple[str, ...]:
        """The devices that have a password, by name."""
        return tuple(sorted(self._records))

    def on_changed(self, callback: Callable[[str], None]) -> None:
        """Call `callback(name)` when the device's password was replaced or taken away, on the loop."""
        self._changed.append(callback)

    async def set(self, name: str, password: bytes) -> None:
        """Let device `name` come with `password`, and no longer with the one that it had.

        Raises PasswordError, CertificateError for what is no device's name, StoreError.
        """
        check_password(password)
        record = await asyncio.to_thread(hashed, password, self._new_salt(SALT_BYTES), self._clock.now())
        await self._enrol(name)
        async with self._changing:
            await self._dictionary.aput(name, msgspec.to_builtins(record))
            self._records[name] = record
        self._tell(name)

    def forget(self, name: str) -> None:
        """Let nobody in with this device's password from now on; `remove` makes it durable."""
        self._records.pop(name, None)

    async def remove(self, name: str) -> bool:
        """Take the device's password away, durably; False when it had none. Raises StoreError."""
        async with self._changing:
            self.forget(name)
            self._tell(name)
            return await self._dictionary.adelete(name)

    def _tell(self, name: str) -> None:
        for callback in self._changed:
            callback(name)

    def _learn(self, name: str, value: object) -> None:
        try:
            record = msgspec.convert(value, PasswordRecord)
            _check_record(name, record)
        except ValueError as error:  # msgspec.ValidationError is one
            _log.error("password record cannot be read, set it again device=%r reason=%r", name, str(error))
            return
        self._records[name] = record


def _check_record(name: str, record: PasswordRecord) -> None:
    """Raise ValueError for what `set` cannot have written."""
    if not is_name(name):
        raise ValueError("no device has such a name")
    if len(bytes.fromhex(record.salt)) != SALT_BYTES or len(bytes.fromhex(record.digest)) != DIGEST_BYTES:
        raise ValueError("salt or digest has another length")
    power_of_two = record.n > 1 and record.n & (record.n - 1) == 0
    if not power_of_two or record.r < 1 or not 1 <= record.p <= MAX_SCRYPT_P:
        raise ValueError("scrypt does not take this cost")
    if 128 * record.n * record.r > MAX_SCRYPT_MEMORY:
        raise ValueError(f"the cost is more than {MAX_SCRYPT_MEMORY} bytes")
