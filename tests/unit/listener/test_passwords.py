import hashlib

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, PasswordError, StoreError
from edgecore.listener import passwords as passwords_module
from edgecore.listener.passwords import (
    MAX_PASSWORD_BYTES,
    MAX_SCRYPT_MEMORY,
    NOBODY,
    PasswordRecord,
    Passwords,
    check_password,
    hashed,
    matches,
)

SALT = bytes(range(16))
# The password "correct horse", at a cost that a test can pay.
CHEAP = PasswordRecord(
    SALT.hex(),
    hashlib.scrypt(hashlib.sha256(b"correct horse").digest(), salt=SALT, n=16, r=1, p=1, dklen=32).hex(),
    5.0,
    16,
    1,
    1,
)


class Memory(dict):
    """A dictionary that can fail."""

    broken = False

    async def aput(self, key, value):
        if self.broken:
            raise StoreError("the disk is full")
        self[key] = value

    async def adelete(self, key):
        if self.broken:
            raise StoreError("the disk is full")
        return self.pop(key, None) is not None


class Book:
    """Passwords on a memory, and what was enrolled."""

    def __init__(self, values=()):
        self.memory, self.enrolled, self.told = Memory(values), [], []
        self.passwords = Passwords(self.memory, self._enrol, ManualClock(1000.0), bytes)
        self.passwords.on_changed(lambda name: self.told.append((name, self.passwords.names())))

    async def _enrol(self, name):
        if name == "no/name":
            raise CertificateError("found another name")
        self.enrolled.append(name)


@pytest.fixture
def cheap(monkeypatch):
    for name, value in (("SCRYPT_N", 16), ("SCRYPT_R", 1)):
        monkeypatch.setattr(passwords_module, name, value)
    monkeypatch.setattr(PasswordRecord.__init__, "__defaults__", (16, 1, 1))


def stored(record):
    return {name: getattr(record, name) for name in ("salt", "digest", "set_at", "n", "r", "p")}


def test_the_cost_is_what_the_page_says():
    """docs/devices.md and docs/decisions name 16 MB."""
    assert 128 * passwords_module.SCRYPT_N * passwords_module.SCRYPT_R == 16 * 1024 * 1024
    record = hashed(b"correct horse", SALT, 1000.0)
    key = hashlib.sha256(b"correct horse").digest()
    assert record.digest == hashlib.scrypt(key, salt=SALT, n=2**14, r=8, p=1, dklen=32).hex()
    assert (record.salt, record.set_at) == (SALT.hex(), 1000.0)
    assert matches(record, b"correct horse")


def test_what_matches():
    assert matches(CHEAP, b"correct horse")
    for wrong in (b"", b"correct hors", b"correct horse ", b"correct horse\0", b"Correct horse"):
        assert not matches(CHEAP, wrong)


def test_nobody_has_no_password():
    for any_password in (b"", b"x", bytes(32)):
        assert not matches(NOBODY, any_password)


@pytest.mark.parametrize("good", [b"12345678", b"x" * MAX_PASSWORD_BYTES, "bl\u00fcten staub".encode()])
def test_passwords_that_may_be_given(good):
    check_password(good)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (b"", "0 bytes, expected 8 to 256"),
        (b"1234567", "7 bytes"),
        (b"x" * (MAX_PASSWORD_BYTES + 1), "257 bytes"),
        (b" " * 20, "blanks alone"),
        (b"correct horse\n", "control character"),
        (b"correct\0horse", "control character"),
    ],
)
def test_passwords_that_may_not(wrong, words):
    with pytest.raises(PasswordError, match=words):
        check_password(wrong)


@pytest.mark.usefixtures("cheap")
async def test_a_password_is_set_durably_and_its_device_enrolled():
    book = Book()
    await book.passwords.set("gate", b"correct horse")
    assert book.enrolled == ["gate"]
    assert book.passwords.names() == ("gate",)
    assert matches(book.passwords.record("gate"), b"correct horse")
    assert "correct horse" not in repr(book.memory)
    again = Book(book.memory)
    assert again.passwords.record("gate") == book.passwords.record("gate")
    assert book.told == [("gate", ("gate",))]


@pytest.mark.usefixtures("cheap")
async def test_what_cannot_be_set_changes_nothing():
    book = Book({"gate": stored(CHEAP)})
    with pytest.raises(PasswordError):
        await book.passwords.set("gate", b"short")
    with pytest.raises(CertificateError):
        await book.passwords.set("no/name", b"correct horse")
    book.memory.broken = True
    with pytest.raises(StoreError):
        await book.passwords.set("gate", b"battery staple")
    assert book.passwords.record("gate") == CHEAP
    assert book.told == []


async def test_a_removed_password_lets_nobody_in_even_when_the_disk_is_full():
    book = Book({"gate": stored(CHEAP), "lamp": stored(CHEAP)})
    assert await book.passwords.remove("gate")
    assert (book.passwords.record("gate"), list(book.memory)) == (None, ["lamp"])
    assert not await book.passwords.remove("gate")
    book.memory.broken = True
    with pytest.raises(StoreError):
        await book.passwords.remove("lamp")
    assert book.passwords.names() == ()
    assert book.told[0] == ("gate", ("lamp",))


@pytest.mark.parametrize(
    "change",
    [
        {"digest": ""},
        {"digest": "ab"},
        {"digest": "zz" * 32},
        {"salt": ""},
        {"n": 0},
        {"n": 1},
        {"n": 15},
        {"n": 2**30},
        {"r": 0},
        {"p": 0},
        {"p": 17},
        {"n": "16"},
        {"r": MAX_SCRYPT_MEMORY},
    ],
)
def test_a_record_that_was_tampered_with_lets_nobody_in(change, caplog):
    book = Book({"gate": {**stored(CHEAP), **change}, "lamp": stored(CHEAP)})
    assert book.passwords.names() == ("lamp",)
    assert "gate" in caplog.text
    assert "set it again" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"), [("gate", None), ("gate", "x"), ("gate", {}), ("a/b", stored(CHEAP))]
)
def test_what_is_no_record_lets_nobody_in(name, value):
    assert Book({name: value}).passwords.names() == ()
