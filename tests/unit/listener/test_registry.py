from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, NotAuthorizedError, StoreError
from edgecore.base.interfaces import Devices, IssuedCertificate
from edgecore.listener import registry as registry_module
from edgecore.listener.anchors import MAX_ANCHORS
from edgecore.listener.device_records import MAX_CERTIFICATES, CertificateFacts
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.registry import Registry, Revocation
from edgecore.store import Dictionary

NOW = 1_800_000_000.0
DAY = 86_400.0
END = 253_402_300_799.0


class Memory:
    """A dictionary that can fail."""

    def __init__(self, values=()):
        self.values = dict(values)
        self.broken = False
        self.writes = 0

    def items(self):
        return list(self.values.items())

    async def aput_all(self, values):
        await asyncio.sleep(0)
        if self.broken:
            raise StoreError("the disk is full")
        self.values.update(values)
        self.writes += 1


class Numbered:
    """Issues certificates that are only numbers, and knows those that a test calls another's."""

    def __init__(self):
        self.number = 0
        self.asked = []
        self.authorities = ["A"]
        self.known = {}
        self.broken = False

    @property
    def certificate(self):
        return ",".join(self.authorities).encode()

    @property
    def authority(self):
        return self.authorities[-1]

    @property
    def rotating(self):
        return len(self.authorities) > 1

    def issue_device(self, name, csr=b"", days=0, now=None):
        self.asked.append((csr, days, now))
        pem = self.make(self.authority, now + days * DAY if days else END)
        return IssuedCertificate(name, pem, b"" if csr else b"key", self.certificate, self.print_of(pem))

    def make(self, authority="", end=END):
        """A certificate of an authority, or of another's ("")."""
        self.number += 1
        pem = f"-----BEGIN CERTIFICATE-----\n{self.number:08}\n-----END CERTIFICATE-----\n"
        self.known[pem] = CertificateFacts(
            f"{self.number:064x}", f"{self.number:x}", 9.0, end, authority, pem
        )
        return pem.encode()

    def print_of(self, pem):
        return self.known[pem.decode()].fingerprint

    def examine(self, pem):
        if pem.decode() not in self.known:
            raise CertificateError("found a certificate that cannot be read")
        return self.known[pem.decode()]

    def start_rotation(self):
        self.authorities.append("B")

    def finish_rotation(self):
        if self.broken:
            raise CertificateError("cannot be written")
        del self.authorities[0]


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def issuer():
    return Numbered()


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def registry(memory, issuer, clock):
    return Registry(memory, issuer, clock)


@pytest.fixture
def told(registry):
    """What the registry tells others, in order."""
    told = []

    async def trust_changed():
        told.append("trust")

    registry.on_revoked(told.append)
    registry.on_trust_changed(trust_changed)
    return told


def test_it_is_what_the_control_api_asks_for(registry):
    devices: Devices = registry
    assert {name for name in dir(Devices) if not name.startswith("_")} <= set(dir(devices))


async def test_an_added_device_is_known_by_its_fingerprint(registry, issuer):
    issued = await registry.add("loop-north")
    assert registry.lookup(issued.fingerprint) == "loop-north"
    assert registry.lookup("ab" * 32) is None
    record = registry.record("loop-north")
    assert (record.name, record.added_at, record.revoked) == ("loop-north", NOW, ())
    (certificate,) = record.certificates
    assert certificate.fingerprint == issued.fingerprint
    assert (certificate.issuer, certificate.authority, certificate.serial) == ("own", "A", "1")
    assert (certificate.not_before, certificate.not_after, certificate.added_at) == (9.0, END, NOW)
    assert (issued.key, issued.ca) == (b"key", b"A")


async def test_records_are_sorted_and_survive_a_restart(registry, memory, issuer):
    for name in ("b", "a", "c"):
        await registry.add(name)
    await registry.add("a", certificate=issuer.make())
    await registry.revoke("b")
    again = Registry(memory, issuer, ManualClock())
    assert [record.name for record in again.records()] == ["a", "b", "c"]
    assert again.records() == registry.records()
    for record in again.records():
        assert {again.lookup(each) for each in record.fingerprints} <= {record.name}
    assert len(again.anchors) == 1


async def test_two_at_once_lose_nothing(registry):
    await asyncio.gather(*(registry.add("a") for _ in range(5)), *(registry.add("b") for _ in range(5)))
    assert [len(record.fingerprints) for record in registry.records()] == [5, 5]


async def test_certificates_of_one_device_are_bounded(registry):
    for _ in range(MAX_CERTIFICATES):
        await registry.add("a")
    with pytest.raises(CertificateError, match="revoke them first"):
        await registry.renew("a")


@pytest.mark.parametrize("name", ["", "a b", "a/+", "x" * 129])
async def test_a_bad_name_is_refused_with_what_is_allowed(registry, name):
    with pytest.raises(CertificateError, match="a-z A-Z 0-9 : _ -"):
        await registry.add(name)


async def test_a_device_that_cannot_be_stored_is_not_added(registry, memory, issuer):
    memory.broken = True
    for more in ({}, {"certificate": issuer.make()}):
        with pytest.raises(StoreError):
            await registry.add("a", **more)
    assert registry.records() == ()
    assert len(registry.anchors) == 0
    assert all(registry.lookup(facts.fingerprint) is None for facts in issuer.known.values())


async def test_what_is_asked_for_reaches_the_issuer(registry, issuer):
    assert (await registry.add("a", b"request", days=30)).key == b""
    await registry.renew("a")
    assert issuer.asked == [(b"request", 30, NOW), (b"", 0, NOW)]


# Renewal


async def test_renewal_keeps_the_device_and_both_certificates(registry):
    old, new = await registry.add("a"), await registry.renew("a")
    assert [registry.lookup(each.fingerprint) for each in (old, new)] == ["a", "a"]
    assert registry.record("a").fingerprints == (old.fingerprint, new.fingerprint)


async def test_only_a_known_device_is_renewed_and_the_name_that_was_meant_is_said(registry):
    await registry.add("loop-north")
    with pytest.raises(CertificateError, match="did you mean 'loop-north'"):
        await registry.renew("loop-nroth")


async def test_a_device_that_was_revoked_is_not_renewed_but_added(registry):
    old = await registry.add("a")
    await registry.revoke("a")
    with pytest.raises(CertificateError, match="device add a"):
        await registry.renew("a")
    new = await registry.add("a")
    assert (registry.lookup(old.fingerprint), registry.lookup(new.fingerprint)) == (None, "a")


# The end of a certificate


async def test_a_certificate_that_has_ended_is_refused_with_the_cure(registry, clock):
    issued = await registry.add("a", days=10)
    clock.advance(10 * DAY)
    assert registry.lookup(issued.fingerprint) == "a"
    clock.advance(1.0)
    with pytest.raises(NotAuthorizedError, match=r"of a has expired, on 2027-01-25.*device renew a"):
        registry.lookup(issued.fingerprint)


@pytest.mark.parametrize("wall", [0.0, NOW - 9_999 * DAY])
async def test_a_clock_that_is_behind_locks_nobody_out(registry, issuer, clock, wall):
    mine, others = await registry.add("a", days=10), await registry.add("b", certificate=issuer.make())
    clock.set_wall(wall)
    assert [registry.lookup(each.fingerprint) for each in (mine, others)] == ["a", "b"]


async def test_a_clock_that_is_ahead_locks_out_only_who_wanted_an_end(registry, clock):
    never, ends = await registry.add("a"), await registry.add("b", days=10)
    clock.set_wall(NOW + 36_500 * DAY)
    assert registry.lookup(never.fingerprint) == "a"
    with pytest.raises(NotAuthorizedError):
        registry.lookup(ends.fingerprint)


# Revocation


async def test_revocation_is_told_when_lookups_refuse_already(registry, memory, issuer):
    issued = await registry.add("a")
    seen = []
    registry.on_revoked(lambda revocation: seen.append((revocation, registry.lookup(issued.fingerprint))))
    record = await registry.revoke("a")
    assert seen == [(Revocation("a", (issued.fingerprint,), last=True), None)]
    assert (record.fingerprints, record.revoked) == ((), (issued.fingerprint,))
    assert record.certificates[0].revoked_at == NOW
    assert Registry(memory, issuer, ManualClock()).lookup(issued.fingerprint) is None


async def test_one_of_several_is_revoked(registry, told):
    old, new = await registry.add("a"), await registry.renew("a")
    record = await registry.revoke("a", old.fingerprint)
    assert (record.fingerprints, record.revoked) == ((new.fingerprint,), (old.fingerprint,))
    assert (registry.lookup(old.fingerprint), registry.lookup(new.fingerprint)) == (None, "a")
    await registry.revoke("a", new.fingerprint)
    assert told == [
        Revocation("a", (old.fingerprint,), last=False),
        Revocation("a", (new.fingerprint,), last=True),
    ]


async def test_a_certificate_that_is_not_the_devices_revokes_nothing(registry, told):
    mine, other = await registry.add("a"), await registry.add("b")
    for prefix in (other.fingerprint, "", "zzzz"):
        with pytest.raises(CertificateError, match="device show a"):
            await registry.revoke("a", prefix)
    assert registry.lookup(mine.fingerprint) == "a"
    assert told == []


async def test_revocation_that_cannot_be_stored_holds_now_and_is_reported(registry, memory, told):
    issued = await registry.add("a")
    memory.broken = True
    with pytest.raises(StoreError):
        await registry.revoke("a")
    assert told == [Revocation("a", (issued.fingerprint,), last=True)]
    assert registry.lookup(issued.fingerprint) is None
    memory.broken = False
    assert (await registry.revoke("a")).fingerprints == ()


async def test_revoking_an_unknown_device_says_how_to_find_them(registry):
    with pytest.raises(CertificateError, match="edgecore device list"):
        await registry.revoke("nobody")


# Certificates that devices have already


async def test_a_registered_certificate_is_an_anchor_at_once(registry, issuer, told):
    pem = issuer.make(end=NOW + DAY)
    issued = await registry.add("a", certificate=pem)
    assert (issued.certificate, issued.key, issued.ca) == (pem, b"", b"A")
    assert registry.lookup(issued.fingerprint) == "a"
    assert issued.fingerprint in registry.anchors
    (certificate,) = registry.record("a").certificates
    assert (certificate.issuer, certificate.authority, certificate.pem) == ("registered", "A", pem.decode())
    assert told == []  # contexts in use take it as they are


async def test_a_revoked_anchor_is_forgotten_and_tls_loaded_anew(registry, issuer, told, memory):
    issued = await registry.add("a", certificate=issuer.make())
    mine = await registry.renew("a")
    await registry.revoke("a", mine.fingerprint)
    assert told == [Revocation("a", (mine.fingerprint,), last=False)]
    told.clear()
    memory.broken = True
    with pytest.raises(StoreError):
        await registry.revoke("a")
    assert told == [Revocation("a", (issued.fingerprint,), last=True), "trust"]
    assert len(registry.anchors) == 0


async def test_registered_again_it_stays_as_it_is_and_brings_todays_authority(registry, issuer):
    pem = issuer.make()
    first = await registry.add("a", certificate=pem)
    await registry.rotate()
    assert registry.rotation().waiting == ("a",)
    again = await registry.renew("a", certificate=pem)
    assert (again.fingerprint, again.ca) == (first.fingerprint, b"A,B")
    assert len(registry.record("a").certificates) == 1
    assert registry.rotation().waiting == ()


async def test_our_own_certificate_may_be_registered_where_the_registry_was_lost(registry, issuer):
    issued = await registry.add("a", certificate=issuer.make("A"))
    (certificate,) = registry.record("a").certificates
    assert (certificate.issuer, certificate.pem) == ("own", "")
    assert registry.lookup(issued.fingerprint) == "a"
    assert len(registry.anchors) == 0


async def test_a_certificate_belongs_to_one_device(registry, issuer):
    pem = issuer.make()
    await registry.add("a", certificate=pem)
    with pytest.raises(CertificateError, match="is device a's already"):
        await registry.add("b", certificate=pem)
    assert [each.name for each in registry.records()] == ["a"]


@pytest.mark.parametrize("name", ["a", "b"])
async def test_a_revoked_certificate_stays_so(registry, issuer, name):
    pem = issuer.make()
    await registry.add("a", certificate=pem)
    await registry.revoke("a")
    with pytest.raises(CertificateError, match="was revoked, of device a, and stays so"):
        await registry.add(name, certificate=pem)


async def test_a_certificate_that_has_ended_is_not_registered(registry, issuer):
    with pytest.raises(CertificateError, match="has ended, on 2027-01-14, and today is 2027-01-15"):
        await registry.add("a", certificate=issuer.make(end=NOW - DAY))


@pytest.mark.parametrize("more", [{"csr": b"request"}, {"days": 30}])
async def test_an_existing_certificate_is_as_it_is(registry, issuer, more):
    with pytest.raises(CertificateError, match="has its own end"):
        await registry.add("a", certificate=issuer.make(), **more)


async def test_anchors_are_bounded(registry, issuer, monkeypatch):
    assert MAX_ANCHORS > 100
    monkeypatch.setattr(registry_module, "MAX_ANCHORS", 2)
    for name in ("a", "b"):
        await registry.add(name, certificate=issuer.make())
    with pytest.raises(CertificateError, match="2 certificates of others are registered already"):
        await registry.add("c", certificate=issuer.make())
    await registry.add("c", certificate=issuer.make("A"))
    await registry.revoke("a")
    await registry.add("d", certificate=issuer.make())


# The change of the authority


async def test_a_change_waits_for_every_device(registry, issuer, told):
    assert registry.rotation() is None
    for name in ("a", "b"):
        await registry.add(name)
    rotation = await registry.rotate()
    assert (rotation.authority, rotation.waiting) == ("B", ("a", "b"))
    assert told == ["trust"]
    await registry.renew("a")
    with pytest.raises(CertificateError, match="handed out yet to b: "):
        await registry.finish_rotation()
    assert issuer.rotating
    await registry.renew("b")
    assert (await registry.finish_rotation()).waiting == ()
    assert registry.rotation() is None


async def test_the_end_of_a_change_revokes_what_the_old_authority_signed(registry, issuer, memory, told):
    old = [await registry.add(name) for name in ("a", "b")]
    await registry.rotate()
    new = [await registry.renew(name) for name in ("a", "b")]
    told.clear()
    memory.writes = 0
    await registry.finish_rotation()
    assert told == [Revocation(each.name, (each.fingerprint,), last=False) for each in old] + ["trust"]
    assert memory.writes == 1  # all of them, or none
    assert [registry.lookup(each.fingerprint) for each in (*old, *new)] == [None, None, "a", "b"]
    again = Registry(memory, issuer, ManualClock())
    assert [again.lookup(each.fingerprint) for each in (*old, *new)] == [None, None, "a", "b"]


async def test_by_force_who_waits_is_left_behind(registry, issuer, told):
    left = await registry.add("left")
    others = await registry.add("others", certificate=issuer.make())
    await registry.rotate()
    told.clear()
    assert (await registry.finish_rotation(force=True)).waiting == ("left", "others")
    assert told == [Revocation("left", (left.fingerprint,), last=True), "trust"]
    assert registry.lookup(left.fingerprint) is None
    assert registry.lookup(others.fingerprint) == "others"  # trusted by itself: it must get the new ca.pem


async def test_an_end_that_fails_is_finished_again(registry, issuer, memory):
    old = await registry.add("a")
    await registry.rotate()
    new = await registry.renew("a")
    memory.broken = True
    with pytest.raises(StoreError):
        await registry.finish_rotation()
    assert registry.lookup(old.fingerprint) == "a"
    memory.broken, issuer.broken = False, True
    with pytest.raises(CertificateError, match="cannot be written"):
        await registry.finish_rotation()
    assert registry.lookup(old.fingerprint) is None
    assert registry.rotation() is not None
    issuer.broken = False
    await registry.finish_rotation()
    assert registry.rotation() is None
    assert registry.lookup(new.fingerprint) == "a"


async def test_nothing_ends_that_has_not_begun(registry):
    with pytest.raises(CertificateError, match="rotate-ca"):
        await registry.finish_rotation(force=True)


# What stands on the disk


def test_a_record_of_an_older_registry_is_read_and_its_device_waits_for_a_change(issuer):
    older = {"fingerprints": ["ab", "cd"], "revoked": ["ef"], "added_at": 1.0}
    registry = Registry(Memory({"gate": older}), issuer, ManualClock())
    assert [registry.lookup(each) for each in ("ab", "cd", "ef")] == ["gate", "gate", None]
    issuer.start_rotation()
    assert registry.rotation().waiting == ("gate",)


async def test_an_older_record_is_written_as_they_are_now(issuer):
    memory = Memory({"gate": {"fingerprints": ["ab" * 32], "revoked": [], "added_at": 1.0}})
    registry = Registry(memory, issuer, ManualClock(NOW))
    new = await registry.renew("gate")
    again = Registry(memory, issuer, ManualClock(NOW))
    assert again.records() == registry.records()
    assert [again.lookup(each) for each in ("ab" * 32, new.fingerprint)] == ["gate", "gate"]


# Other ways to come in


class Ways:
    """Another way in, and what was told of it."""

    def __init__(self, told):
        self.told = told

    def forget(self, name):
        self.told.append(("forgotten", name))

    async def remove(self, name):
        self.told.append(("removed", name))
        return True


async def test_a_device_may_be_known_without_a_certificate(registry, memory):
    await registry.enrol("lamp")
    await registry.add("gate")
    gate, lamp = registry.records()
    await registry.enrol("gate")
    assert registry.records() == (gate, lamp)
    assert (lamp.certificates, lamp.added_at) == ((), NOW)
    assert Registry(memory, Numbered(), ManualClock(NOW)).records() == (gate, lamp)
    with pytest.raises(CertificateError, match="a-z A-Z 0-9"):
        await registry.enrol("a/+")


async def test_other_ways_in_end_with_the_last_certificate_before_that_is_told(registry, told):
    registry.end_too(Ways(told))
    first, second = await registry.add("gate"), await registry.renew("gate")
    await registry.revoke("gate", first.fingerprint)
    assert told == [Revocation("gate", (first.fingerprint,), last=False)]
    told.clear()
    await registry.revoke("gate")
    gone = Revocation("gate", (second.fingerprint,), last=True)
    assert told == [("forgotten", "gate"), gone, ("removed", "gate")]


async def test_a_device_without_a_certificate_is_revoked_too(registry, told):
    registry.end_too(Ways(told))
    await registry.enrol("lamp")
    await registry.revoke("lamp")
    assert told == [("forgotten", "lamp"), Revocation("lamp", (), last=True), ("removed", "lamp")]


@pytest.mark.parametrize("value", [None, 3, {}, {"fingerprints": "x"}, {"fingerprints": [1]}])
def test_a_damaged_record_is_left_out_and_logged(value, issuer, caplog):
    good = {"fingerprints": ["ab"], "revoked": [], "added_at": 1.0}
    registry = Registry(Memory({"bad": value, "good": good}), issuer, ManualClock())
    assert registry.lookup("ab") == "good"
    assert [record.name for record in registry.records()] == ["good"]
    assert "bad" in caplog.text


async def test_a_damaged_anchor_is_left_out_and_logged(registry, memory, issuer, caplog):
    issued = await registry.add("a", certificate=issuer.make())
    (kept,) = memory.values["a"]["certificates"]
    kept["pem"] = "nonsense"
    again = Registry(memory, issuer, ManualClock())
    assert again.lookup(issued.fingerprint) is None
    assert "registered certificate cannot be read device=a" in caplog.text


def test_with_the_real_authority_and_the_real_dictionary(tmp_path):
    authority = CertificateAuthority.load_or_create(tmp_path / "pki")
    other = CertificateAuthority.load_or_create(tmp_path / "other").issue_device("x")

    async def use(registry):
        issued = await registry.add("loop-north", days=30)
        registered = await registry.renew("loop-north", certificate=other.certificate)
        assert issued.ca == registered.ca == authority.certificate
        assert registered.fingerprint == other.fingerprint
        return issued

    with closing(Dictionary.open(tmp_path / "registry.sqlite")) as dictionary:
        issued = asyncio.run(use(Registry(dictionary, authority, ManualClock(NOW))))
    with closing(Dictionary.open(tmp_path / "registry.sqlite")) as dictionary:
        again = Registry(dictionary, authority, ManualClock(NOW))
    assert [again.lookup(each.fingerprint) for each in (issued, other)] == ["loop-north"] * 2
    first, second = again.record("loop-north").certificates
    assert (first.issuer, first.authority, first.not_after) == ("own", authority.authority, NOW + 30 * DAY)
    assert (second.issuer, second.pem) == ("registered", other.certificate.decode())
    assert other.fingerprint in again.anchors
