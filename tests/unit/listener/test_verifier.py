import hashlib
from dataclasses import replace

import pytest

from edgecore.listener import verifier as verifier_module
from edgecore.listener.credential import NotIdentifiedError
from edgecore.listener.passwords import MAX_PASSWORD_BYTES, PasswordRecord
from edgecore.listener.verifier import MAX_WAITING, PER_ADDRESS, PER_DEVICE, Verifier

WRONG, BUSY, UNAVAILABLE, TOO_MANY = 0x86, 0x89, 0x88, 0x9F
SALT = bytes(16)


def record_of(password):
    digest = hashlib.scrypt(hashlib.sha256(password).digest(), salt=SALT, n=16, r=1, p=1, dklen=32)
    return PasswordRecord(SALT.hex(), digest.hex(), 0.0, 16, 1, 1)


class Line:
    """A verifier whose threads a test drives, and its clock."""

    def __init__(self, at_once=1, **passwords):
        self.records = {name: record_of(password) for name, password in passwords.items()}
        self.work, self.checked, self.now = [], 0, 0.0
        self.verifier = Verifier(self, self._run, at_once, lambda: self.now, b"secret")

    def record(self, name):
        return self.records.get(name)

    def _run(self, work, done):
        self.work.append((work, done))

    def come(self, name, password, address="192.0.2.1"):
        """What this client will hear: a list with one thing in it once it was answered."""
        heard = []
        self.verifier.verify(name, password, address, heard.append)
        return heard

    def check(self, count=1):
        """Let the thread do so many checks."""
        for _ in range(count):
            work, done = self.work.pop(0)
            self.checked += 1
            done(work())

    def ask(self, *client):
        """The whole way of one client: the record, or the reason code."""
        heard = self.come(*client)
        while self.work:
            self.check()
        return code(heard)


def code(heard):
    (found,) = heard
    return found.reason_code if isinstance(found, NotIdentifiedError) else found


@pytest.fixture(autouse=True)
def cheap_nobody(monkeypatch):
    monkeypatch.setattr(verifier_module, "NOBODY", PasswordRecord(SALT.hex(), "", 0.0, 16, 1, 1))


def test_a_good_password_gives_the_record():
    line = Line(gate=b"correct horse")
    assert line.ask("gate", b"correct horse") is line.records["gate"]


def test_a_wrong_password_and_a_device_that_is_not_there_are_told_the_same_after_the_same_work():
    line = Line(2, gate=b"correct horse")
    clients = [line.come(name, b"wrong password") for name in ("gate", "nobody")]
    costs = [(work.func, work.args[0].n, work.args[0].r, work.args[0].p) for work, _ in line.work]
    assert costs == [(verifier_module.matches, 16, 1, 1)] * 2
    line.check(2)
    assert [code(each) for each in clients] == [WRONG, WRONG]
    assert str(clients[0][0]) == str(clients[1][0])


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("gate", b""),
        ("gate", b"   "),
        ("gate", b"x" * (MAX_PASSWORD_BYTES + 1)),
        ("", b"correct horse"),
        ("a/b", b"correct horse"),
        ("+", b"correct horse"),
        ("x" * 129, b"correct horse"),
    ],
)
def test_what_no_password_and_no_name_can_be_is_refused_at_once_and_is_no_guess(name, password):
    line = Line(gate=b"correct horse")
    for _ in range(100):
        assert code(line.come(name, password)) == WRONG
    assert line.checked == 0
    assert line.ask("gate", b"correct horse") is line.records["gate"]


def test_a_few_are_checked_at_once_and_the_line_has_an_end():
    line = Line(2, gate=b"correct horse")
    clients = [line.come("gate", b"correct horse", f"192.0.2.{number}") for number in range(MAX_WAITING + 2)]
    assert (len(line.work), line.verifier.waiting) == (2, MAX_WAITING + 2)
    late = line.come("gate", b"correct horse")
    assert code(late) == BUSY
    while line.work:
        assert len(line.work) <= 2
        line.check()
    assert {code(each) for each in clients} == {line.records["gate"]}
    assert line.verifier.waiting == 0


def test_who_was_good_a_moment_ago_is_known_without_a_check():
    line = Line(gate=b"correct horse")
    line.ask("gate", b"correct horse")
    for address in ("192.0.2.1", "192.0.2.2"):
        assert code(line.come("gate", b"correct horse", address)) is line.records["gate"]
    assert line.checked == 1
    assert line.ask("gate", b"wrong password") == WRONG
    assert line.checked == 2


def test_another_password_makes_the_one_that_was_known_worthless():
    line = Line(gate=b"correct horse")
    line.ask("gate", b"correct horse")
    line.records["gate"] = record_of(b"battery staple")
    assert line.ask("gate", b"correct horse") == WRONG
    assert line.ask("gate", b"battery staple") is line.records["gate"]
    del line.records["gate"]
    assert line.ask("gate", b"battery staple") == WRONG
    assert line.verifier._good == {}


def test_a_password_that_was_changed_while_it_was_checked_is_not_good():
    line = Line(gate=b"correct horse")
    heard = line.come("gate", b"correct horse")
    line.records["gate"] = replace(line.records["gate"])
    line.check()
    assert code(heard) == WRONG
    assert line.verifier._good == {}


def test_a_check_that_fails_is_nobody_s_failure():
    line = Line(gate=b"correct horse")
    for _ in range(50):
        heard = line.come("gate", b"correct horse")
        line.work.pop()[1](None)
        assert code(heard) == UNAVAILABLE


def test_guesses_at_one_device_are_slowed_down_wherever_they_come_from():
    line = Line(gate=b"correct horse", lamp=b"correct horse")
    most, every = PER_DEVICE
    for number in range(most):
        assert line.ask("gate", b"guess %d" % number, f"192.0.2.{number}") == WRONG
    assert line.ask("gate", b"correct horse", "192.0.2.99") == TOO_MANY  # the right one tells no more
    assert line.checked == most
    assert line.ask("lamp", b"correct horse", "192.0.2.1") is line.records["lamp"]
    line.now += every
    assert line.ask("gate", b"correct horse", "192.0.2.99") is line.records["gate"]


def test_a_device_that_is_known_at_its_address_is_not_shut_out_by_guesses_from_elsewhere():
    line = Line(gate=b"correct horse")
    line.ask("gate", b"correct horse", "192.0.2.1")
    for number in range(PER_DEVICE[0] + 5):
        line.ask("gate", b"guess %d" % number, "192.0.2.66")
    assert line.ask("gate", b"correct horse", "192.0.2.66") == TOO_MANY
    assert line.ask("gate", b"correct horse", "192.0.2.1") is line.records["gate"]
    for number in range(PER_DEVICE[0]):
        assert line.ask("gate", b"guess %d" % number, "192.0.2.1") == WRONG
    assert line.ask("gate", b"correct horse", "192.0.2.1") == TOO_MANY


def test_guesses_from_one_address_are_slowed_down_whatever_their_device():
    line = Line(gate=b"correct horse")
    for number in range(PER_ADDRESS[0]):
        assert line.ask(f"device-{number}", b"correct horse") == WRONG
    assert line.ask("gate", b"correct horse") == TOO_MANY
    assert line.ask("gate", b"correct horse", "192.0.2.2") is line.records["gate"]


def test_one_device_with_a_wrong_password_does_not_use_up_its_address():
    line = Line(gate=b"correct horse", lamp=b"correct horse")
    for _ in range(3600):  # an hour of a try each second
        line.ask("gate", b"wrong password")
        line.now += 1.0
    assert line.ask("lamp", b"correct horse") is line.records["lamp"]


def test_guesses_that_came_at_once_are_refused_in_line_when_the_first_have_failed():
    line = Line(gate=b"correct horse")
    clients = [line.come("gate", b"guess %d" % number) for number in range(MAX_WAITING)]
    while line.work:
        line.check()
    codes = [code(each) for each in clients]
    assert codes == [WRONG] * PER_DEVICE[0] + [TOO_MANY] * (MAX_WAITING - PER_DEVICE[0])
    assert line.checked == PER_DEVICE[0]
