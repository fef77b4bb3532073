"""Devices and their certificates in words: what `edgecore device list` and `show` print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from edgecore.base.interfaces import NO_END
from edgecore.cli.output import console, emit, say

# An answer of the control API (api/replies.py): JSON, whose shape is that file's to promise.
Answer = Mapping[str, Any]

_SHOWN: Final = 5


def print_list(answer: Answer) -> None:
    """A line for each device, and how far a change of the authority is."""
    if not answer["devices"]:
        say("no devices yet: add one with `edgecore device add NAME`")
    else:
        _table(answer["devices"])
    if answer["rotation"] is not None:
        say(f"the authority is being changed: {progress(answer['rotation'])}")


def _table(devices: Sequence[Answer]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("device", "certificates", "revoked", "added"):
        table.add_column(heading)
    for each in devices:
        held, revoked = str(len(each["fingerprints"])), str(len(each["revoked"]))
        table.add_row(each["name"], held, revoked, _moment(each["added_at"]))
    console().print(table)


def print_device(device: Answer, now: float) -> None:
    """Everything about a device, certificate by certificate, the newest last."""
    emit(f"device {device['name']}, added {_moment(device['added_at'])}")
    for each in device["certificates"]:
        emit(f"\ncertificate {each['fingerprint']}")
        for label, text in _lines(each, now):
            emit(f"  {label:<8} {text}")


def progress(rotation: Answer) -> str:
    """How far a change of the authority is, and what is next."""
    waiting = rotation["waiting"]
    if not waiting:
        return "every device holds something of the new one; next: edgecore device rotate-ca --finish"
    more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
    return f"{len(waiting)} to be renewed first: {', '.join(waiting[:_SHOWN])}{more}"


def _lines(certificate: Answer, now: float) -> list[tuple[str, str]]:
    registered = certificate["issuer"] == "registered"
    signer = certificate["authority"][:12]
    own = f"this core's authority {signer}".rstrip()
    return [
        ("serial", certificate["serial"] or "not noted by the older edgecore that issued it"),
        ("issuer", "another's: registered, trusted by itself" if registered else own),
        ("valid", f"{_day(certificate['not_before'])} to {_day(certificate['not_after'])}"),
        ("added", _moment(certificate["added_at"])),
        ("state", _state(certificate, now)),
    ]


def _state(certificate: Answer, now: float) -> str:
    revoked_at = certificate["revoked_at"]
    if revoked_at is not None:
        return f"revoked {_moment(revoked_at)}" if revoked_at else "revoked"
    return "expired" if certificate["not_after"] < now else "good"


def _day(moment: float) -> str:
    return "no end" if moment >= NO_END else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d}"


def _moment(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
