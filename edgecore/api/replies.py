"""JSON replies: what the control API says, and how an error is put. Pure: nothing here does I/O.

Every error is `{"error": what was found and expected, "hint": what to do}`; the hint may be "".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from edgecore.base.errors import (
    CertificateError,
    ConfigError,
    EdgecoreError,
    NotAuthorizedError,
    OutboxError,
    PasswordError,
    RefusedError,
    StoreError,
    TopicError,
    UnavailableError,
)
from edgecore.base.interfaces import DeviceCertificate, DeviceRecord, IssuedCertificate, Rotation
from edgecore.base.message import Message

# The first class that an error is an instance of decides. What is not listed is our own fault: 500.
_STATUSES: Final[tuple[tuple[type[EdgecoreError], int], ...]] = (
    (NotAuthorizedError, 403),
    (CertificateError, 400),
    (PasswordError, 400),
    (OutboxError, 400),
    (ConfigError, 400),
    (TopicError, 400),
    (RefusedError, 503),
    (StoreError, 507),
    (UnavailableError, 501),
)

_HINTS: Final[Mapping[int, str]] = {
    404: "`edgecore status` shows whether this core is older than your command",
    405: "see `edgecore --help` for what this core can do",
    413: "send less at once, or raise [api] max_body in edgecore.toml",
    500: "this is a fault of edgecore; its log holds the trace",
    503: "the queue that refused is full: see `edgecore status`",
    507: "look at free space and at the file system's state: `df`, `dmesg`",
}


class PublishRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /publish; the payload is base64."""

    topic: str
    payload: bytes = b""
    qos: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0
    retain: bool = False


class CertificateRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /devices/NAME/renew: at most one of a signing request and a certificate, PEM.

    Without either a key is made. `days`: how long a certificate that is made here lives; 0 for no end.
    """

    csr: str = ""
    certificate: str = ""
    days: int = 0


class AddRequest(CertificateRequest, forbid_unknown_fields=True, kw_only=True):
    """The body of POST /devices."""

    name: str


class RevokeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /devices/NAME/revoke: a fingerprint's first digits, or null for all."""

    certificate: str | None = None


class FinishRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /authority/finish; `force`: whoever still waits is left behind."""

    force: bool = False


def error_reply(error: EdgecoreError) -> tuple[int, dict[str, str]]:
    """(HTTP status, body) for an error that edgecore raised on purpose."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    hint = error.hint if isinstance(error, ConfigError) and error.hint else _HINTS.get(status, "")
    return status, {"error": str(error), "hint": hint}


def http_error_reply(status: int, text: str) -> dict[str, str]:
    """The body for an error of HTTP itself: no such path, body too large."""
    return {"error": text, "hint": _HINTS.get(status, "")}


def device_reply(record: DeviceRecord) -> dict[str, object]:
    """A device of the registry."""
    return {
        "name": record.name,
        "fingerprints": list(record.fingerprints),
        "revoked": list(record.revoked),
        "added_at": record.added_at,
        "certificates": [_certificate(each) for each in record.certificates],
    }


def _certificate(certificate: DeviceCertificate) -> dict[str, object]:
    """Everything that the registry notes of it but the certificate itself."""
    fields: dict[str, object] = msgspec.to_builtins(certificate)
    del fields["pem"]
    return fields


def rotation_reply(rotation: Rotation) -> dict[str, object]:
    """A change of the authority."""
    return {"authority": rotation.authority, "waiting": list(rotation.waiting)}


def certificate_reply(issued: IssuedCertificate) -> dict[str, object]:
    """What `device add` and `renew` hand out, PEM as text."""
    return {
        "name": issued.name,
        "fingerprint": issued.fingerprint,
        "certificate": issued.certificate.decode(),
        "key": issued.key.decode(),
        "ca": issued.ca.decode(),
    }


def message_line(message: Message, qos: int, *, retain: bool) -> dict[str, object]:
    """One line of GET /subscribe."""
    return {
        "topic": message.topic,
        "payload": base64.b64encode(message.payload).decode(),
        "qos": qos,
        "retain": retain,
        "sender": message.sender.id,
    }
