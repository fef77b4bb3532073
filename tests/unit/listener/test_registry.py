from __future__ import annotations

import asyncio
from contextlib import closing

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, StoreError
from edgecore.base.interfaces import IssuedCertificate
from edgecore.listener.pki import CertificateAuthority
from edgecore.listener.registry import MAX_CERTIFICATES, Registry, fingerprint_of
from edgecore.store import Dictionary


class Memory:
    """A dictionary that can fail."""

    def __init__(self, values=()):
        self.values = dict(values)
        self.broken = False

    def items(self):
        return list(self.values.items())

    async def aput(self, key, value):
        await asyncio.sleep(0)
        if self.broken:
            raise StoreError("the disk is full")
        self.values[key] = value


class Numbered:
    """Issues certificates that are only numbers."""

    def __init__(self):
        self.number = 0
        self.requests = []

    def issue_device(self, name, csr=b""):
        self.number += 1
        self.requests.append(csr)
        body = self.number.to_bytes(3, "big").hex() * 2
        pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n".encode()
        return IssuedCertificate(name, pem, b"key", b"ca")


@pytest.fixture
def memory():
    return Memory()


@pytest.fixture
def registry(memory):
    return Registry(memory, Numbered(), ManualClock(1000.0))


async def test_an_added_device_is_known_by_its_fingerprint(registry):
    issued = await registry.add("loop-north")
    assert registry.lookup(fingerprint_of(issued.certificate)) == "loop-north"
    assert registry.lookup("ab" * 32) is None
    (record,) = registry.records()
    assert (record.name, record.added_at, record.revoked) == ("loop-north", 1000.0, ())
    assert record.fingerprints == (fingerprint_of(issued.certificate),)


async def test_records_are_sorted_and_survive_a_restart(registry, memory):
    for name in ("b", "a", "c"):
        await registry.add(name)
    again = Registry(memory, Numbered(), ManualClock())
    assert [record.name for record in again.records()] == ["a", "b", "c"]
    assert again.records() == registry.records()
    assert all(again.lookup(record.fingerprints[0]) == record.name for record in again.records())


async def test_renewal_keeps_both_certificates_until_revocation(registry):
    old, new = await registry.add("a"), await registry.add("a")
    both = [fingerprint_of(one.certificate) for one in (old, new)]
    assert [registry.lookup(one) for one in both] == ["a", "a"]
    record = await registry.revoke("a")
    assert record.revoked == tuple(both)
    assert [registry.lookup(one) for one in both] == [None, None]


async def test_revocation_is_told_when_lookups_refuse_already(registry, memory):
    issued = await registry.add("a")
    seen = []
    registry.on_revoked(lambda name: seen.append((name, registry.lookup(fingerprint_of(issued.certificate)))))
    await registry.revoke("a")
    assert seen == [("a", None)]
    assert Registry(memory, Numbered(), ManualClock()).lookup(fingerprint_of(issued.certificate)) is None


async def test_a_revoked_device_may_come_back_with_a_new_certificate(registry):
    old = await registry.add("a")
    await registry.revoke("a")
    new = await registry.add("a")
    assert registry.lookup(fingerprint_of(old.certificate)) is None
    assert registry.lookup(fingerprint_of(new.certificate)) == "a"


async def test_revocation_that_cannot_be_stored_holds_now_and_is_reported(registry, memory):
    issued = await registry.add("a")
    memory.broken = True
    seen = []
    registry.on_revoked(seen.append)
    with pytest.raises(StoreError):
        await registry.revoke("a")
    assert seen == ["a"]
    assert registry.lookup(fingerprint_of(issued.certificate)) is None
    memory.broken = False
    assert (await registry.revoke("a")).fingerprints == ()


async def test_a_device_that_cannot_be_stored_is_not_added(registry, memory):
    memory.broken = True
    with pytest.raises(StoreError):
        await registry.add("a")
    assert registry.records() == ()


async def test_two_at_once_lose_nothing(registry):
    await asyncio.gather(*(registry.add("a") for _ in range(5)), *(registry.add("b") for _ in range(5)))
    assert [len(record.fingerprints) for record in registry.records()] == [5, 5]


async def test_certificates_of_one_device_are_bounded(registry):
    for _ in range(MAX_CERTIFICATES):
        await registry.add("a")
    with pytest.raises(CertificateError, match="revoke them first"):
        await registry.add("a")


@pytest.mark.parametrize("name", ["", "a b", "a/+", "x" * 129])
async def test_a_bad_name_is_refused_with_what_is_allowed(registry, name):
    with pytest.raises(CertificateError, match="a-z A-Z 0-9 : _ -"):
        await registry.add(name)


async def test_revoking_an_unknown_device_says_how_to_find_them(registry):
    with pytest.raises(CertificateError, match="edgecore device list"):
        await registry.revoke("nobody")


async def test_a_device_may_be_known_without_a_certificate(registry, memory):
    await registry.enrol("lamp")
    await registry.add("gate")
    (gate, lamp) = registry.records()
    await registry.enrol("gate")
    assert registry.records() == (gate, lamp)
    assert (lamp.fingerprints, lamp.added_at) == ((), 1000.0)
    assert Registry(memory, Numbered(), ManualClock()).records() == (gate, lamp)
    assert (await registry.revoke("lamp")).fingerprints == ()
    with pytest.raises(CertificateError, match="a-z A-Z 0-9"):
        await registry.enrol("a/+")


async def test_a_revocation_ends_other_ways_in_after_it_was_told_and_before_it_is_reported(registry):
    seen = []

    async def end(name):
        seen.append(("ended", name))

    registry.end_too(end)
    registry.on_revoked(lambda name: seen.append(("told", name)))
    await registry.enrol("lamp")
    await registry.revoke("lamp")
    assert seen == [("told", "lamp"), ("ended", "lamp")]


async def test_a_request_is_passed_on(memory):
    issuer = Numbered()
    await Registry(memory, issuer, ManualClock()).add("a", b"request")
    assert issuer.requests == [b"request"]


@pytest.mark.parametrize("value", [None, 3, {}, {"fingerprints": "x"}, {"fingerprints": [1]}])
def test_a_damaged_record_is_left_out_and_logged(value, caplog):
    good = {"fingerprints": ["ab"], "revoked": [], "added_at": 1.0}
    registry = Registry(Memory({"bad": value, "good": good}), Numbered(), ManualClock())
    assert registry.lookup("ab") == "good"
    assert [record.name for record in registry.records()] == ["good"]
    assert "bad" in caplog.text


def test_with_the_real_authority_and_the_real_dictionary(tmp_path):
    authority = CertificateAuthority.load_or_create(tmp_path / "pki")
    with closing(Dictionary.open(tmp_path / "registry.sqlite")) as dictionary:
        issued = asyncio.run(Registry(dictionary, authority, ManualClock()).add("loop-north"))
    with closing(Dictionary.open(tmp_path / "registry.sqlite")) as dictionary:
        again = Registry(dictionary, authority, ManualClock())
    assert again.lookup(fingerprint_of(issued.certificate)) == "loop-north"
