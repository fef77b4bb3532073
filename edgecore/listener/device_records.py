"""The registry's records: how they are stored, and what is asked of them. Pure.

It must not know where they are kept, nor cryptography.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Final

import msgspec

from edgecore.base.errors import CertificateError
from edgecore.base.identity import is_name
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord

# Each renewal adds a certificate and the old one stays good until it is revoked. More than this many
# good ones for one device is a script gone wild, and each costs memory in every core for ever.
MAX_CERTIFICATES: Final = 32
# Revoked ones are kept for people to see, and so that one of them is not registered again; a device that
# renews each week fills this in five years. A certificate that is forgotten is refused like an unknown one.
MAX_REVOKED: Final = 256
# As git: fewer digits are more likely a slip than a choice.
_MIN_PREFIX: Final = 4
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What a certificate says of itself. Times are epoch seconds; `fingerprint` and `serial` hex.

    `authority`: the key id of the authority of this core that signed it, or "". `pem`: the certificate alone,
    without what else stood in the file.
    """

    fingerprint: str
    serial: str
    not_before: float
    not_after: float
    authority: str
    pem: str


class _OlderRecord(msgspec.Struct):
    """A record as it was written before a certificate had more than its fingerprint."""

    fingerprints: tuple[str, ...]
    revoked: tuple[str, ...]
    added_at: float


def check_name(name: str) -> None:
    """Raise CertificateError, saying what is allowed, when `name` cannot be a device's."""
    if not is_name(name):
        raise CertificateError(
            f"found device name {name[:130]!r}, expected 1 to 128 of the characters a-z A-Z 0-9 : _ -"
        )


def stored(record: DeviceRecord) -> dict[str, object]:
    """The record's value in the dictionary, whose key is the name."""
    certificates: list[object] = [msgspec.to_builtins(each) for each in record.certificates]
    return {"added_at": record.added_at, "certificates": certificates}


def restored(name: str, value: object) -> DeviceRecord:
    """The record of a stored value, as this or an older edgecore wrote it. Raises ValidationError."""
    if isinstance(value, dict) and "certificates" not in value:
        return _of_older(name, msgspec.convert(value, _OlderRecord))
    fields = value if isinstance(value, dict) else {}
    return msgspec.convert({**fields, "name": name}, DeviceRecord)


def _of_older(name: str, older: _OlderRecord) -> DeviceRecord:
    good = [DeviceCertificate(each, older.added_at) for each in older.fingerprints]
    revoked = [DeviceCertificate(each, older.added_at, revoked_at=0.0) for each in older.revoked]
    return DeviceRecord(name, older.added_at, (*revoked, *good))


def with_certificate(record: DeviceRecord, certificate: DeviceCertificate) -> DeviceRecord:
    """The record with one certificate more. Raises CertificateError when it has too many."""
    if len(record.good) >= MAX_CERTIFICATES:
        raise CertificateError(
            f"{record.name} holds {len(record.good)} certificates already: "
            f"revoke them first (edgecore device revoke {record.name})"
        )
    return replace(record, certificates=(*record.certificates, certificate))


def with_replaced(record: DeviceRecord, certificate: DeviceCertificate) -> DeviceRecord:
    """The record with this certificate in the place of the one with its fingerprint."""
    certificates = [
        certificate if each.fingerprint == certificate.fingerprint else each for each in record.certificates
    ]
    return replace(record, certificates=tuple(certificates))


def without(record: DeviceRecord, fingerprints: Iterable[str], now: float) -> DeviceRecord:
    """The record with these certificates revoked at `now`, and the oldest of too many revoked forgotten."""
    chosen = set(fingerprints)
    certificates = [
        replace(each, revoked_at=now) if each.fingerprint in chosen and each.revoked_at is None else each
        for each in record.certificates
    ]
    revoked = [each for each in certificates if each.revoked_at is not None]
    forgotten = {each.fingerprint for each in revoked[: max(0, len(revoked) - MAX_REVOKED)]}
    kept = tuple(each for each in certificates if each.fingerprint not in forgotten)
    return replace(record, certificates=kept)


def chosen(record: DeviceRecord, prefix: str | None) -> tuple[str, ...]:
    """The good certificates that `prefix` means: all without one, else exactly one.

    A prefix may be written as OpenSSL prints fingerprints, AB:CD. Raises CertificateError.
    """
    if prefix is None:
        return record.fingerprints
    digits = prefix.replace(":", "").lower()
    if len(digits) < _MIN_PREFIX or not set(digits) <= set(string.hexdigits):
        raise CertificateError(
            f"found certificate {prefix[:80]!r}, expected the first {_MIN_PREFIX} or more hexadecimal digits "
            f"of a fingerprint: edgecore device show {record.name}"
        )
    found = tuple(each for each in record.fingerprints if each.startswith(digits))
    if len(found) != 1:
        what = "no good certificate" if not found else f"{len(found)} certificates"
        raise CertificateError(
            f"found {what} of {record.name} with {digits}..., expected one: "
            f"edgecore device show {record.name}"
        )
    return found


def waiting(records: Iterable[DeviceRecord], authority: str) -> tuple[str, ...]:
    """The devices that hold good certificates, and nothing that came with `authority`."""
    return tuple(
        each.name for each in records if each.good and all(one.authority != authority for one in each.good)
    )


def signed_by_others(record: DeviceRecord, authority: str) -> tuple[str, ...]:
    """The good certificates that another authority of this core signed."""
    others = (each for each in record.good if each.issuer == "own" and each.authority != authority)
    return tuple(each.fingerprint for each in others)


def unknown(name: str, known: Iterable[str]) -> CertificateError:
    """What to say when there is no such device: the name that was meant, and where all of them are."""
    near = get_close_matches(name[:130], list(known), 1)
    meant = f"; did you mean {near[0]!r}?" if near else ":"
    return CertificateError(f"no device {name[:130]!r} here{meant} edgecore device list shows all")


def a_few(names: tuple[str, ...]) -> str:
    """Names for a person: the first ones, and how many more."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
