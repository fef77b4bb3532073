import pytest
from turn_database import TurnDatabase, session_store

from edgecore.base import identity
from edgecore.base.clock import ManualClock
from edgecore.base.group import DeviceSpec
from edgecore.listener.orphan_wills import WILL_GRACE, OrphanWills
from edgecore.listener.records import WillRecord, decode_session

ONE, TWO = identity.device("one"), identity.device("two")
WILL = WillRecord("t/w", b"gone", 1, True, 5)


class Wills:
    def __init__(self):
        self.database, self.clock, self.published = TurnDatabase(), ManualClock(), []
        self.store, _ = session_store(self.database)
        self.it = OrphanWills(
            self.store, lambda will, sender: self.published.append((will, sender)), self.clock
        )

    def connected(self, principal=ONE, client_id="c"):
        key, _ = self.it.keep(principal, client_id, WILL)
        self.database.commit()
        return key

    def orphan(self, principal=ONE, client_id="c"):
        key = self.connected(principal, client_id)
        self.it.wait(key, principal, client_id, WILL)

    def after(self, seconds):
        self.clock.advance(seconds)
        self.it.sweep(self.clock.monotonic())
        self.database.commit()
        return self.published

    @property
    def rows(self):
        self.database.commit()
        return self.database.rows("sessions")


@pytest.fixture
def wills():
    return Wills()


def test_the_disk_has_the_will_of_a_client_that_is_connected(wills):
    wills.connected()
    ((record,),) = wills.database.connection.execute("SELECT record FROM sessions").fetchall()
    record = decode_session(record)
    assert (record.principal, record.client_id, record.will) == (("device", "one", "one"), "c", WILL)
    assert (record.expiry, record.ended) == (0, None)


def test_a_will_that_was_dealt_with_leaves_nothing(wills):
    wills.it.drop(wills.connected())
    assert wills.rows == 0


def test_a_client_that_does_not_come_back_is_lost_after_its_grace(wills):
    wills.orphan()
    assert wills.after(WILL_GRACE - 0.1) == []
    assert wills.after(0.1) == [(WILL, ONE)]
    assert wills.rows == 0
    assert wills.after(1000.0) == [(WILL, ONE)]


def test_a_client_that_comes_back_is_not_lost(wills):
    wills.orphan()
    wills.orphan(client_id="other")
    (commit,) = wills.it.come_back(ONE, "c")
    wills.database.commit()
    assert commit.resolved
    assert wills.it.come_back(ONE, "c") == ()
    assert wills.it.come_back(TWO, "other") == ()
    assert wills.rows == 1
    assert len(wills.after(WILL_GRACE)) == 1


def test_one_client_has_one_will(wills):
    wills.orphan()
    wills.orphan()
    assert wills.rows == 1
    assert len(wills.after(WILL_GRACE)) == 1


def test_a_revoked_devices_wills_are_never_published(wills):
    wills.orphan()
    wills.orphan(client_id="other")
    wills.orphan(TWO)
    wills.it.forget(ONE)
    assert wills.rows == 1
    assert wills.after(WILL_GRACE) == [(WILL, TWO)]


def test_a_device_that_was_given_another_thing_speaks_under_it(wills):
    wills.orphan()
    wills.orphan(TWO)
    wills.it.review({"one": DeviceSpec("one", "thing-1")}.get)
    assert [sender.thing for _, sender in wills.after(WILL_GRACE)] == ["thing-1", "two"]
