import asyncio

import pytest

from edgecore.base.clock import ManualClock
from edgecore.base.errors import CertificateError, StoreError
from edgecore.listener.books import open_books
from edgecore.listener.pki import CertificateAuthority
from edgecore.store import Dictionary


@pytest.fixture
def reopen(tmp_path):
    """Open both books on the disk, as often as a test likes."""
    opened = []

    def blocking():
        while opened:
            opened.pop().close()
        opened.extend(Dictionary.open(tmp_path / f"{name}.sqlite") for name in ("registry", "passwords"))
        return open_books(*opened, CertificateAuthority.load_or_create(tmp_path / "pki"), ManualClock(1000.0))

    async def reopen():
        return await asyncio.to_thread(blocking)

    yield reopen
    for each in opened:
        each.close()


async def test_a_device_with_a_password_is_one_of_the_registry(reopen):
    books = await reopen()
    await books.passwords.set("lamp", b"correct horse")
    (record,) = (await reopen()).registry.records()
    assert (record.name, record.fingerprints, record.added_at) == ("lamp", (), 1000.0)


async def test_a_revocation_ends_the_password_before_sessions_are_looked_at_and_for_good(reopen):
    books, seen = await reopen(), []
    await books.passwords.set("lamp", b"correct horse")
    books.registry.on_revoked(lambda gone: seen.append((gone.device, books.passwords.record(gone.device))))
    await books.registry.revoke("lamp")
    assert seen == [("lamp", None)]
    assert (await reopen()).passwords.record("lamp") is None


async def test_a_device_with_a_certificate_may_have_a_password_too(reopen):
    books = await reopen()
    issued = await books.registry.add("gate")
    await books.passwords.set("gate", b"correct horse")
    (record,) = books.registry.records()
    assert len(record.fingerprints) == 1
    await books.passwords.remove("gate")
    assert books.registry.records() == (record,)
    assert issued.name == "gate"


async def test_a_name_that_none_can_have_gets_no_password(reopen):
    books = await reopen()
    with pytest.raises(CertificateError):
        await books.passwords.set("a/+", b"correct horse")
    assert (books.passwords.names(), books.registry.records()) == ((), ())


async def test_a_revocation_that_cannot_be_stored_holds_now_and_is_reported(reopen, monkeypatch):
    books = await reopen()
    await books.passwords.set("lamp", b"correct horse")

    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr(Dictionary, "delete", full)
    with pytest.raises(StoreError):
        await books.registry.revoke("lamp")
    assert books.passwords.record("lamp") is None


async def test_both_files_are_their_owner_s_alone(reopen, tmp_path):
    await reopen()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.sqlite")} == {0o600}
