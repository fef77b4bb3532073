import dataclasses

import msgspec
import pytest

from edgecore.base.errors import CertificateError
from edgecore.base.interfaces import NO_END, DeviceCertificate, DeviceRecord
from edgecore.listener import device_records as r

OLD, NEW = "old authority", "new authority"


def certificate(number, **more):
    return DeviceCertificate(f"{number:064x}", 5.0, **more)


def record(*certificates, name="a"):
    return DeviceRecord(name, 5.0, certificates)


def test_a_record_comes_back_as_it_was():
    whole = DeviceCertificate("ab", 1.5, "registered", OLD, "12", 2.5, 3.5, 4.5, "PEM")
    for each in (record(), record(certificate(1), whole)):
        value = msgspec.json.decode(msgspec.json.encode(r.stored(each)))
        assert "name" not in value
        assert r.restored("a", value) == each


def test_a_record_of_an_older_registry_is_read():
    """As edgecore wrote it before it noted more of a certificate than the fingerprint: bytes of that time."""
    value = msgspec.json.decode(b'{"fingerprints":["ab","cd"],"revoked":["ef"],"added_at":1700000000.5}')
    found = r.restored("gate", value)
    assert (found.name, found.added_at) == ("gate", 1_700_000_000.5)
    assert (found.fingerprints, found.revoked) == (("ab", "cd"), ("ef",))
    for each in found.certificates:
        assert (each.issuer, each.serial, each.authority, each.not_before) == ("own", "", "", 0.0)
        assert (each.not_after, each.added_at) == (NO_END, 1_700_000_000.5)
    assert [each.revoked_at for each in found.certificates] == [0.0, None, None]
    assert r.restored("gate", r.stored(found)) == found


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        {},
        {"fingerprints": "x"},
        {"fingerprints": [1], "revoked": [], "added_at": 1.0},
        {"added_at": 1.0, "certificates": [{}]},
        {"added_at": 1.0, "certificates": [{"fingerprint": "a", "added_at": 1.0, "issuer": "somebody"}]},
        {"certificates": []},
    ],
)
def test_a_damaged_record_is_an_error(value):
    with pytest.raises(msgspec.ValidationError):
        r.restored("a", value)


@pytest.mark.parametrize("name", ["", "a b", "a/+", "x" * 129])
def test_a_bad_name_is_refused_with_what_is_allowed(name):
    with pytest.raises(CertificateError, match="a-z A-Z 0-9 : _ -"):
        r.check_name(name)


def test_certificates_of_one_device_are_bounded():
    full = record(*(certificate(number) for number in range(r.MAX_CERTIFICATES)))
    with pytest.raises(CertificateError, match="revoke them first"):
        r.with_certificate(full, certificate(99))
    freed = r.without(full, [full.fingerprints[0]], 7.0)
    assert r.with_certificate(freed, certificate(99)).fingerprints[-1] == certificate(99).fingerprint


def test_a_revoked_certificate_keeps_its_place_and_its_time():
    before = record(certificate(1), certificate(2, revoked_at=3.0), certificate(3))
    after = r.without(before, [each.fingerprint for each in before.certificates[:2]], 7.0)
    assert [each.revoked_at for each in after.certificates] == [7.0, 3.0, None]


def test_the_oldest_of_too_many_revoked_are_forgotten():
    many = record(*(certificate(n, revoked_at=1.0) for n in range(r.MAX_REVOKED)), certificate(9999))
    after = r.without(many, many.fingerprints, 7.0)
    assert after.revoked == (*many.revoked[1:], certificate(9999).fingerprint)
    assert after.fingerprints == ()


def test_one_certificate_takes_anothers_place():
    before = record(certificate(1), certificate(2))
    changed = dataclasses.replace(certificate(1), authority=NEW)
    assert r.with_replaced(before, changed).certificates == (changed, certificate(2))


MANY = record(
    DeviceCertificate("abcd" + "0" * 60, 1.0),
    DeviceCertificate("abce" + "0" * 60, 1.0),
    DeviceCertificate("abcf" + "0" * 60, 1.0, revoked_at=2.0),
)


def test_without_a_prefix_all_good_ones_are_meant():
    assert r.chosen(MANY, None) == MANY.fingerprints
    assert r.chosen(record(), None) == ()


@pytest.mark.parametrize("prefix", ["abce", "AB:CE", "abce" + "0" * 60, ":".join(["AB", "CE", *["00"] * 30])])
def test_a_prefix_means_one(prefix):
    assert r.chosen(MANY, prefix) == ("abce" + "0" * 60,)


@pytest.mark.parametrize(
    ("prefix", "words"),
    [
        ("", "first 4 or more"),
        ("ab", "first 4 or more"),
        ("a:b:c", "first 4 or more"),
        ("abcx", "hexadecimal"),
        ("abcd" + "0" * 61, "no good certificate"),
        ("abcf", "no good certificate"),
        ("9999", "no good certificate"),
    ],
)
def test_a_prefix_that_means_none_is_refused(prefix, words):
    with pytest.raises(CertificateError, match=words):
        r.chosen(MANY, prefix)


def test_a_prefix_that_means_two_is_refused():
    two = record(DeviceCertificate("abcd1", 1.0), DeviceCertificate("abcd2", 1.0))
    with pytest.raises(CertificateError, match="found 2 certificates of a with abcd"):
        r.chosen(two, "abcd")


def test_who_waits_for_a_new_authority():
    devices = [
        record(certificate(1), name="older registry"),
        record(certificate(1, authority=OLD), name="old"),
        record(certificate(1, authority=OLD), certificate(2, authority=NEW), name="both"),
        record(certificate(1, authority=NEW), name="new"),
        record(
            certificate(1, authority=OLD), certificate(2, authority=NEW, revoked_at=1.0), name="took it back"
        ),
        record(certificate(1, authority=OLD, revoked_at=1.0), name="revoked"),
        record(certificate(1, authority=OLD, issuer="registered"), name="registered before"),
        record(certificate(1, authority=NEW, issuer="registered"), name="registered after"),
        record(name="nothing"),
    ]
    assert r.waiting(devices, NEW) == ("older registry", "old", "took it back", "registered before")


def test_what_ends_with_the_old_authority():
    ends = [certificate(1), certificate(2, authority=OLD)]
    stays = [
        certificate(3, authority=NEW),
        certificate(4, authority=OLD, issuer="registered"),
        certificate(5, authority=OLD, revoked_at=1.0),
    ]
    found = r.signed_by_others(record(*ends, *stays), NEW)
    assert found == tuple(each.fingerprint for each in ends)


def test_a_name_that_was_meant_is_suggested():
    assert "did you mean 'loop-north'?" in str(r.unknown("loop-nroth", ["gate", "loop-north"]))
    assert "did you mean" not in str(r.unknown("x", ["gate"]))
    assert "edgecore device list" in str(r.unknown("x", []))
    assert len(str(r.unknown("x" * 100_000, ["gate"]))) < 250


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((), ""),
        (("a",), "a"),
        (tuple("abcde"), "a, b, c, d, e"),
        (tuple("abcdefg"), "a, b, c, d, e and 2 more"),
    ],
)
def test_many_names_are_cut_short(names, words):
    assert r.a_few(names) == words
