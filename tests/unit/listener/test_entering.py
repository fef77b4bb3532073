import pytest

from edgecore.base import identity
from edgecore.base.commit import Commit
from edgecore.base.errors import NotAuthorizedError, RefusedError, StoreError
from edgecore.listener.door import Door
from edgecore.listener.entering import Entering
from edgecore.mqtt import packets as p

ONE = identity.device("one")
EARLY = (0xC0, b"")


class Credential:
    """Answers at once, or (`later`) when told."""

    label = "test"

    def __init__(self, found=ONE, later=False):
        self.found, self.later, self.admitted, self.answer = found, later, True, None

    def identify(self, connect, answer):
        self.answer = answer
        if not self.later:
            answer(self.found)

    def admits(self, principal):
        return self.admitted


class Connection:
    """Writes down what it is told."""

    principal = ONE

    def __init__(self, *commits, refusal=None):
        self.commits, self.refusal, self.over, self.told = commits, refusal, False, []

    def come_in(self, packet, principal):
        self.told.append(principal.id)
        if self.refusal is not None:
            raise self.refusal
        return self.commits

    def accept(self, packet):
        self.told.append("accept")

    def refuse(self, reason_code, text):
        self.told.append(int(reason_code))

    def hold_reading(self, hold):
        self.told.append("hold" if hold else "go on")

    def catch_up(self, early):
        self.told.append(list(early))


@pytest.fixture
def entering(house):
    def make(connection, credential):
        door = Door(house.settings, house.router, house.sessions, house.refusals, house.turn, house.clock)
        return Entering(connection, credential, door)

    return make


def test_where_all_is_known_it_is_answered_at_once(entering):
    connection = Connection()
    it = entering(connection, Credential())
    it.begin(p.Connect("c"))
    assert connection.told == ["device:one", "accept"]
    assert not it.waiting


def test_nothing_is_read_until_it_is_known_whose_it_is(entering):
    connection, credential = Connection(), Credential(later=True)
    it = entering(connection, credential)
    it.begin(p.Connect("c"))
    assert it.waiting
    it.put_off(*EARLY)
    credential.answer(ONE)
    assert connection.told == ["hold", "device:one", "accept", "go on", [EARLY]]
    assert not it.waiting


def test_the_answer_comes_in_the_turn_after_all_commits(entering, house):
    first, second = Commit(), Commit()
    connection = Connection(first, second)
    it = entering(connection, Credential())
    it.begin(p.Connect("c"))
    it.put_off(*EARLY)
    second.resolve()
    first.resolve()
    assert connection.told == ["device:one", "hold"]  # others may have to be told first
    house.turn_over()
    assert connection.told == ["device:one", "hold", "accept", "go on", [EARLY]]


def test_what_could_not_be_made_durable_is_refused(entering, house):
    commit = Commit()
    connection = Connection(commit)
    entering(connection, Credential()).begin(p.Connect("c"))
    commit.resolve(StoreError("no disk"))
    house.turn_over()
    assert connection.told == ["device:one", "hold", 0x88, "go on", []]


def test_who_is_no_longer_admitted_when_all_is_durable_is_refused(entering, house):
    commit, credential = Commit(), Credential()
    connection = Connection(commit)
    entering(connection, credential).begin(p.Connect("c"))
    credential.admitted = False
    commit.resolve()
    house.turn_over()
    assert connection.told == ["device:one", "hold", 0x87, "go on", []]


@pytest.mark.parametrize("later", [False, True])
def test_a_credential_that_is_nobodys_is_refused(entering, later):
    connection, credential = Connection(), Credential(NotAuthorizedError("who?"), later)
    entering(connection, credential).begin(p.Connect("c"))
    if later:
        credential.answer(credential.found)
    assert connection.told == (["hold", 0x87, "go on", []] if later else [0x87])


def test_a_house_that_is_full_refuses(entering):
    connection = Connection(refusal=RefusedError("full"))
    entering(connection, Credential()).begin(p.Connect("c"))
    assert connection.told == ["device:one", 0x97]


def test_a_will_that_no_route_allows_is_refused_before_anybody_has_come_in(entering):
    connection = Connection()
    entering(connection, Credential()).begin(p.Connect("c", will=p.Will("secret", b"")))
    assert connection.told == [0x87]


def test_a_connection_that_has_ended_meanwhile_is_told_nothing(entering, house):
    connection, credential = Connection(), Credential(later=True)
    entering(connection, credential).begin(p.Connect("c"))
    connection.over = True
    credential.answer(ONE)
    assert connection.told == ["hold"]
    commit = Commit()
    other = Connection(commit)
    entering(other, Credential()).begin(p.Connect("c"))
    other.over = True
    commit.resolve()
    house.turn_over()
    assert other.told == ["device:one", "hold"]
